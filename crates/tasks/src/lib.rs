//! Named tasks: every spawn says what it is, and what happens when it panics or the server stops.
//!
//! It knows nothing of what the tasks do. Read [`spawn`] first; it is the only place in Bootlace
//! that calls `tokio::spawn`, and a lint keeps it so.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use tokio::task::JoinHandle;

/// What a panic of the task means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnPanic {
    /// One connection, environment or request is lost; the server goes on.
    Log,
    /// The server cannot keep its promises without this task: it stops at once, and the data
    /// directory's recovery does the rest.
    Abort,
}

/// What stopping the server means for the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnShutdown {
    /// It may be dropped at any await.
    Drop,
    /// Somebody awaits its end before the process exits.
    Finish,
}

/// The policy of one kind of task; kinds are constants beside the code that spawns them.
#[derive(Debug, Clone, Copy)]
pub struct TaskKind {
    pub name: &'static str,
    pub on_panic: OnPanic,
    pub on_shutdown: OnShutdown,
}

impl TaskKind {
    /// A task whose loss costs one connection, environment or request.
    #[must_use]
    pub const fn disposable(name: &'static str) -> Self {
        Self {
            name,
            on_panic: OnPanic::Log,
            on_shutdown: OnShutdown::Drop,
        }
    }

    /// A task without which the server must not go on.
    #[must_use]
    pub const fn vital(name: &'static str) -> Self {
        Self {
            name,
            on_panic: OnPanic::Abort,
            on_shutdown: OnShutdown::Drop,
        }
    }

    /// As it was, but awaited when the server stops.
    #[must_use]
    pub const fn finished(mut self) -> Self {
        self.on_shutdown = OnShutdown::Finish;
        self
    }
}

/// Runs a future as a task of its kind.
#[allow(clippy::disallowed_methods, reason = "this is the supervisor")]
pub fn spawn<F>(kind: TaskKind, future: F) -> JoinHandle<Option<F::Output>>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(async move {
        match AssertUnwindSafe(future).catch_unwind().await {
            Ok(output) => Some(output),
            Err(_) if kind.on_panic == OnPanic::Log => {
                tracing::error!(task = kind.name, "a task panicked; the server goes on");
                None
            }
            Err(_) => {
                tracing::error!(task = kind.name, "a vital task panicked; the server stops");
                std::process::abort()
            }
        }
    })
}
