//! What a warm invocation costs in the dispatcher, over the least that could work.
//!
//! `cargo run --release -p bootlace-invoke --example rendezvous [rounds]`, pinned to one processor
//! for stable medians. Both sides serve the same guest, a thread that speaks to its socket; the
//! floor is one lock between two channels and a bare hyper connection.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bootlace_invoke::{Dispatcher, DispatcherOptions, InvokeRequest};
use bootlace_sandbox::{Driver, ExitStatus, FakeDriver};
use bootlace_store::record::{
    self, FunctionConfig, FunctionRecord, LastUpdate, Logging, PackageType, State,
};
use bootlace_store::{Store, Txn};
use bootlace_tasks::TaskKind;
use bootlace_types::{Architecture, RequestId, RevisionId, Runtime, Scope, clock, limits};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use tokio::sync::oneshot;

const TASK: TaskKind = TaskKind::disposable("benchmark");
const BATCH: usize = 500;

type Anything<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Anything<()> {
    let rounds = std::env::args()
        .nth(1)
        .map_or(Ok(20), |text| text.parse())?;
    let (ready, addresses) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.expect("a runtime");
        runtime.block_on(async {
            let temp = tempfile::tempdir().expect("a directory");
            let floor = Floor::start().await.expect("the floor");
            let ours = ours(temp.path()).await.expect("a dispatcher");
            let mut addresses = Vec::new();
            for back in [
                Back::Floor(floor),
                Back::Ours(Arc::clone(&ours)),
                Back::Tail(ours),
            ] {
                addresses.push(front(back).await.expect("a listener"));
            }
            ready.send(addresses).expect("a client");
            std::future::pending::<()>().await;
        });
    });
    let addresses = addresses.recv()?;
    let mut times = vec![Vec::new(); addresses.len()];
    let mut clients = Vec::new();
    for address in addresses {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        clients.push(BufReader::new(stream));
    }
    for round in 0..=rounds {
        for (client, times) in clients.iter_mut().zip(&mut times) {
            for _ in 0..BATCH {
                let began = clock::now();
                call(client)?;
                if round > 0 {
                    times.push(clock::now() - began);
                }
            }
        }
    }
    let medians: Vec<Duration> = times.into_iter().map(median).collect();
    for (name, time) in ["floor", "dispatcher", "dispatcher, with log tail"]
        .iter()
        .zip(&medians)
    {
        let ratio = time.as_secs_f64() / medians[0].as_secs_f64();
        println!("{name:<26} p50 {time:>10.1?}  {ratio:.2}x");
    }
    Ok(())
}

fn call(client: &mut BufReader<TcpStream>) -> Anything<()> {
    let request = [REQUEST.as_bytes(), &[b'1'; 100]].concat();
    client.get_mut().write_all(&request)?;
    let (_, body) = receive(client)?;
    assert_eq!(body, [b'1'; 100]);
    Ok(())
}

const REQUEST: &str = "POST /invoke HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n";

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// What is behind a front: the same few lines of HTTP for all.
#[derive(Clone)]
enum Back {
    Floor(Arc<Floor>),
    Ours(Arc<Dispatcher>),
    Tail(Arc<Dispatcher>),
}

impl Back {
    async fn invoke(&self, payload: Bytes) -> Bytes {
        let (dispatcher, log_tail) = match self {
            Self::Floor(floor) => return floor.invoke(payload).await.expect("an answer"),
            Self::Ours(dispatcher) => (dispatcher, false),
            Self::Tail(dispatcher) => (dispatcher, true),
        };
        let answer = dispatcher.invoke(request(payload, log_tail)).await;
        answer.expect("an answer").payload
    }
}

async fn front(back: Back) -> Anything<SocketAddr> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    bootlace_tasks::spawn(TASK, async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let back = back.clone();
            let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                let back = back.clone();
                async move {
                    let body = request.into_body().collect().await?.to_bytes();
                    Ok::<_, hyper::Error>(Response::new(Full::new(back.invoke(body).await)))
                }
            });
            bootlace_tasks::spawn(TASK, async move {
                let io = hyper_util::rt::TokioIo::new(stream);
                let server = hyper::server::conn::http1::Builder::new();
                let _ = server.serve_connection(io, service).await;
            });
        }
    });
    Ok(address)
}

fn request(payload: Bytes, log_tail: bool) -> InvokeRequest {
    InvokeRequest {
        request_id: RequestId::random(),
        scope: Scope::default(),
        name: "f".into(),
        qualifier: None,
        payload,
        client_context: None,
        cognito_identity: None,
        tenant_id: None,
        trace_id: None,
        log_tail,
    }
}

/// Parked calls, callers, events: one lock.
#[derive(Default)]
struct Floor {
    state: Mutex<FloorState>,
}

#[derive(Default)]
struct FloorState {
    waiting: VecDeque<Bytes>,
    parked: Option<oneshot::Sender<Bytes>>,
    caller: Option<oneshot::Sender<Bytes>>,
}

