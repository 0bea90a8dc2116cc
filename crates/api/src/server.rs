use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bootlace_tasks::TaskKind;
use bootlace_types::limits;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_io_timeout::TimeoutStream;

use crate::Api;
use crate::service::Service;

/// Its end is awaited through the permits that connections hold.
const CONNECTION: TaskKind = TaskKind::disposable("client connection").finished();
/// After an accept that failed (no file descriptors, say) the next one waits so long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const CONNECTIONS: u32 = 10_000;
const _: () = assert!(CONNECTIONS as usize == limits::CLIENT_CONNECTIONS);

/// Serves clients until `shutdown` becomes true, then lets what is being answered finish.
pub fn serve(
    api: Api,
    listener: TcpListener,
    shutdown: watch::Receiver<bool>,
) -> impl Future<Output = ()> + Send {
    let service = Service::new(api, shutdown.clone());
    accept(service, listener, shutdown)
}

async fn accept(service: Service, listener: TcpListener, mut shutdown: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(limits::CLIENT_CONNECTIONS));
    loop {
        // More connections than the limit wait in the kernel's queue.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = shutdown.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = converse(service.clone(), stream, shutdown.clone());
                bootlace_tasks::spawn(CONNECTION, async move {
                    connection.await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    // All permits are back when the last connection has ended.
    let _ = room.acquire_many(CONNECTIONS).await;
}

async fn converse(service: Service, stream: TcpStream, mut shutdown: watch::Receiver<bool>) {
    let stall = service.client_stall();
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection could not be told to send at once");
    }
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(stall));
    let stream = TokioIo::new(Box::pin(stream));
    let answer = service_fn(move |request| {
        let service = service.clone();
        async move { Ok::<_, Infallible>(service.answer(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::CLIENT_SILENCE)
        .max_buf_size(limits::CLIENT_HEADER_BYTES)
        .serve_connection(stream, answer);
    let mut connection = pin!(connection);
    let stopped = async { shutdown.wait_for(|stop| *stop).await.is_ok() };
    let early = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        _ = stopped => None,
    };
    let ended = match early {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
