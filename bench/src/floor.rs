//! The floor: Invoke, `next` and `response` over hyper, with one mutex between them.
//!
//! Whatever a real server adds shows up as a ratio over this one. It never times out, never checks
//! a name and trusts its function; it is not a server for anybody.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bootlace_types::clock;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::environment;

/// An event on its way to a function process.
struct Event {
    id: u64,
    payload: Bytes,
}

#[derive(Default)]
struct State {
    next_id: u64,
    /// Events that no process was free for.
    waiting: VecDeque<Event>,
    /// Processes parked on `next`, the last to park on top.
    parked: Vec<oneshot::Sender<Event>>,
    answers: HashMap<u64, oneshot::Sender<Bytes>>,
}

struct Floor {
    state: Mutex<State>,
    address: SocketAddr,
    function: PathBuf,
}

/// Runs the floor on as many threads as it has processors.
pub(crate) fn main(listen: SocketAddr, function: PathBuf, processes: usize) -> anyhow::Result<()> {
    // On one processor a single-threaded runtime is the faster one, and the floor is to be the best.
    let mut runtime = match std::thread::available_parallelism()?.get() {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    runtime
        .enable_all()
        .build()?
        .block_on(serve(listen, function, processes))
}

async fn serve(listen: SocketAddr, function: PathBuf, processes: usize) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    let floor = Arc::new(Floor {
        state: Mutex::default(),
        address,
        function,
    });
    let _processes = (0..processes)
        .map(|_| floor.start())
        .collect::<Result<Vec<Child>, std::io::Error>>()?;
    println!("listening on http://{address}");
    let mut end = signal(SignalKind::terminate())?;
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                stream.set_nodelay(true)?;
                spawn(connection(floor.clone(), stream));
            }
            // The function processes end with their handles.
            _ = end.recv() => return Ok(()),
        }
    }
}

async fn connection(floor: Arc<Floor>, stream: TcpStream) {
    let service = service_fn(move |request| answer(floor.clone(), request));
    // A client that leaves in the middle is the end of its connection and nothing more.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(
    floor: Arc<Floor>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let response = match route(&floor, request).await {
        Some(response) => response,
        None => {
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::BAD_REQUEST;
            response
        }
    };
    Ok(response)
}

async fn route(floor: &Floor, request: Request<Incoming>) -> Option<Response<Full<Bytes>>> {
    let path = request.uri().path();
    match *request.method() {
        Method::GET if path.ends_with("/invocation/next") => floor.next().await,
        Method::POST if path.ends_with("/invocations") => {
            let cold = request.uri().query() == Some("cold");
            let payload = request.into_body().collect().await.ok()?.to_bytes();
            floor.invoke(payload, cold).await
        }
        Method::POST => {
            let id = path
                .strip_suffix("/response")?
                .rsplit('/')
                .next()?
                .parse()
                .ok()?;
            let payload = request.into_body().collect().await.ok()?.to_bytes();
            floor.respond(id, payload)
        }
        _ => None,
    }
}

impl Floor {
    async fn invoke(&self, payload: Bytes, cold: bool) -> Option<Response<Full<Bytes>>> {
        let (sender, receiver) = oneshot::channel();
        self.push(payload, sender);
        let process = if cold { Some(self.start().ok()?) } else { None };
        let payload = receiver.await.ok()?;
        if let Some(mut process) = process {
            // The answer does not wait for the end of the process that gave it.
            spawn(async move {
                let _ = process.kill().await;
            });
        }
        Some(Response::new(Full::new(payload)))
    }

    fn push(&self, payload: Bytes, answer: oneshot::Sender<Bytes>) {
        let mut state = self.lock();
        state.next_id += 1;
        let mut event = Event {
            id: state.next_id,
            payload,
        };
        state.answers.insert(event.id, answer);
        while let Some(process) = state.parked.pop() {
            match process.send(event) {
                Ok(()) => return,
                Err(unsent) => event = unsent,
            }
        }
        state.waiting.push_back(event);
    }

    async fn next(&self) -> Option<Response<Full<Bytes>>> {
        let parked = {
            let mut state = self.lock();
            match state.waiting.pop_front() {
                Some(event) => Ok(event),
                None => {
                    let (sender, receiver) = oneshot::channel();
                    state.parked.push(sender);
                    Err(receiver)
                }
            }
        };
        let event = match parked {
            Ok(event) => event,
            Err(receiver) => receiver.await.ok()?,
        };
        let deadline = clock::epoch_ms(clock::wall()) + 60_000;
        Response::builder()
            .header("Lambda-Runtime-Aws-Request-Id", event.id)
            .header("Lambda-Runtime-Deadline-Ms", deadline)
            .header(
                "Lambda-Runtime-Invoked-Function-Arn",
                environment::FUNCTION_ARN,
            )
            .body(Full::new(event.payload))
            .ok()
    }

    fn respond(&self, id: u64, payload: Bytes) -> Option<Response<Full<Bytes>>> {
        let answer = self.lock().answers.remove(&id)?;
        let _ = answer.send(payload);
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::ACCEPTED;
        Some(response)
    }

    /// Starts a function process, which ends with the handle.
    fn start(&self) -> std::io::Result<Child> {
        Command::new(&self.function)
            .env_clear()
            .envs(environment::variables(self.address))
            // It complains when the floor ends under it.
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the floor has no supervisor: it is what that costs"
)]
fn spawn(future: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(future);
}
