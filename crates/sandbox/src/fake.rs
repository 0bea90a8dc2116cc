//! Sandboxes that are scripts of a test, run as tasks on the same runtime.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bootlace_tasks::TaskKind;
use tokio::net::unix::pipe;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::connector::{Connector, Way};
use crate::driver::{Exit, Process};
use crate::protocol::Deliver;
use crate::signals::{Signals, Target};
use crate::{ExitStatus, ProcessSpec, SandboxError, SandboxSpec, SpawnError, Stats};

const GUEST: TaskKind = TaskKind::disposable("fake guest");

/// What a fake process does; its result is how the process ends.
pub type Script =
    dyn Fn(FakeGuest) -> Pin<Box<dyn Future<Output = ExitStatus> + Send>> + Send + Sync;

/// A driver whose processes are a script. Cheap to clone.
#[derive(Clone)]
pub struct FakeDriver {
    script: Arc<Script>,
}

impl fmt::Debug for FakeDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeDriver").finish_non_exhaustive()
    }
}

/// What the script sees of its process.
#[derive(Debug)]
pub struct FakeGuest {
    /// Of the sandbox, not of the process.
    pub sandbox: String,
    pub program: PathBuf,
    pub args: Vec<String>,
    /// The listener of its sandbox.
    pub address: SocketAddr,
    pub env: HashMap<String, String>,
    /// Standard output and standard error.
    pub output: pipe::Sender,
    /// The memory that its sandbox says it uses, bytes.
    pub memory_bytes: Arc<AtomicU64>,
    /// Whether its sandbox is frozen. The script itself goes on: it is a task like any other.
    pub frozen: watch::Receiver<bool>,
    /// Whether it has been sent SIGTERM. It is the script's affair what comes of that.
    pub terminated: watch::Receiver<bool>,
}

impl FakeDriver {
    pub fn new<F, R>(script: F) -> Self
    where
        F: Fn(FakeGuest) -> R + Send + Sync + 'static,
        R: Future<Output = ExitStatus> + Send + 'static,
    {
        Self {
            script: Arc::new(move |guest| Box::pin(script(guest))),
        }
    }

    pub(crate) async fn create(&self, spec: &SandboxSpec) -> Result<FakeSandbox, SandboxError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .map_err(SandboxError::io("cannot listen"))?;
        let address = listener
            .local_addr()
            .map_err(SandboxError::io("no address"))?;
        Ok(FakeSandbox {
            id: spec.id.clone(),
            script: Arc::clone(&self.script),
            listener: Some(listener),
            address,
            address_text: address.to_string(),
            running: Mutex::new(Vec::new()),
            memory_bytes: Arc::default(),
            frozen: watch::Sender::new(false),
        })
    }
}

pub(crate) struct FakeSandbox {
    id: String,
    script: Arc<Script>,
    listener: Option<TcpListener>,
    address: SocketAddr,
    address_text: String,
    running: Mutex<Vec<(AbortHandle, Exit)>>,
    memory_bytes: Arc<AtomicU64>,
    frozen: watch::Sender<bool>,
}

impl fmt::Debug for FakeSandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeSandbox")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl FakeSandbox {
    pub(crate) fn take_listener(&mut self) -> Option<TcpListener> {
        self.listener.take()
    }

    pub(crate) fn address(&self) -> &str {
        &self.address_text
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            memory_bytes: self.memory_bytes.load(Ordering::Relaxed),
            processes: 1,
        }
    }

    pub(crate) fn freeze(&self) -> Result<(), SandboxError> {
        self.frozen.send_replace(true);
        Ok(())
    }

    pub(crate) fn thaw(&self) -> Result<(), SandboxError> {
        self.frozen.send_replace(false);
        Ok(())
    }

    pub(crate) async fn kill_all(&self) {
        let running = std::mem::take(&mut *self.running());
        for (task, mut exit) in running {
            task.abort();
            exit.wait().await;
        }
        self.frozen.send_replace(false);
    }

    pub(crate) fn connector(&self) -> Connector {
        Connector::new(Way::Host)
    }

    fn running(&self) -> MutexGuard<'_, Vec<(AbortHandle, Exit)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn spawn(&self, spec: ProcessSpec) -> Result<Process, SpawnError> {
        if *self.frozen.borrow() {
            return Err(SandboxError::Frozen.into());
        }
        let (output, reader) = pipe::pipe().map_err(SandboxError::io("cannot make a pipe"))?;
        let reader: OwnedFd = reader
            .into_nonblocking_fd()
            .map_err(SandboxError::io("cannot use a pipe"))?;
        let terminate = watch::Sender::new(false);
        let guest = FakeGuest {
            sandbox: self.id.clone(),
            program: spec.program,
            args: spec.args,
            address: self.address,
            env: spec.env.into_iter().collect(),
            output,
            memory_bytes: Arc::clone(&self.memory_bytes),
            frozen: self.frozen.subscribe(),
            terminated: terminate.subscribe(),
        };
        let (ended, exit) = watch::channel(None);
        let end = EndOnDrop {
            ended,
            status: ExitStatus::signaled(libc::SIGKILL),
        };
        let future = (self.script)(guest);
        let task = bootlace_tasks::spawn(GUEST, async move {
            let mut end = end;
            end.status = future.await;
        });
        let exit = Exit::new(exit);
        let signals = FakeSignals {
            terminate,
            task: task.abort_handle(),
        };
        let mut running = self.running();
        running.retain(|(_, exit)| exit.now().is_none());
        running.push((task.abort_handle(), exit.clone()));
        Ok(Process {
            output: reader,
            exit,
            signals: Signals::new(Target::Fake(signals)),
            stages_us: Vec::new(),
        })
    }
}

/// Reaches one script.
#[derive(Debug, Clone)]
pub(crate) struct FakeSignals {
    terminate: watch::Sender<bool>,
    task: AbortHandle,
}

impl FakeSignals {
    pub(crate) fn deliver(&self, signal: Deliver) {
        match signal {
            Deliver::Terminate => {
                self.terminate.send_replace(true);
            }
            Deliver::Kill => self.task.abort(),
        }
    }
}

/// A destroyed sandbox aborts the script wherever it stands; its process then died of a kill.
struct EndOnDrop {
    ended: watch::Sender<Option<ExitStatus>>,
    status: ExitStatus,
}

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.ended.send_replace(Some(self.status));
    }
}

impl Drop for FakeSandbox {
    fn drop(&mut self) {
        for (task, _) in self.running().drain(..) {
            task.abort();
        }
    }
}
