//! What happens on the wire below HTTP's meaning.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::world::{FUNCTIONS, World};

async fn talk(world: &World, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(&world.address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    while !text.contains(end) {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).await.unwrap();
        assert_ne!(read, 0, "the connection ended after {text:?}");
        text.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    text
}

#[tokio::test]
async fn a_request_without_a_host_is_refused() {
    let world = World::new().await;
    let mut stream = talk(&world, "GET /bootlace/v1/health HTTP/1.0\r\n\r\n").await;
    assert!(
        read_until(&mut stream, "\r\n\r\n")
            .await
            .starts_with("HTTP/1.0 403")
    );
}

/// Of two names a proxy and we might each take another.
#[tokio::test]
async fn a_request_with_two_hosts_is_refused() {
    let world = World::new().await;
    let head = "GET /bootlace/v1/health HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\n\r\n";
    let mut stream = talk(&world, head).await;
    let answer = read_until(&mut stream, "}").await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}

#[tokio::test]
async fn a_body_in_chunks_is_measured_while_it_is_read() {
    let world = World::new().await;
    world.created("f").await;
    let head = format!(
        "POST {FUNCTIONS}/f/invocations HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: \
         chunked\r\n\r\n"
    );
    let mut stream = talk(&world, &head).await;
    stream
        .write_all(b"2\r\n\"a\r\n2\r\nb\"\r\n0\r\n\r\n")
        .await
        .unwrap();
    assert!(
        read_until(&mut stream, "\"ab\"")
            .await
            .starts_with("HTTP/1.1 200")
    );

    stream.write_all(head.as_bytes()).await.unwrap();
    let piece = format!("100000\r\n{}\r\n", "x".repeat(0x10_0000));
    for _ in 0..7 {
        stream.write_all(piece.as_bytes()).await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    let answer = read_until(&mut stream, "bytes)").await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(
        answer.contains("7340032 byte payload is too large"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_client_that_waits_for_a_go_ahead_gets_the_refusal_instead() {
    let world = World::new().await;
    let head = format!(
        "POST {FUNCTIONS} HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\n\
         content-length: 99999999999\r\n\r\n"
    );
    let mut stream = talk(&world, &head).await;
    let answer = read_until(&mut stream, "operation").await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn headers_without_end_are_refused() {
    let world = World::new().await;
    let mut stream = talk(&world, "GET / HTTP/1.1\r\nhost: localhost\r\n").await;
    let line = format!("a: {}\r\n", "x".repeat(60_000));
    let mut answer = Vec::new();
    for _ in 0..40 {
        if stream.write_all(line.as_bytes()).await.is_err() {
            break;
        }
    }
    // The server may have closed with some of our bytes unread, which resets the connection.
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
    world.get("/bootlace/v1/health").await.expect(200);
}

#[tokio::test]
async fn a_stop_lets_running_requests_finish_and_ends_idle_connections() {
    let world = World::new().await;
    world.created("f").await;
    let mut idle = talk(
        &world,
        "GET /bootlace/v1/health HTTP/1.1\r\nhost: localhost\r\n\r\n",
    )
    .await;
    read_until(&mut idle, "\"ok\"").await;
    let head = format!(
        "POST {FUNCTIONS}/f/invocations HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\r\n"
    );
    let mut running = talk(&world, &head).await;
    running.write_all(b"\"a").await.unwrap();
    // The first request's answer shows that the server has read what came before.
    world.get("/bootlace/v1/health").await.expect(200);
    world.stop.send_replace(true);
    assert_eq!(
        idle.read(&mut [0; 16]).await.unwrap(),
        0,
        "idle connections end"
    );
    running.write_all(b"b\"").await.unwrap();
    assert!(
        read_until(&mut running, "\"ab\"")
            .await
            .starts_with("HTTP/1.1 200")
    );
    tokio::time::timeout(Duration::from_secs(10), world.serving)
        .await
        .unwrap()
        .unwrap();
    assert!(
        TcpStream::connect(&world.address).await.is_err(),
        "nobody listens any more"
    );
}

/// Uploads that were announced and do not come take all the room there is for them.
#[tokio::test]
async fn uploads_that_do_not_come_hold_up_no_invocation() {
    let world = World::new().await;
    world.created("f").await;
    let head = format!(
        "POST {FUNCTIONS} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 70000000\r\n\r\n{{"
    );
    let mut uploads = Vec::new();
    for _ in 0..10 {
        uploads.push(talk(&world, &head).await);
    }
    // Another upload shows that the server has read those: it waits.
    let large = serde_json::json!({ "Description": "x".repeat(100_000) });
    let waiting = world.post(FUNCTIONS, &large);
    let waited = tokio::time::timeout(Duration::from_millis(300), waiting).await;
    assert!(waited.is_err(), "there was room for another upload");

    let event = format!("\"{}\"", "x".repeat(100_000));
    let invoked = world.invoke("f", &[], event.clone());
    let answer = tokio::time::timeout(Duration::from_secs(10), invoked).await;
    assert_eq!(answer.unwrap().expect(200).body, event);
    drop(uploads);
    world.post(FUNCTIONS, &large).await.expect(400);
}
