//! The connections of one sandbox to its Runtime API.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bootlace_tasks::TaskKind;
use bootlace_types::limits;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::environment::Environment;
use crate::prompt::Prompt;
use crate::runtime_api;

const CONNECTION: TaskKind = TaskKind::disposable("guest connection");
/// A connection that has not sent one whole request head by then is closed. Later ones may stay
/// silent: a runtime that works on an event keeps its connection for as long as the event takes.
const FIRST_REQUEST: Duration = Duration::from_secs(10);
/// Waits after an accept that failed for want of resources.
const ACCEPT_RETRY: Duration = Duration::from_millis(20);

/// Accepts and serves; dropped, every connection is closed.
pub(crate) struct Connections {
    environment: Arc<Environment>,
    listener: TcpListener,
    spare: Arc<Semaphore>,
    open: Mutex<Vec<JoinHandle<Option<()>>>>,
}

impl Connections {
    pub(crate) fn new(
        environment: Arc<Environment>,
        listener: TcpListener,
        spare: Arc<Semaphore>,
    ) -> Self {
        Self {
            environment,
            listener,
            spare,
            open: Mutex::default(),
        }
    }

    /// Accepts connections for ever. At a limit it closes the newcomer: a guest that hoards
    /// connections harms only itself. Cancel-safe.
    pub(crate) async fn accept(&self) -> Infallible {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => self.take(stream),
                // Refused by the host for want of file descriptors or memory; the guest tries again.
                Err(_) => tokio::time::sleep(ACCEPT_RETRY).await,
            }
        }
    }

    /// Closes all connections, also those that nobody has accepted yet. After this nothing is heard
    /// any more from processes that are dead: the ones that follow them share only the listener.
    pub(crate) async fn clear(&self) {
        let open = std::mem::take(&mut *self.open());
        open.iter().for_each(JoinHandle::abort);
        for connection in open {
            // An error says that it was aborted.
            let _ = connection.await;
        }
        while rustix::net::accept(&self.listener).is_ok() {}
    }

    fn take(&self, stream: TcpStream) {
        let mut open = self.open();
        open.retain(|connection| !connection.is_finished());
        if open.len() >= limits::GUEST_CONNECTIONS {
            return;
        }
        // Descriptors are the server's: no crowd of sandboxes may have them all.
        let extensions = self
            .environment
            .with_lifecycle(|machine| machine.parties().count());
        let sure = limits::GUEST_CONNECTIONS_SURE + extensions;
        let spare = if open.len() < sure {
            None
        } else {
            let Ok(permit) = Arc::clone(&self.spare).try_acquire_owned() else {
                return;
            };
            Some(permit)
        };
        let environment = Arc::clone(&self.environment);
        let head_bytes = if open.len() < limits::GUEST_LONG_HEADERS {
            limits::GUEST_HEADER_BYTES
        } else {
            limits::GUEST_SHORT_HEADER_BYTES
        };
        open.push(bootlace_tasks::spawn(CONNECTION, async move {
            serve(environment, stream, head_bytes).await;
            drop(spare);
        }));
    }

    fn open(&self) -> MutexGuard<'_, Vec<JoinHandle<Option<()>>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        self.open().iter().for_each(JoinHandle::abort);
    }
}

async fn serve(environment: Arc<Environment>, stream: TcpStream, head_bytes: usize) {
    // Small answers must not wait for each other.
    let _ = stream.set_nodelay(true);
    let called = AtomicBool::new(false);
    let service = service_fn(|request| {
        called.store(true, Ordering::Relaxed);
        runtime_api::serve(Arc::clone(&environment), request)
    });
    let connection = http1::Builder::new()
        .title_case_headers(true)
        .max_headers(limits::HEADERS_COUNT)
        .max_header_size(head_bytes)
        .max_buf_size(head_bytes + 64 * 1024)
        .serve_connection(TokioIo::new(Prompt::new(stream, &environment)), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // What goes wrong on a guest's connection is the guest's matter.
        _ = connection.as_mut() => return,
        // While it is frozen it cannot send anything.
        () = environment.awake_for(FIRST_REQUEST) => {}
    }
    if called.load(Ordering::Relaxed) {
        let _ = connection.await;
    }
}
