//! Deliveries over real sockets to subscribers good and bad.

use std::time::Duration;

use bootlace_sandbox::{Driver, ExitStatus, FakeDriver, Sandbox, SandboxSpec};
use bootlace_testkit::collector::{Collector, OK, Takes};
use bootlace_types::{clock, limits};
use serde_json::json;
use tokio::net::TcpSocket;
use tokio::sync::watch;

use super::subscription::Api;
use super::*;

const REFUSED: &str = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";

/// A subscriber whose extension listens on a port of this host.
struct World {
    subscriber: Subscriber,
    frozen: watch::Sender<bool>,
    _sandbox: Sandbox,
}

impl World {
    async fn http(port: u16) -> Self {
        let uri = format!("http://sandbox.localdomain:{port}/logs");
        Self::new(json!({ "protocol": "HTTP", "URI": uri })).await
    }

    async fn tcp(port: u16) -> Self {
        Self::new(json!({ "protocol": "TCP", "port": port })).await
    }

    async fn new(destination: serde_json::Value) -> Self {
        let body = json!({
            "schemaVersion": "2022-12-13",
            "types": ["function"],
            "buffering": { "timeoutMs": 25, "maxItems": 1_000 },
            "destination": destination,
        });
        let subscription = Subscription::parse(Api::Telemetry, body.to_string().as_bytes());
        let driver = FakeDriver::new(|_| async { ExitStatus::exited(0) });
        let spec = SandboxSpec {
            id: "x".into(),
            trees: Vec::new(),
            memory_bytes: 1 << 20,
            tmp_bytes: 1 << 20,
            processes: 1,
            listen_port: 9001,
            cpu: None,
        };
        let sandbox = Driver::Fake(driver).create(spec).await.unwrap();
        let frozen = watch::Sender::new(false);
        let gate = Gate::new(frozen.subscribe());
        let connector = sandbox.connector();
        let room = Arc::new(Room::new(limits::TELEMETRY_ROOM_BYTES));
        let id = Uuid::new_v4();
        Self {
            subscriber: Subscriber::start(id, &subscription.unwrap(), connector, gate, room),
            frozen,
            _sandbox: sandbox,
        }
    }

    fn write(&self, line: &[u8]) {
        self.subscriber
            .line(clock::wall(), LogOrigin::Function, line, false);
    }

    async fn settled(&self) {
        let settled = self.subscriber.queue().settled();
        let waited = tokio::time::timeout(Duration::from_secs(20), settled).await;
        assert!(waited.is_ok(), "it was not delivered");
    }
}

fn texts(collector: &Collector) -> Vec<String> {
    let records = collector.records();
    let texts = records.iter().map(|record| record["record"].as_str());
    texts.map(|text| text.unwrap_or("?").to_owned()).collect()
}

#[tokio::test]
async fn records_come_over_http_on_one_connection() {
    let collector = Collector::start(Takes::Http(vec![OK])).await.unwrap();
    let world = World::http(collector.port).await;
    for round in 1..=3 {
        world.write(b"one");
        world.write(b"two");
        collector
            .until("the delivery", |c| c.records().len() == 2 * round)
            .await;
        world.settled().await;
    }
    assert_eq!(collector.deliveries(), 3, "records wait for each other");
    assert_eq!(collector.connections(), 1);
    assert_eq!(texts(&collector)[..2], ["one", "two"]);
    assert_eq!(collector.kinds()[0], "function");
}

#[tokio::test]
async fn records_come_as_lines_over_tcp() {
    let collector = Collector::start(Takes::Tcp).await.unwrap();
    let world = World::tcp(collector.port).await;
    for round in 0..3 {
        world.write(format!("{round} \"quoted\"").as_bytes());
        collector
            .until("the line", |c| c.records().len() == round + 1)
            .await;
    }
    assert_eq!(texts(&collector)[2], "2 \"quoted\"");
    assert_eq!(collector.connections(), 1);
}

#[tokio::test]
async fn a_subscriber_that_closes_after_each_answer_gets_all() {
    let closing = "HTTP/1.1 202 Accepted\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
    let collector = Collector::start(Takes::Http(vec![closing])).await.unwrap();
    let world = World::http(collector.port).await;
    for round in 1..=3 {
        world.write(b"one");
        collector
            .until("the record", |c| c.records().len() == round)
            .await;
        world.settled().await;
    }
    assert_eq!(texts(&collector), ["one"; 3]);
}

#[tokio::test]
async fn what_is_refused_is_sent_again() {
    let answers = vec![REFUSED, "garbage\r\n\r\n", OK];
    let collector = Collector::start(Takes::Http(answers)).await.unwrap();
    let world = World::http(collector.port).await;
    world.write(b"one");
    collector.until("it", |c| c.records().len() == 1).await;
    world.settled().await;
    assert_eq!(
        (texts(&collector), collector.deliveries()),
        (vec!["one".into()], 3)
    );
}

