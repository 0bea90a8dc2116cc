//! Sandboxes that are none: ordinary child processes of the server, as the server's own user.
//!
//! For machines where namespaces are out of reach and for looking into a problem. It is used only
//! when asked for by name, and nothing it offers is a barrier. Layers are merged by links and
//! copies into a directory of the sandbox, `/tmp` stays the host's, limits are not enforced.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Component, Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use bootlace_tasks::TaskKind;
use rustix::process::{
    Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal,
    set_parent_process_death_signal,
};
use tokio::sync::{oneshot, watch};

use crate::connector::{Connector, Way};
use crate::driver::{Exit, Process};
use crate::protocol::Deliver;
use crate::signals::{Signals, Target};
use crate::{ExitStatus, ProcessSpec, SandboxError, SandboxSpec, SpawnError, Stats, TreeMount};

const WAIT: TaskKind = TaskKind::disposable("local process");
/// Starts that may wait for the starting thread, count.
const STARTS_QUEUED: usize = 64;

/// What the local driver needs to know.
#[derive(Debug, Clone)]
pub struct LocalOptions {
    /// A directory of this server; every sandbox gets one below it.
    pub run_dir: PathBuf,
}

/// Unsandboxed process groups. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LocalDriver {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    starter: std::sync::mpsc::SyncSender<Start>,
    groups: Mutex<Vec<Pid>>,
}

/// A process to start by the thread whose death the kernel turns into the process's.
#[derive(Debug)]
struct Start {
    command: std::process::Command,
    runtime: tokio::runtime::Handle,
    answer: oneshot::Sender<io::Result<tokio::process::Child>>,
}

