//! The connection to one spawner process: commands out, answers and events in.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bootlace_tasks::TaskKind;
use rustix::net::{RecvFlags, SendFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{oneshot, watch};

use super::pace::UnderWay;
use crate::protocol::{self, Command, MESSAGE_BYTES, Report};
use crate::{ExitStatus, SandboxError};

const READER: TaskKind = TaskKind::disposable("sandbox reports");
const LATE_COMMAND: TaskKind = TaskKind::disposable("late sandbox command");
/// Reports taken from the socket before other tasks get their turn, count.
const REPORTS_AT_ONCE: usize = 64;

/// What the spawner answered to one request.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) report: Report,
    pub(super) fd: Option<OwnedFd>,
}

impl Answer {
    pub(super) fn into_error(self) -> SandboxError {
        match self.report {
            Report::Refused { stage, message, .. } => SandboxError::Stage { stage, message },
            report => SandboxError::Stage {
                stage: "answer".into(),
                message: format!("unexpected {report:?}"),
            },
        }
    }
}

/// Held by everything that talks to the spawner; when nobody does, the socket closes.
#[derive(Debug)]
pub(crate) struct Link {
    socket: Arc<AsyncFd<OwnedFd>>,
    waiting: Arc<Waiting>,
    pid: u32,
    ended: watch::Receiver<bool>,
    reader: tokio::task::AbortHandle,
}

/// Who waits for an answer, and what must not happen before it has come.
#[derive(Debug)]
struct Asked {
    sender: oneshot::Sender<Answer>,
    under_way: Option<UnderWay>,
}

/// Who waits for what.
#[derive(Debug, Default)]
struct Waiting {
    dead: AtomicBool,
    answers: Mutex<HashMap<u64, Asked>>,
    exits: Mutex<HashMap<u64, watch::Sender<Option<ExitStatus>>>>,
}

impl Link {
    pub(super) fn open(socket: OwnedFd, child: Child) -> io::Result<Arc<Self>> {
        let socket = Arc::new(register(socket)?);
        let waiting = Arc::new(Waiting::default());
        let pid = child.id();
        let (ending, ended) = watch::channel(false);
        let reader = bootlace_tasks::spawn(
            READER,
            read(
                Arc::clone(&socket),
                Arc::clone(&waiting),
                Burial(Some(child)),
                ending,
            ),
        );
        let reader = reader.abort_handle();
        Ok(Arc::new(Self {
            socket,
            waiting,
            pid,
            ended,
            reader,
        }))
    }

    pub(super) fn alive(&self) -> bool {
        !self.waiting.dead.load(Ordering::Acquire)
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns when the spawner has ended.
    pub(super) async fn ended(&self) {
        let _ = self.ended.clone().wait_for(|ended| *ended).await;
    }

    /// Last resort. The spawner is our child and not reaped before `ended`.
    pub(super) fn kill(&self) {
        if *self.ended.borrow() {
            return;
        }
        let pid = i32::try_from(self.pid)
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }

    /// Sends a command and returns what its answer will arrive through.
    pub(super) async fn expect(
        &self,
        request: u64,
        command: &Command,
        fd: Option<OwnedFd>,
    ) -> Result<oneshot::Receiver<Answer>, SandboxError> {
        self.expect_while(request, command, fd, None).await
    }

    /// The same, and keeps `under_way` until the answer has come, even if nobody waits any more.
    pub(super) async fn expect_while(
        &self,
        request: u64,
        command: &Command,
        fd: Option<OwnedFd>,
        under_way: Option<UnderWay>,
    ) -> Result<oneshot::Receiver<Answer>, SandboxError> {
        let (sender, receiver) = oneshot::channel();
        let asked = Asked { sender, under_way };
        lock(&self.waiting.answers).insert(request, asked);
        let mut unsent = Unsent {
            waiting: &self.waiting,
            request: Some(request),
        };
        self.send(command, fd).await?;
        // A reader that ended meanwhile has already dropped all senders, or not seen this one.
        if self.alive() {
            unsent.request = None;
        }
        Ok(receiver)
    }

    /// Makes the end of a process observable. Called before the process is asked for.
    pub(super) fn watch_exit(&self, process: u64) -> watch::Receiver<Option<ExitStatus>> {
        let (sender, receiver) = watch::channel(None);
        lock(&self.waiting.exits).insert(process, sender);
        if !self.alive() {
            self.forget_exit(process);
        }
        receiver
    }

    pub(super) fn forget_exit(&self, process: u64) {
        lock(&self.waiting.exits).remove(&process);
    }

    /// Sends a command that nobody waits for, from anywhere, without waiting.
    pub(crate) fn send_soon(self: &Arc<Self>, command: &Command) {
        let Ok(text) = serde_json::to_vec(command) else {
            return;
        };
        match try_send(self.socket.get_ref().as_fd(), &text, None) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            _ => return,
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let _inside = runtime.enter();
            let link = Arc::clone(self);
            bootlace_tasks::spawn(LATE_COMMAND, async move {
                let _ = link.send_text(&text, None).await;
            });
        }
    }

