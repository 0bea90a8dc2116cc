//! The surfaces that a function's code reaches: Runtime, Extensions, Telemetry and Logs API, as raw
//! bytes over real connections.
#![no_main]

use std::sync::{Arc, LazyLock, OnceLock};

use bootlace_fuzz::http::{exchange, statuses, throw};
use bootlace_fuzz::tokens::{FIRST, expand, split};
use bootlace_fuzz::world::{Input, World};
use bootlace_invoke::LogSink;
use bootlace_sandbox::{ExitStatus, FakeGuest};
use libfuzzer_sys::fuzz_target;
use serde_json::json;
use tokio::net::TcpStream;

/// Between the bytes of one connection and those of the next.
const NEXT_CONNECTION: u8 = 0xff;

/// The ids of the invocation and of the extension come after these.
const PIECES: &[&[u8]] = &[
    b"\r\n",
    b"\r\n\r\n",
    b" HTTP/1.1\r\nHost: r\r\n",
    b"GET ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"/2018-06-01/runtime/invocation/next",
    b"/2018-06-01/runtime/invocation/",
    b"/response",
    b"/error",
    b"/2018-06-01/runtime/init/error",
    b"/2018-06-01/ping",
    b"/2020-01-01/extension/register",
    b"/2020-01-01/extension/event/next",
    b"/2020-01-01/extension/init/error",
    b"/2020-01-01/extension/exit/error",
    b"/2022-07-01/telemetry",
    b"/2020-08-15/logs",
    b"Content-Length: ",
    b"Transfer-Encoding: chunked\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: close\r\n",
    b"Content-Type: application/vnd.awslambda.http-integration-response\r\n",
    b"Lambda-Runtime-Function-Response-Mode: streaming\r\n",
    b"Lambda-Runtime-Function-Error-Type: ",
    b"Lambda-Runtime-Function-Error-Body: ",
    b"Lambda-Runtime-Function-XRay-Error-Cause: ",
    b"Trailer: Lambda-Runtime-Function-Error-Type\r\n",
    b"Lambda-Extension-Name: ",
    b"Lambda-Extension-Identifier: ",
    b"Lambda-Extension-Function-Error-Type: Extension.X\r\n",
    b"Lambda-Extension-Accept-Feature: accountId\r\n",
    b"{\"events\":[\"INVOKE\",\"SHUTDOWN\"]}",
    b"{\"errorMessage\":\"m\",\"errorType\":\"t\",\"stackTrace\":[]}",
    b"{\"schemaVersion\":\"2022-12-13\",\"types\":[\"platform\",\"function\",\"extension\"],",
    b"\"buffering\":{\"maxItems\":1000,\"maxBytes\":262144,\"timeoutMs\":25},",
    b"\"destination\":{\"protocol\":\"HTTP\",\"URI\":\"http://sandbox.localdomain:1\"}}",
    b"\"destination\":{\"protocol\":\"TCP\",\"port\":1}}",
    b"AAAA",
    b"0\r\n",
    b"a\r\n0123456789\r\n",
    b"\xff\xfe",
    b"\0",
    &[b'x'; 1_000],
    &[b'y'; 70_000],
];

static WORLD: OnceLock<World> = OnceLock::new();

/// With `SHOW_ANSWERS` set, what came back is printed: to see how far an input gets.
static SHOW: LazyLock<bool> = LazyLock::new(|| std::env::var_os("SHOW_ANSWERS").is_some());

fuzz_target!(|data: &[u8]| {
    let Some((choices, content)) = split::<2>(data) else {
        return;
    };
    let world = WORLD.get_or_init(|| {
        let world = World::start(LogSink::None, process);
        world.create("f", json!({}));
        world
    });
    world.invoke(
        "f",
        Input {
            choices,
            content: content.to_vec(),
        },
    );
});

const NEXT: &[u8] = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: r\r\n\r\n";
const REGISTER: &[u8] = b"POST /2020-01-01/extension/register HTTP/1.1\r\nHost: r\r\n\
    Lambda-Extension-Name: e\r\nContent-Length: 21\r\n\r\n{\"events\":[\"INVOKE\"]}";

/// Perhaps does the honest thing first, then sends the input.
async fn process(guest: FakeGuest, input: Arc<Input>) -> ExitStatus {
    let [honest, end] = input.choices;
    let address = guest.address.to_string();
    let mut extension = None;
    if honest & 1 != 0 {
        extension = ask(&address, REGISTER, "Lambda-Extension-Identifier").await;
        // It takes every event, for nothing goes on without it.
        if let Some(id) = extension.clone() {
            drop(bootlace_tasks::spawn(PARKED, park(address.clone(), id)));
        }
    }
    let mut event = None;
    let mut runtime = None;
    if honest & 2 != 0 {
        (event, runtime) = next(&address).await;
    }
    let id = event
        .clone()
        .unwrap_or_else(|| "5bbe1ae4-8b45-4ba7-b58e-9a6d6e4c3a11".into());
    let mut pieces = PIECES.to_vec();
    pieces.push(id.as_bytes());
    pieces.push(extension.as_deref().unwrap_or(&id).as_bytes());
    assert!(pieces.len() < usize::from(NEXT_CONNECTION - FIRST));
    for bytes in input.content.split(|byte| *byte == NEXT_CONNECTION).take(8) {
        let answers = throw(&address, &expand(bytes, &pieces)).await;
        if *SHOW {
            eprintln!("{}", String::from_utf8_lossy(&answers));
        }
        let failed = statuses(&answers).into_iter().find(|status| *status == 500);
        assert_eq!(failed, None, "{}", String::from_utf8_lossy(&answers));
    }
    if honest & 4 != 0 && event.is_none() {
        (event, runtime) = next(&address).await;
    }
    if end & 1 != 0
        && let (Some(id), Some(mut stream)) = (event, runtime)
    {
        let answer = format!(
            "POST /2018-06-01/runtime/invocation/{id}/response HTTP/1.1\r\nHost: r\r\n\
             Content-Length: 2\r\n\r\n{{}}"
        );
        let _ = exchange(&mut stream, answer.as_bytes()).await;
        if end & 2 != 0 {
            let _ = exchange(&mut stream, NEXT).await;
        }
    }
    ExitStatus::exited(i32::from(end & 4))
}

const PARKED: bootlace_tasks::TaskKind = bootlace_tasks::TaskKind::disposable("parked extension");

async fn park(address: String, id: String) {
    let next = format!(
        "GET /2020-01-01/extension/event/next HTTP/1.1\r\nHost: r\r\n\
         Lambda-Extension-Identifier: {id}\r\n\r\n"
    );
    let event = "Lambda-Extension-Event-Identifier";
    while ask(&address, next.as_bytes(), event).await.is_some() {}
}

/// The event's id, and the connection that it came by.
async fn next(address: &str) -> (Option<String>, Option<TcpStream>) {
    let Ok(mut stream) = TcpStream::connect(address).await else {
        return (None, None);
    };
    let answer = exchange(&mut stream, NEXT).await.ok();
    let id = answer.and_then(|answer| {
        let id = answer.header("Lambda-Runtime-Aws-Request-Id");
        id.map(str::to_owned)
    });
    (id, Some(stream))
}

async fn ask(address: &str, request: &[u8], header: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let answer = exchange(&mut stream, request).await.ok()?;
    answer.header(header).map(str::to_owned)
}