impl LocalDriver {
    /// Needs a running Tokio runtime.
    pub fn start(options: LocalOptions) -> Result<Self, SandboxError> {
        let dir = options.run_dir.join("local");
        let fresh = match fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => fs::create_dir_all(&dir),
        };
        fresh.map_err(SandboxError::io(
            "cannot prepare the directory of local sandboxes",
        ))?;
        let (starter, starts) = std::sync::mpsc::sync_channel::<Start>(STARTS_QUEUED);
        std::thread::Builder::new()
            .name("local-starter".into())
            .spawn(move || {
                // It lives as long as the driver, unlike threads of the runtime.
                for start in starts {
                    let _inside = start.runtime.enter();
                    let child = tokio::process::Command::from(start.command).spawn();
                    if let Err(Ok(mut unwanted)) = start.answer.send(child) {
                        let _ = unwanted.start_kill();
                    }
                }
            })
            .map_err(SandboxError::io("cannot start a thread"))?;
        Ok(Self {
            shared: Arc::new(Shared {
                dir,
                starter,
                groups: Mutex::default(),
            }),
        })
    }

    pub(crate) async fn create(&self, spec: SandboxSpec) -> Result<LocalSandbox, SandboxError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .map_err(SandboxError::io("cannot listen"))?;
        let address = listener
            .local_addr()
            .map_err(SandboxError::io("no address"))?
            .to_string();
        let dir = self
            .shared
            .dir
            .join(format!("{}-{}", spec.id, address.replace(':', "-")));
        let made = dir.clone();
        let places = tokio::task::spawn_blocking(move || arrange(&dir, &spec.trees)).await;
        let places = places
            .unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(SandboxError::io(
                "cannot arrange the trees of a local sandbox",
            ))?;
        Ok(LocalSandbox {
            shared: Arc::clone(&self.shared),
            dir: made,
            places,
            listener: Some(listener),
            address,
            groups: Mutex::default(),
        })
    }

    pub(crate) async fn shutdown(&self) {
        for group in lock(&self.shared.groups).drain(..) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

#[derive(Debug)]
pub(crate) struct LocalSandbox {
    shared: Arc<Shared>,
    dir: PathBuf,
    /// Sandbox paths and where they are on the host.
    places: Vec<(PathBuf, PathBuf)>,
    listener: Option<TcpListener>,
    address: String,
    groups: Mutex<Vec<(Pid, Exit)>>,
}

impl LocalSandbox {
    pub(crate) fn take_listener(&mut self) -> Option<TcpListener> {
        self.listener.take()
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The host path of a path below one of the trees or `/tmp`; any other path is the host's own.
    pub(crate) fn inside(&self, path: &str) -> PathBuf {
        let path = Path::new(path);
        let found = self.places.iter().find_map(|(target, host)| {
            let rest = path.strip_prefix(target).ok()?;
            let plain = rest
                .components()
                .all(|part| matches!(part, Component::Normal(_)));
            plain.then(|| {
                if rest.as_os_str().is_empty() {
                    host.clone()
                } else {
                    host.join(rest)
                }
            })
        });
        found.unwrap_or_else(|| path.to_owned())
    }

    pub(crate) async fn spawn(&self, spec: &ProcessSpec) -> Result<Process, SpawnError> {
        let program = self.inside(&spec.program.to_string_lossy());
        let (output, command) = self.command(&program, spec)?;
        let (answer, started) = oneshot::channel();
        let start = Start {
            command,
            runtime: tokio::runtime::Handle::current(),
            answer,
        };
        self.shared
            .starter
            .try_send(start)
            .map_err(|_| SandboxError::SpawnerGone)?;
        let child = started.await.map_err(|_| SandboxError::SpawnerGone)?;
        let mut child = child.map_err(|error| SpawnError::Exec {
            program: program.display().to_string(),
            errno: error.raw_os_error().unwrap_or(libc::EIO),
        })?;
        let pid = child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .and_then(Pid::from_raw);
        let (ended, exit) = watch::channel(None);
        let exit = Exit::new(exit);
        let signals = LocalSignals::new(pid, exit.clone());
        if let Some(group) = pid {
            lock(&self.groups).push((group, exit.clone()));
            lock(&self.shared.groups).push(group);
        }
        let shared = Arc::clone(&self.shared);
        bootlace_tasks::spawn(WAIT, async move {
            let status = child.wait().await;
            if let Some(group) = pid {
                lock(&shared.groups).retain(|other| *other != group);
                // What it left behind goes with it. Numbers are given out in a circle, so this one
                // is not another group's so soon.
                let _ = kill_process_group(group, Signal::KILL);
            }
            ended.send_replace(Some(status_of(status)));
        });
        Ok(Process {
            output,
            exit,
            signals: Signals::new(Target::Local(signals)),
            stages_us: Vec::new(),
        })
    }

    #[allow(clippy::disallowed_methods, reason = "this crate starts processes")]
    fn command(
        &self,
        program: &Path,
        spec: &ProcessSpec,
    ) -> Result<(OwnedFd, std::process::Command), SandboxError> {
        let fail = SandboxError::io;
        let (output, writer) = tokio::net::unix::pipe::pipe()
            .map(|(writer, reader)| (reader, writer))
            .map_err(fail("cannot make a pipe"))?;
        let output = output
            .into_nonblocking_fd()
            .map_err(fail("cannot use a pipe"))?;
        let writer = writer
            .into_blocking_fd()
            .map_err(fail("cannot use a pipe"))?;
        let again = writer.try_clone().map_err(fail("cannot use a pipe"))?;
        let mut command = std::process::Command::new(program);
        let mut args = spec.args.iter();
        if let Some(zeroth) = args.next() {
            command.arg0(zeroth);
        }
        command
            .args(args)
            .env_clear()
            .envs(spec.env.iter().map(|(name, value)| (name, value)))
            .current_dir(self.inside(&spec.cwd.to_string_lossy()))
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(again)
            .process_group(0);
        // SAFETY: the closure makes one system call and touches no memory of the parent.
        #[allow(unsafe_code, reason = "the child must die with the server")]
        unsafe {
            command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
        }
        Ok((output, command))
    }

    /// Adds up the processes of the sandbox's groups.
    pub(crate) fn stats(&self) -> Result<Stats, SandboxError> {
        let groups: Vec<i32> = lock(&self.groups)
            .iter()
            .map(|(group, _)| group.as_raw_nonzero().get())
            .collect();
        let page = rustix::param::page_size() as u64;
        let mut stats = Stats::default();
        let entries = fs::read_dir("/proc").map_err(SandboxError::io("cannot read /proc"))?;
        for entry in entries.flatten() {
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            // After the name in parentheses: state, parent, group, and the resident pages 21st.
            let Some((_, rest)) = stat.rsplit_once(") ") else {
                continue;
            };
            let fields: Vec<&str> = rest.split(' ').collect();
            let number = |at: usize| fields.get(at).and_then(|field| field.parse::<i64>().ok());
            let Some(group) = number(2).and_then(|group| i32::try_from(group).ok()) else {
                continue;
            };
            if groups.contains(&group) {
                stats.processes += 1;
                let pages = number(21)
                    .and_then(|pages| u64::try_from(pages).ok())
                    .unwrap_or(0);
                stats.memory_bytes += pages * page;
            }
        }
        Ok(stats)
    }

    pub(crate) fn cannot_freeze() -> SandboxError {
        SandboxError::Unavailable {
            what: "freezing",
            why: "code runs without isolation".into(),
            remedy: "start the server with --isolation namespaces".into(),
        }
    }

    pub(crate) fn connector(&self) -> Connector {
        Connector::new(Way::Host)
    }

    pub(crate) async fn kill_all(&self) {
        self.kill();
        let running: Vec<Exit> = lock(&self.groups).drain(..).map(|(_, exit)| exit).collect();
        for mut exit in running {
            exit.wait().await;
        }
    }

    pub(crate) async fn destroy(self) -> Result<(), SandboxError> {
        self.kill_all().await;
        Ok(())
    }

    fn kill(&self) {
        for (group, exit) in lock(&self.groups).iter() {
            // An ended process's number may be another's by now.
            if exit.now().is_none() {
                let _ = kill_process_group(*group, Signal::KILL);
            }
        }
    }
}

/// Reaches one process.
#[derive(Debug, Clone)]
pub(crate) struct LocalSignals {
    /// Stays this process when its number is another's.
    process: Option<Arc<OwnedFd>>,
    group: Option<Pid>,
    exit: Exit,
}

impl LocalSignals {
    /// The process is a child of ours that has not been waited for.
    fn new(pid: Option<Pid>, exit: Exit) -> Self {
        let process = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        Self {
            process: process.map(Arc::new),
            group: pid,
            exit,
        }
    }

    pub(crate) fn deliver(&self, signal: Deliver) {
        let send = |signal| {
            if let Some(process) = &self.process {
                let _ = pidfd_send_signal(process, signal);
            }
        };
        match (signal, self.group) {
            (Deliver::Terminate, _) => send(Signal::TERM),
            (Deliver::Kill, Some(group)) if self.exit.now().is_none() => {
                let _ = kill_process_group(group, Signal::KILL);
            }
            (Deliver::Kill, _) => send(Signal::KILL),
        }
    }
}

impl Drop for LocalSandbox {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn status_of(status: io::Result<std::process::ExitStatus>) -> ExitStatus {
    let Ok(status) = status else {
        return ExitStatus::lost();
    };
    match (status.code(), status.signal()) {
        (Some(code), _) => ExitStatus::exited(code),
        (None, Some(signal)) => ExitStatus::signaled(signal),
        (None, None) => ExitStatus::lost(),
    }
}

/// Where each target is on the host: its only tree, or a directory in which its trees are merged.
fn arrange(dir: &Path, trees: &[TreeMount]) -> io::Result<Vec<(PathBuf, PathBuf)>> {
    fs::create_dir_all(dir)?;
    let mut places = Vec::new();
    for (index, tree) in trees.iter().enumerate() {
        let host = match &tree.layers[..] {
            [only] => only.clone(),
            layers => {
                let merged = dir.join(index.to_string());
                fs::create_dir(&merged)?;
                layers.iter().try_for_each(|layer| merge(layer, &merged))?;
                merged
            }
        };
        places.push((tree.target.clone(), host));
    }
    // Nobody is kept from the host's; what uses this one leaves nothing behind.
    let tmp = dir.join("tmp");
    fs::create_dir(&tmp)?;
    places.push((PathBuf::from("/tmp"), tmp));
    Ok(places)
}

/// Lays a tree over a directory: directories are made, files are linked, later ones win.
fn merge(layer: &Path, onto: &Path) -> io::Result<()> {
    for entry in fs::read_dir(layer)? {
        let entry = entry?;
        let target = onto.join(entry.file_name());
        let kind = entry.file_type()?;
        let present = fs::symlink_metadata(&target).ok();
        if kind.is_dir() {
            match present {
                Some(meta) if meta.is_dir() => {}
                Some(_) => {
                    fs::remove_file(&target)?;
                    fs::create_dir(&target)?;
                }
                None => fs::create_dir(&target)?,
            }
            merge(&entry.path(), &target)?;
            continue;
        }
        match present {
            Some(meta) if meta.is_dir() => fs::remove_dir_all(&target)?,
            Some(_) => fs::remove_file(&target)?,
            None => {}
        }
        // A link, so that the merged directory costs nothing; programs find their real file.
        std::os::unix::fs::symlink(entry.path(), &target)?;
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
