//! The connections of one sandbox to its Runtime API.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bootlace_tasks::TaskKind;
use bootlace_types::limits;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinHandle};

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
    open: Vec<JoinHandle<Option<()>>>,
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
            open: Vec::new(),
        }
    }

    /// Accepts one connection. At a limit it closes the newcomer: a guest that hoards
    /// connections harms only itself. Cancel-safe.
    pub(crate) async fn accept(&mut self) {
        let stream = match self.listener.accept().await {
            Ok((stream, _)) => stream,
            // Refused by the host for want of file descriptors or memory; the guest tries again.
            Err(_) => return tokio::time::sleep(ACCEPT_RETRY).await,
        };
        self.open.retain(|connection| !connection.is_finished());
        if self.open.len() >= limits::GUEST_CONNECTIONS {
            return;
        }
        // Descriptors are the server's: no crowd of sandboxes may have them all.
        let spare = if self.open.len() < limits::GUEST_CONNECTIONS_SURE {
            None
        } else {
            let Ok(permit) = Arc::clone(&self.spare).try_acquire_owned() else {
                return;
            };
            Some(permit)
        };
        let environment = Arc::clone(&self.environment);
        let head_bytes = if self.open.len() < limits::GUEST_LONG_HEADERS {
            limits::GUEST_HEADER_BYTES
        } else {
            limits::GUEST_SHORT_HEADER_BYTES
        };
        self.open
            .push(bootlace_tasks::spawn(CONNECTION, async move {
                serve(environment, stream, head_bytes).await;
                drop(spare);
            }));
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        self.open
            .iter()
            .map(JoinHandle::abort_handle)
            .for_each(|one: AbortHandle| one.abort());
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
    let first = tokio::time::timeout(FIRST_REQUEST, connection.as_mut()).await;
    if first.is_err() && called.load(Ordering::Relaxed) {
        // What goes wrong on a guest's connection is the guest's matter.
        let _ = connection.await;
    }
}