    async fn send(&self, command: &Command, fd: Option<OwnedFd>) -> Result<(), SandboxError> {
        let text = serde_json::to_vec(command)
            .map_err(|error| SandboxError::Invalid(error.to_string()))?;
        if text.len() > MESSAGE_BYTES {
            let long = format!("{} bytes; the limit is {MESSAGE_BYTES}", text.len());
            return Err(SandboxError::Invalid(long));
        }
        self.send_text(&text, fd.as_ref().map(AsFd::as_fd))
            .await
            .map_err(|error| match error.kind() {
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
                    SandboxError::SpawnerGone
                }
                _ => SandboxError::Io {
                    what: "cannot ask the sandbox spawner",
                    source: error,
                },
            })
    }

    async fn send_text(&self, text: &[u8], fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
        self.socket
            .async_io(Interest::WRITABLE, |socket| {
                try_send(socket.as_fd(), text, fd)
            })
            .await
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // The reader holds the socket, too; without it the spawner sees the end.
        self.reader.abort();
    }
}

/// A command that never went out, because of an error or because its sender gave up, has no answer.
struct Unsent<'a> {
    waiting: &'a Waiting,
    request: Option<u64>,
}

impl Drop for Unsent<'_> {
    fn drop(&mut self) {
        if let Some(request) = self.request {
            let asked = lock(&self.waiting.answers).remove(&request);
            drop(asked);
        }
    }
}

#[allow(
    unsafe_code,
    reason = "Tokio wants the promise that the descriptor stays"
)]
fn register(socket: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the `OwnedFd` keeps the socket open and its number fixed for as long as the
    // `AsyncFd` owns it; nothing takes it out.
    Ok(unsafe { AsyncFd::register(socket) }?)
}

fn try_send(socket: BorrowedFd<'_>, text: &[u8], fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
    protocol::send(socket, text, fd, SendFlags::DONTWAIT)
}

/// Waits for the spawner so that it leaves no zombie, also when the reader is aborted.
struct Burial(Option<Child>);

impl Drop for Burial {
    fn drop(&mut self) {
        let Some(mut child) = self.0.take() else {
            return;
        };
        // The socket closed just now or before; the spawner is about to end.
        std::thread::spawn(move || {
            let _ = child.wait();
        });
    }
}

async fn read(
    socket: Arc<AsyncFd<OwnedFd>>,
    waiting: Arc<Waiting>,
    mut burial: Burial,
    ending: watch::Sender<bool>,
) {
    let mut buffer = Vec::new();
    loop {
        let next = socket
            .async_io(Interest::READABLE, |socket| {
                let mut taken = Vec::new();
                while taken.len() < REPORTS_AT_ONCE {
                    match protocol::receive::<Report>(socket, &mut buffer, RecvFlags::DONTWAIT) {
                        Ok(Some(message)) => taken.push(message),
                        Ok(None) if taken.is_empty() => return Ok(None),
                        Err(error) if taken.is_empty() => return Err(error),
                        Ok(None) | Err(_) => break,
                    }
                }
                Ok(Some(taken))
            })
            .await;
        match next {
            Ok(Some(messages)) => {
                for (report, fd) in messages {
                    waiting.deliver(report, fd);
                }
            }
            Ok(None) => break,
            Err(error) => {
                tracing::error!(%error, "the sandbox spawner's socket failed");
                break;
            }
        }
    }
    waiting.end();
    drop(socket);
    if let Some(mut child) = burial.0.take() {
        let waited = tokio::task::spawn_blocking(move || child.wait()).await;
        tracing::debug!(?waited, "sandbox spawner ended");
    }
    ending.send_replace(true);
}

impl Waiting {
    fn deliver(&self, report: Report, fd: Option<OwnedFd>) {
        let request = match &report {
            Report::Created { request, .. }
            | Report::Spawned { request, .. }
            | Report::NoExec { request, .. }
            | Report::Refused { request, .. }
            | Report::Destroyed { request }
            | Report::Emptied { request }
            | Report::Socket { request } => *request,
            Report::Exited {
                process,
                end,
                out_of_memory,
            } => {
                let status = ExitStatus {
                    end: *end,
                    out_of_memory: *out_of_memory,
                };
                if let Some(exit) = lock(&self.exits).remove(process) {
                    exit.send_replace(Some(status));
                }
                return;
            }
            // Its processes' ends have been told; whoever holds the sandbox learns by using it.
            Report::Gone { .. } | Report::Ready { .. } => return,
        };
        let asked = lock(&self.answers).remove(&request);
        if let Some(Asked { sender, under_way }) = asked {
            drop(under_way);
            // Whoever asked and gave up has seen to it that the sandbox is destroyed.
            let _ = sender.send(Answer { report, fd });
        }
    }

    /// Nobody will answer any more; every process is gone with the spawner.
    fn end(&self) {
        self.dead.store(true, Ordering::Release);
        let unanswered = std::mem::take(&mut *lock(&self.answers));
        drop(unanswered);
        for (_, exit) in lock(&self.exits).drain() {
            exit.send_replace(Some(ExitStatus::lost()));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