impl Floor {
    async fn start() -> Anything<Arc<Self>> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let floor = Arc::new(Self::default());
        let serving = Arc::clone(&floor);
        bootlace_tasks::spawn(TASK, async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let floor = Arc::clone(&serving);
                let service = hyper::service::service_fn(move |request| {
                    let floor = Arc::clone(&floor);
                    async move { Ok::<_, Infallible>(floor.serve(request).await) }
                });
                bootlace_tasks::spawn(TASK, async move {
                    let io = hyper_util::rt::TokioIo::new(stream);
                    let server = hyper::server::conn::http1::Builder::new();
                    let _ = server.serve_connection(io, service).await;
                });
            }
        });
        std::thread::spawn(move || guest(address));
        Ok(floor)
    }

    async fn invoke(&self, payload: Bytes) -> Anything<Bytes> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut state = self.state.lock().expect("unpoisoned");
            state.caller = Some(sender);
            match state.parked.take() {
                Some(parked) => drop(parked.send(payload)),
                None => state.waiting.push_back(payload),
            }
        }
        Ok(receiver.await?)
    }

    async fn serve(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() == hyper::Method::GET {
            let parked = {
                let mut state = self.state.lock().expect("unpoisoned");
                match state.waiting.pop_front() {
                    Some(event) => Ok(event),
                    None => {
                        let (sender, receiver) = oneshot::channel();
                        state.parked = Some(sender);
                        Err(receiver)
                    }
                }
            };
            let event = match parked {
                Ok(event) => event,
                Err(receiver) => receiver.await.unwrap_or_default(),
            };
            let mut response = Response::new(Full::new(event));
            let id = hyper::header::HeaderValue::from_static("floor");
            response
                .headers_mut()
                .insert("Lambda-Runtime-Aws-Request-Id", id);
            return response;
        }
        let body = request
            .into_body()
            .collect()
            .await
            .map(|body| body.to_bytes());
        let caller = self.state.lock().expect("unpoisoned").caller.take();
        if let (Ok(body), Some(caller)) = (body, caller) {
            let _ = caller.send(body);
        }
        let mut response = Response::new(Full::default());
        *response.status_mut() = hyper::StatusCode::ACCEPTED;
        response
    }
}

/// The same guest for both: one connection, answers with what it got.
fn guest(address: SocketAddr) -> std::io::Result<()> {
    let mut stream = BufReader::new(TcpStream::connect(address)?);
    stream.get_ref().set_nodelay(true)?;
    loop {
        let next = "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n";
        stream.get_mut().write_all(next.as_bytes())?;
        let (id, body) = receive(&mut stream)?;
        let mut answer = format!(
            "POST /2018-06-01/runtime/invocation/{id}/response HTTP/1.1\r\nHost: x\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        answer.extend_from_slice(&body);
        stream.get_mut().write_all(&answer)?;
        receive(&mut stream)?;
    }
}

fn receive(stream: &mut BufReader<TcpStream>) -> std::io::Result<(String, Vec<u8>)> {
    let (mut id, mut length, mut line) = (String::new(), 0, String::new());
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            if line.trim_end().is_empty() {
                break;
            }
            continue;
        };
        if name.eq_ignore_ascii_case("lambda-runtime-aws-request-id") {
            value.clone_into(&mut id);
        } else if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((id, body))
}

async fn ours(temp: &std::path::Path) -> Anything<Arc<Dispatcher>> {
    let store = Store::memory(temp);
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("bootstrap", zip::write::SimpleFileOptions::default())?;
    let zip = Bytes::from(zip.finish()?.into_inner());
    let code = store.ingest_zip(zip, limits::UNZIPPED_BYTES).await?;
    let logging = Logging {
        format: "Text".into(),
        group: "/aws/lambda/f".into(),
        application_level: None,
        system_level: None,
    };
    let latest = FunctionConfig {
        revision_id: RevisionId::random(),
        package_type: PackageType::Zip,
        runtime: Some(Runtime::ProvidedAl2023),
        handler: Some("h".into()),
        role: String::new(),
        description: String::new(),
        timeout_s: 3,
        memory_mb: 128,
        ephemeral_storage_mb: 512,
        architecture: Architecture::host().ok_or("no architecture of Lambda")?,
        environment: None,
        layers: Vec::new(),
        code,
        last_modified_ms: 1,
        state: State::Active,
        last_update: Some(LastUpdate::Successful),
        logging,
        tracing_mode: "PassThrough".into(),
        snap_start: "None".into(),
        kms_key_arn: None,
        dead_letter_target: None,
        vpc: None,
        shown_only: Default::default(),
    };
    let record = FunctionRecord {
        latest,
        last_version: 0,
        tags: Default::default(),
        reserved_concurrency: None,
    };
    let key = record::function_key(&Scope::default(), "f");
    let puts = vec![(key, Bytes::from(serde_json::to_vec(&record)?))];
    store
        .kv
        .commit(Txn {
            puts,
            ..Txn::default()
        })
        .await?;
    let driver = FakeDriver::new(|fake| async move {
        fake.memory_bytes
            .store(1 << 20, std::sync::atomic::Ordering::Relaxed);
        let run = tokio::task::spawn_blocking(move || guest(fake.address));
        let _ = run.await;
        ExitStatus::exited(0)
    });
    let options = DispatcherOptions::default();
    Ok(Dispatcher::start(options, store, Driver::Fake(driver)).await?)
}
