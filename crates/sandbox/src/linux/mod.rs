//! The server's side of the Linux driver: it asks the spawner and keeps what the answers mean.

mod link;
mod pace;
mod sandbox;
mod socket;

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bootlace_types::clock;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, socketpair, sockopt,
};

use crate::protocol::{self, Command, MESSAGE_BYTES, Report, Setup};
use crate::{CpuShare, SandboxError, SandboxSpec};
use link::Answer;
pub(crate) use link::Link;
pub(crate) use sandbox::LinuxSandbox;
pub(crate) use socket::SocketSource;

/// How long the spawner may take to become ready, an earlier one's tidying up included.
const READY: Duration = Duration::from_secs(15);
/// How long everything may take to end.
const SHUTDOWN: Duration = Duration::from_secs(10);
/// A spawner that died is not replaced more often than this.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// How the spawner process is started: normally the server's own executable with a hidden verb.
#[derive(Debug, Clone)]
pub struct SpawnerCommand {
    pub exe: PathBuf,
    pub args: Vec<String>,
}

/// What the Linux driver needs to know.
#[derive(Debug, Clone)]
pub struct LinuxOptions {
    pub spawner: SpawnerCommand,
    /// `bootlace-<12 hex>`; everything on the host is named with it.
    pub instance: String,
    /// A directory of this server for mount points and the spawner's lock.
    pub run_dir: PathBuf,
    /// The directory below which all trees of all specifications lie.
    pub trees_dir: PathBuf,
    pub pool: PoolOptions,
}

impl LinuxOptions {
    /// With the pool's defaults.
    #[must_use]
    pub fn new(
        spawner: SpawnerCommand,
        instance: String,
        run_dir: PathBuf,
        trees_dir: PathBuf,
    ) -> Self {
        Self {
            spawner,
            instance,
            run_dir,
            trees_dir,
            pool: PoolOptions::default(),
        }
    }
}

/// What is kept ready.
#[derive(Debug, Clone, Copy)]
pub struct PoolOptions {
    /// Prepared network namespaces with their user namespace, count.
    pub ready: usize,
    /// Template mount namespaces kept at most, count.
    pub templates: usize,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            ready: 8,
            templates: 256,
        }
    }
}