#[tokio::test]
async fn what_is_refused_too_often_is_lost_and_told() {
    // A body without an end is a refusal too.
    let endless = "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n";
    let filler: &'static str = format!("{endless}{}", "x".repeat(200_000)).leak();
    let answers = vec![REFUSED, REFUSED, REFUSED, REFUSED, filler, OK];
    let collector = Collector::start(Takes::Http(answers)).await.unwrap();
    let world = World::http(collector.port).await;
    world.write(b"lost");
    collector.until("attempts", |c| c.deliveries() == 5).await;
    world.settled().await;
    world.write(b"kept");
    collector
        .until("the rest", |c| texts(c).contains(&"kept".into()))
        .await;
    let records = collector.records();
    let told = records.iter().find(|r| r["type"] == "platform.logsDropped");
    assert_eq!(told.unwrap()["record"]["droppedRecords"], 1);
    assert_eq!(records.last().unwrap()["record"], "kept");
}

#[tokio::test]
async fn a_dead_port_costs_a_bounded_queue_and_no_time() {
    // Bound, so that nobody else has it, but not listening yet.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let world = World::http(socket.local_addr().unwrap().port()).await;
    let began = clock::now();
    let line = [b'x'; 1_000];
    for _ in 0..20_000 {
        world.write(&line);
    }
    assert!(world.subscriber.queue().bytes() <= limits::TELEMETRY_QUEUE_BYTES);
    assert!(
        clock::now().saturating_duration_since(began) < Duration::from_secs(10),
        "it waited"
    );
    let collector = Collector::on(socket.listen(16).unwrap(), Takes::Http(vec![OK]));
    world.settled().await;
    world.write(b"last");
    collector
        .until("the last", |c| texts(c).contains(&"last".into()))
        .await;
    let records = collector.records();
    let told = records
        .iter()
        .filter(|r| r["type"] == "platform.logsDropped");
    let dropped = told.map(|r| r["record"]["droppedRecords"].as_u64().unwrap());
    let delivered = records.iter().filter(|r| r["type"] == "function").count();
    let dropped = usize::try_from(dropped.sum::<u64>()).unwrap();
    assert_eq!(
        delivered + dropped,
        20_001,
        "each record is delivered or told"
    );
    assert!(dropped > 0);
}

#[tokio::test]
async fn a_subscriber_that_never_reads_slows_nobody() {
    let collector = Collector::start(Takes::Nothing).await.unwrap();
    let world = World::http(collector.port).await;
    world.write(b"first");
    collector
        .until("the connection", |c| c.connections() == 1)
        .await;
    let began = clock::now();
    let line = vec![0_u8; limits::LOG_LINE_BYTES];
    for _ in 0..40 {
        world.write(&line);
        assert!(world.subscriber.queue().bytes() <= limits::TELEMETRY_QUEUE_BYTES);
    }
    // Six bytes of JSON for each of ten million: far from the five seconds of an attempt.
    assert!(
        clock::now().saturating_duration_since(began) < Duration::from_secs(4),
        "{:?}",
        clock::now().saturating_duration_since(began)
    );
}

#[tokio::test]
async fn the_longest_line_arrives_whole() {
    let collector = Collector::start(Takes::Http(vec![OK])).await.unwrap();
    let world = World::http(collector.port).await;
    world.write(&vec![1_u8; limits::LOG_LINE_BYTES]);
    collector.until("it", |c| c.records().len() == 1).await;
    assert_eq!(texts(&collector)[0].len(), limits::LOG_LINE_BYTES);
}

#[tokio::test]
async fn nothing_is_delivered_while_it_is_frozen() {
    let collector = Collector::start(Takes::Http(vec![OK])).await.unwrap();
    let world = World::http(collector.port).await;
    world.frozen.send_replace(true);
    world.write(b"one");
    let early = collector.until("never", |c| c.connections() > 0);
    let early = tokio::time::timeout(Duration::from_millis(300), early).await;
    assert!(early.is_err(), "it was delivered to a frozen environment");
    world.frozen.send_replace(false);
    collector.until("it", |c| c.records().len() == 1).await;

    let mut gate = Gate::new(world.frozen.subscribe());
    world.frozen.send_replace(true);
    let mut passed = std::pin::pin!(gate.sleep(Duration::from_millis(20)));
    let early = tokio::time::timeout(Duration::from_millis(200), passed.as_mut()).await;
    assert!(early.is_err(), "time passed");
    world.frozen.send_replace(false);
    passed.await;
}

#[tokio::test]
async fn a_hurry_does_not_wait_for_more() {
    let collector = Collector::start(Takes::Http(vec![OK])).await.unwrap();
    let uri = format!("http://sandbox:{}", collector.port);
    let world = World::new(json!({ "protocol": "HTTP", "URI": uri })).await;
    world.subscriber.queue().hurry();
    for round in 1..=20 {
        world.write(b"one");
        world.settled().await;
        assert_eq!(collector.records().len(), round);
    }
}
