//! A server in this process, on a store in memory; what its functions' processes do is up to the
//! target.

use std::future::Future;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bootlace_api::{Api, ApiOptions};
use bootlace_control::{ControlOptions, ControlPlane};
use bootlace_invoke::{Dispatcher, DispatcherOptions, LogSink};
use bootlace_sandbox::{Driver, ExitStatus, FakeDriver, FakeGuest};
use bootlace_store::Store;
use bootlace_tasks::TaskKind;
use bootlace_types::clock;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::http::{self, Answer, PATIENCE};

const SERVER: TaskKind = TaskKind::vital("server");
/// Environments that may be left after an input: what waits for its next invocation, or its end.
const LEFT: usize = 8;

/// A running server.
pub struct World {
    pub runtime: Runtime,
    pub address: String,
    dispatcher: Arc<Dispatcher>,
    /// What the next process is to do.
    input: Arc<Mutex<Arc<Input>>>,
    connection: Mutex<Option<TcpStream>>,
    _stop: watch::Sender<bool>,
    _temp: tempfile::TempDir,
}

/// What a target gives its processes.
#[derive(Debug, Default)]
pub struct Input {
    pub choices: [u8; 2],
    pub content: Vec<u8>,
}

impl World {
    /// Starts the server; every process runs the script with the input of the moment.
    pub fn start<F, R>(logs: LogSink, script: F) -> Self
    where
        F: Fn(FakeGuest, Arc<Input>) -> R + Send + Sync + 'static,
        R: Future<Output = ExitStatus> + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let temp = tempfile::tempdir().expect("a directory");
        let input: Arc<Mutex<Arc<Input>>> = Arc::default();
        let of_moment = Arc::clone(&input);
        let driver = Driver::Fake(FakeDriver::new(move |guest| {
            let input = of_moment.lock().unwrap_or_else(PoisonError::into_inner);
            script(guest, Arc::clone(&input))
        }));
        let store = Store::memory(temp.path());
        let (stop, stopping) = watch::channel(false);
        let (address, dispatcher) = runtime.block_on(async {
            let control = ControlPlane::new(store.clone(), ControlOptions::default());
            let options = DispatcherOptions {
                // An honest script needs a millisecond or two; one that is silent need not be waited for.
                init_timeout: Duration::from_millis(30),
                logs,
                ..DispatcherOptions::default()
            };
            let dispatcher = Dispatcher::start(options, store, driver).await;
            let dispatcher = dispatcher.expect("a dispatcher");
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address").to_string();
            let api = Api {
                control,
                dispatcher: Arc::clone(&dispatcher),
                options: ApiOptions {
                    reset_allowed: true,
                    ..ApiOptions::default()
                },
            };
            bootlace_tasks::spawn(SERVER, bootlace_api::serve(api, listener, stopping));
            (address, dispatcher)
        });
        Self {
            runtime,
            address,
            dispatcher,
            input,
            connection: Mutex::default(),
            _stop: stop,
            _temp: temp,
        }
    }

    /// Creates a function and waits until it can be invoked.
    pub fn create(&self, name: &str, members: Value) {
        let mut document = json!({
            "FunctionName": name,
            "Runtime": "provided.al2023",
            "Role": "arn:aws:iam::000000000000:role/any",
            "Handler": "any",
            "Timeout": 1,
            "Code": {"ZipFile": BASE64.encode(bootstrap())},
        });
        for (member, value) in members.as_object().into_iter().flatten() {
            document[member] = value.clone();
        }
        let made = self.call(
            "POST",
            "/2015-03-31/functions",
            "",
            document.to_string().as_bytes(),
        );
        assert_eq!(made.status, 201, "{made:?}");
        let path = format!("/2015-03-31/functions/{name}/configuration");
        while !String::from_utf8_lossy(&self.call("GET", &path, "", b"").body).contains("Active") {}
    }

    /// Gives the processes their input, invokes the function, and sees that it is answered: what the
    /// guest did is no failure of the server's.
    pub fn invoke(&self, name: &str, input: Input) -> Answer {
        *self.input.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(input);
        let path = format!("/2015-03-31/functions/{name}/invocations");
        let answer = self.call("POST", &path, "x-amz-log-type: Tail\r\n", b"{\"a\":1}");
        assert_eq!(answer.status, 200, "{answer:?}");
        self.settled();
        answer
    }

    /// One request on the connection that is kept.
    pub fn call(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n{headers}\r\n",
            self.address,
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        let kept = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let (answer, stream) = self.runtime.block_on(async {
            let mut stream = match kept {
                Some(stream) => stream,
                None => TcpStream::connect(&self.address)
                    .await
                    .expect("a connection"),
            };
            let answer =
                tokio::time::timeout(PATIENCE, http::exchange(&mut stream, &request)).await;
            let answer = answer.expect("an answer in time").expect("an answer");
            (answer, stream)
        });
        if answer.header("connection") != Some("close") {
            *self
                .connection
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = Some(stream);
        }
        answer
    }

    /// Nothing of what an input began goes on.
    fn settled(&self) {
        let began: Instant = clock::now();
        while self.dispatcher.environments().len() > LEFT {
            assert!(began.elapsed() < PATIENCE, "environments are left over");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// A zip with an executable `bootstrap`.
pub fn bootstrap() -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().unix_permissions(0o755);
    zip.start_file("bootstrap", options).expect("an entry");
    zip.write_all(b"#!/bin/sh\n").expect("content");
    zip.finish().expect("a zip").into_inner()
}