/// Sandboxes of namespaces, cgroups and seccomp. Cheap to clone. When the last clone and the last
/// sandbox are dropped, the spawner ends.
#[derive(Debug, Clone)]
pub struct LinuxDriver {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: LinuxOptions,
    numbers: AtomicU64,
    state: Mutex<State>,
    /// Held while a new spawner is started.
    restart: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State {
    link: Arc<Link>,
    started: std::time::Instant,
    closed: bool,
}

impl LinuxDriver {
    /// Starts the spawner and waits until it is ready, some milliseconds. Needs a Tokio runtime.
    pub fn start(options: LinuxOptions) -> Result<Self, SandboxError> {
        let link = launch(&options)?;
        let state = Mutex::new(State {
            link,
            started: clock::now(),
            closed: false,
        });
        let restart = tokio::sync::Mutex::new(());
        let shared = Shared {
            options,
            numbers: AtomicU64::new(1),
            state,
            restart,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Whether the spawner lives. If it does not, the next `create` starts another.
    #[must_use]
    pub fn ready(&self) -> bool {
        let state = self
            .shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        !state.closed && state.link.alive()
    }

    /// The spawner's process id, for tests and for people.
    #[must_use]
    pub fn spawner_pid(&self) -> u32 {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .link
            .pid()
    }

    pub(crate) async fn create(&self, spec: SandboxSpec) -> Result<LinuxSandbox, SandboxError> {
        validate(&spec, &self.shared.options.trees_dir)?;
        let link = self.link().await?;
        let key = self.number();
        let address = format!("127.0.0.1:{}", spec.listen_port);
        let request = self.number();
        let (id, has_share) = (spec.id.clone(), spec.cpu.is_some());
        let answer = link
            .expect(
                request,
                &Command::Create {
                    request,
                    sandbox: key,
                    spec,
                },
                None,
            )
            .await?;
        // From here on the spawner may have made it, so giving up must also end it.
        let mut sandbox = LinuxSandbox::new(self.clone(), link, key, id, address, has_share);
        match answer.await {
            Ok(Answer {
                report:
                    Report::Created {
                        cgroup, stages_us, ..
                    },
                fd: Some(fd),
            }) => {
                tracing::debug!(sandbox = sandbox.id(), ?stages_us, "sandbox started");
                sandbox.begin(std::net::TcpListener::from(fd), cgroup, stages_us);
                Ok(sandbox)
            }
            Ok(answer) => {
                sandbox.never_was();
                Err(answer.into_error())
            }
            Err(_) => Err(SandboxError::SpawnerGone),
        }
    }

    pub(crate) async fn shutdown(&self) {
        let link = {
            let mut state = self
                .shared
                .state
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            state.closed = true;
            Arc::clone(&state.link)
        };
        link.send_soon(&Command::Shutdown);
        if tokio::time::timeout(SHUTDOWN, link.ended()).await.is_err() {
            tracing::warn!("the sandbox spawner did not end in time and is killed");
            link.kill();
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.shared.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// The connection to a living spawner, started anew if the last one died.
    async fn link(&self) -> Result<Arc<Link>, SandboxError> {
        if let Some(link) = self.living()? {
            return Ok(link);
        }
        let _one_at_a_time = self.shared.restart.lock().await;
        if let Some(link) = self.living()? {
            return Ok(link);
        }
        {
            let state = self
                .shared
                .state
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if clock::now().duration_since(state.started) < RESTART_PAUSE {
                return Err(SandboxError::SpawnerGone);
            }
        }
        tracing::warn!("the sandbox spawner died and is started again");
        let options = self.shared.options.clone();
        let runtime = tokio::runtime::Handle::current();
        let launched = tokio::task::spawn_blocking(move || {
            let _inside = runtime.enter();
            launch(&options)
        });
        let link = launched.await.map_err(|_| SandboxError::SpawnerGone)??;
        let mut state = self
            .shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        state.link = Arc::clone(&link);
        state.started = clock::now();
        Ok(link)
    }

    fn living(&self) -> Result<Option<Arc<Link>>, SandboxError> {
        let state = self
            .shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return Err(SandboxError::SpawnerGone);
        }
        Ok(state.link.alive().then(|| Arc::clone(&state.link)))
    }
}

/// Starts a spawner process and waits until it is ready.
#[allow(clippy::disallowed_methods, reason = "this crate starts processes")]
fn launch(options: &LinuxOptions) -> Result<Arc<Link>, SandboxError> {
    let fail = SandboxError::io;
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(|error| fail("cannot make a socket pair")(error.into()))?;
    for socket in [&ours, &theirs] {
        // A message must fit into the buffer as a whole; the kernel counts its own overhead too.
        let _ = sockopt::set_socket_send_buffer_size(socket, MESSAGE_BYTES * 4);
    }
    let command = &options.spawner;
    let child = std::process::Command::new(&command.exe)
        .args(&command.args)
        .env_clear()
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .spawn()
        .map_err(fail("cannot start the sandbox spawner"))?;
    match greet(&ours, options) {
        Ok(Report::Ready { uid_base, cgroups }) => {
            tracing::debug!(pid = child.id(), uid_base, cgroups, "sandbox spawner ready");
            Link::open(ours, child).map_err(fail("cannot use the spawner's socket"))
        }
        Ok(report) => {
            bury(child);
            Err(Answer { report, fd: None }.into_error())
        }
        Err(error) => {
            bury(child);
            Err(fail("the sandbox spawner does not answer")(error))
        }
    }
}

/// Tells the spawner what it needs to know and returns its first answer.
fn greet(socket: &OwnedFd, options: &LinuxOptions) -> io::Result<Report> {
    let setup = Setup {
        instance: options.instance.clone(),
        run_dir: options.run_dir.clone(),
        ready: options.pool.ready,
        templates: options.pool.templates,
    };
    let text = serde_json::to_vec(&Command::Setup(setup))?;
    let socket_ref = std::os::fd::AsFd::as_fd(socket);
    protocol::send(socket_ref, &text, None, SendFlags::empty())?;
    sockopt::set_socket_timeout(socket, sockopt::Timeout::Recv, Some(READY))?;
    let mut buffer = Vec::new();
    match protocol::receive(socket, &mut buffer, RecvFlags::empty())? {
        Some((report, _)) => Ok(report),
        None => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
    }
}

fn bury(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// The rules of a specification that the rest relies on.
fn validate(spec: &SandboxSpec, trees_dir: &Path) -> Result<(), SandboxError> {
    let invalid = |why: String| Err(SandboxError::Invalid(why));
    let id_char = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !(1..=40).contains(&spec.id.len()) || !spec.id.chars().all(id_char) {
        return invalid(format!("id `{}`", spec.id));
    }
    if spec.listen_port == 0 || spec.processes == 0 {
        return invalid("listen_port and processes must not be 0".into());
    }
    spec.cpu.map_or(Ok(()), CpuShare::validate)?;
    for tree in &spec.trees {
        let plain = |path: &Path| {
            path.is_absolute()
                && path
                    .components()
                    .all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
        };
        if !plain(&tree.target) || tree.target == Path::new("/") {
            return invalid(format!("target `{}`", tree.target.display()));
        }
        let outside = |layer: &&PathBuf| !plain(layer) || !layer.starts_with(trees_dir);
        if let Some(layer) = tree.layers.iter().find(outside) {
            return invalid(format!("tree `{}` lies outside the trees", layer.display()));
        }
    }
    Ok(())
}
