//! What a guest can make the server hold: requests that never end, on many connections at once.
//!
//! Guests here run in the test's own process, which nextest gives each test; what they send comes
//! from one static buffer, so that the process grows by what the server keeps.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use bootlace_invoke::{DispatcherOptions, InvokeResponse};
use bootlace_sandbox::{Driver, ExitStatus, FakeDriver};
use bootlace_types::{RequestId, limits};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::world::{World, patient, text};

static FILLING: [u8; 6_000_000] = [b'1'; 6_000_000];
/// Connections that a guest hoards, count.
const HOARD: usize = 50;
/// What the server may hold for one environment at most, bytes: an answer, and buffers.
const HELD_BYTES: usize = 64 << 20;

/// Opens connections and sends on each a request that is not finished.
async fn hoard(address: SocketAddr, ping_first: bool, head: &str, rest: usize) -> Vec<TcpStream> {
    let mut held = Vec::new();
    for _ in 0..HOARD {
        let mut stream = TcpStream::connect(address).await.unwrap();
        if ping_first {
            stream
                .write_all(b"GET /2018-06-01/ping HTTP/1.1\r\nHost: x\r\n\r\n")
                .await
                .unwrap();
            assert_ne!(stream.read(&mut [0; 512]).await.unwrap(), 0);
        }
        stream.write_all(head.as_bytes()).await.unwrap();
        // The server may refuse to take so much.
        if stream.write_all(&FILLING[..rest]).await.is_ok() {
            held.push(stream);
        }
    }
    held
}

/// Asks for an event and gives its request's id.
async fn next(stream: &mut BufReader<TcpStream>) -> String {
    stream
        .write_all(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut id = String::new();
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        assert_ne!(stream.read_line(&mut line).await.unwrap(), 0, "an event");
        if let Some(value) = line.strip_prefix("Lambda-Runtime-Aws-Request-Id: ") {
            id = value.trim().to_owned();
        }
    }
    stream.read_exact(&mut [0; 2]).await.unwrap();
    id
}

/// Runs a guest that hoards requests beside its work; how much the server grew by it.
async fn hoarding<F>(ping_first: bool, head: F, rest: usize) -> (InvokeResponse, usize)
where
    F: Fn(&str) -> String + Send + Sync + 'static,
{
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let head = Arc::new(head);
    let driver = FakeDriver::new(move |fake| {
        let (tell, head) = (tell.clone(), Arc::clone(&head));
        async move {
            let stream = TcpStream::connect(fake.address).await.unwrap();
            let mut stream = BufReader::new(stream);
            let id = next(&mut stream).await;
            let before = resident_bytes();
            let held = hoard(fake.address, ping_first, &head(&id), rest).await;
            let grown = resident_bytes().saturating_sub(before);
            let answer = format!(
                "POST /2018-06-01/runtime/invocation/{id}/response HTTP/1.1\r\nHost: x\r\n\
                 Content-Length: 4\r\n\r\ntrue"
            );
            drop(held);
            stream.write_all(answer.as_bytes()).await.unwrap();
            tell.send(grown).await.unwrap();
            std::future::pending::<()>().await;
            ExitStatus::exited(0)
        }
    });
    let started = Arc::new(AtomicUsize::new(0));
    let world = World::driven(patient(), Driver::Fake(driver), started).await;
    let mut record = world.record();
    record.latest.timeout_s = 15;
    world.put("f", &record).await;
    let answer = world.invoke("f", "{}").await.expect("an answer");
    let grown = tokio::time::timeout(Duration::from_secs(10), told.recv()).await;
    (answer, grown.unwrap().unwrap())
}

fn resident_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

fn response_head(id: &str) -> String {
    format!(
        "POST /2018-06-01/runtime/invocation/{id}/response HTTP/1.1\r\nHost: x\r\n\
         Content-Length: {}\r\n\r\n",
        FILLING.len() + 10
    )
}

#[tokio::test]
async fn bodies_for_requests_that_do_not_run_are_not_kept() {
    let foreign = RequestId::random().to_string();
    let head = move |_: &str| response_head(&foreign);
    let (answer, grown) = hoarding(false, head, FILLING.len()).await;
    assert_eq!(text(&answer), "true");
    assert!(grown < HELD_BYTES, "the server grew by {grown} bytes");
}

#[tokio::test]
async fn one_answer_at_a_time_is_kept() {
    let (answer, grown) = hoarding(false, response_head, FILLING.len()).await;
    // Half answers of the request that runs: whatever the caller gets, it gets something.
    assert!(!answer.payload.is_empty());
    assert!(grown < HELD_BYTES, "the server grew by {grown} bytes");
}

#[tokio::test]
async fn sandboxes_share_the_connections_beyond_their_own() {
    const SPARE: usize = 10;
    let options = DispatcherOptions {
        spare_guest_connections: SPARE,
        ..patient()
    };
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let driver = FakeDriver::new(move |fake| {
        let tell = tell.clone();
        async move {
            let mut held = Vec::new();
            for _ in 0..HOARD {
                let mut stream = TcpStream::connect(fake.address).await.unwrap();
                let asked = stream
                    .write_all(b"GET /2018-06-01/ping HTTP/1.1\r\nHost: x\r\n\r\n")
                    .await;
                if asked.is_ok() && stream.read(&mut [0; 512]).await.is_ok_and(|n| n > 0) {
                    held.push(stream);
                }
            }
            tell.send(held.len()).await.unwrap();
            std::future::pending::<()>().await;
            ExitStatus::exited(0)
        }
    });
    let started = Arc::new(AtomicUsize::new(0));
    let world = World::driven(options, Driver::Fake(driver), started).await;
    world.put("f", &world.record()).await;
    let both = async { tokio::join!(world.invoke("f", "1"), world.invoke("f", "2")) };
    let counts = async { told.recv().await.unwrap() + told.recv().await.unwrap() };
    tokio::select! {
        _ = both => unreachable!("the guests never ask for an event"),
        count = counts => assert_eq!(count, 2 * limits::GUEST_CONNECTIONS_SURE + SPARE),
    }
}

#[tokio::test]
async fn long_heads_are_for_the_first_connections() {
    let head = |_: &str| "GET /2018-06-01/ping HTTP/1.1\r\nHost: x\r\nX: ".to_owned();
    let (answer, grown) = hoarding(true, head, 1_000_000).await;
    assert_eq!(text(&answer), "true");
    assert!(grown < HELD_BYTES / 2, "the server grew by {grown} bytes");
}
