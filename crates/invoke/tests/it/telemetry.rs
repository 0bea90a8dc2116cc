//! Extensions that subscribe to telemetry: what they get of an environment's life, and when.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use bootlace_invoke::DispatcherOptions;
use bootlace_testkit::collector::{Collector, OK, Takes};
use bootlace_testkit::guest::{Action, Body, Guest, Seen, Transcript};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::cast::{self, BOTH, Role, answers, echo, events};
use crate::world::{World, patient};

const TELEMETRY: &str = "/2022-07-01/telemetry";
const LOGS: &str = "/2020-08-15/logs";

fn subscription(version: &str, types: &[&str], port: u16) -> String {
    let uri = format!("http://sandbox.localdomain:{port}/");
    let subscription = json!({
        "schemaVersion": version,
        "types": types,
        "buffering": { "timeoutMs": 25 },
        "destination": { "protocol": "HTTP", "URI": uri },
    });
    subscription.to_string()
}

/// Registers, subscribes, hears of so many invocations, and ends when it is told to.
fn watcher(path: &'static str, body: String, invocations: usize) -> Guest {
    let mut actions = vec![
        Action::Register("watcher".into(), BOTH),
        Action::Subscribe(path, body),
    ];
    actions.extend(vec![Action::EventNext; invocations + 1]);
    Guest::new(actions)
}

/// Waits until an extension subscribed.
async fn subscribed(world: &World, transcript: &Transcript, times: usize) {
    let calls = |seen: &Seen| seen.call.starts_with("PUT /");
    let enough = |_: &World| transcript.all().into_iter().filter(calls).count() >= times;
    world.until("the subscription", enough).await;
}

fn says(text: &'static str) -> Role {
    Role::new(
        "bootstrap",
        vec![Guest::new(vec![Action::Loop(vec![
            Action::Next,
            Action::Print(Body::Text(text)),
            Action::Respond(Body::Echo),
        ])])],
    )
}

/// Its environments are not frozen: what they are to deliver comes without another invocation.
fn awake() -> DispatcherOptions {
    DispatcherOptions {
        freeze_grace: None,
        ..patient()
    }
}

async fn collector() -> Collector {
    Collector::start(Takes::Http(vec![OK])).await.unwrap()
}

async fn world(options: DispatcherOptions, roles: Vec<Role>) -> World {
    let (world, _) = cast::world(options, roles).await;
    let record = world.record_with_extensions(&["watcher"]).await;
    world.put("f", &record).await;
    world
}

fn count(collector: &Collector, kind: &str) -> usize {
    collector.kinds().iter().filter(|one| *one == kind).count()
}

/// The records with what differs from run to run made the same.
fn golden(records: &[Value]) -> String {
    let mut ids = HashMap::new();
    let mut text = String::new();
    for record in records {
        let time = record["time"].as_str().unwrap();
        assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
        let members: Vec<&String> = record.as_object().unwrap().keys().collect();
        assert_eq!(members.len(), 3, "{record}");
        let mut stable = record["record"].clone();
        stabilize(&mut stable, &mut ids);
        writeln!(text, "{} {stable}", record["type"].as_str().unwrap()).unwrap();
    }
    for (id, number) in ids {
        text = text.replace(&id, &format!("id-{number}"));
    }
    text
}

fn stabilize(value: &mut Value, ids: &mut HashMap<String, usize>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match name.as_str() {
                    "requestId" => {
                        let next = ids.len() + 1;
                        let id = member.as_str().unwrap().to_owned();
                        *member = format!("id-{}", ids.entry(id).or_insert(next)).into();
                    }
                    "start" => *member = "time".into(),
                    "value" => {
                        assert!(member.as_str().unwrap().starts_with("Root=1-"));
                        *member = "trace".into();
                    }
                    "durationMs" | "initDurationMs" => {
                        assert!(member.is_f64(), "{member}");
                        *member = "ms".into();
                    }
                    "billedDurationMs" | "maxMemoryUsedMB" => {
                        assert!(member.is_u64(), "{member}");
                        *member = "n".into();
                    }
                    _ => stabilize(member, ids),
                }
            }
        }
        Value::Array(members) => members.iter_mut().for_each(|one| stabilize(one, ids)),
        _ => {}
    }
}

#[tokio::test]
async fn an_extension_sees_the_whole_life_of_an_environment() {
    let collector = collector().await;
    let body = subscription("2022-12-13", &["platform", "function"], collector.port);
    let round = [
        Action::Next,
        Action::Print(Body::Text("hello\n")),
        Action::Respond(Body::Echo),
    ];
    // The runtime's first words must not come before the subscription.
    let (open, gate) = watch::channel(false);
    let (open_again, gate_again) = watch::channel(false);
    let mut steps = vec![Action::Gate(gate), Action::Print(Body::Text("starting\n"))];
    steps.extend(std::iter::repeat_n(round, 4).flatten());
    steps.extend([Action::Next, Action::Hang]);
    let second = Guest::new(vec![
        Action::Gate(gate_again),
        Action::Loop(vec![Action::Next, Action::Respond(Body::Echo)]),
    ]);
    let runtime = Role::new("bootstrap", vec![Guest::new(steps), second]);
    let guests = [5, 1].map(|rounds| watcher(TELEMETRY, body.clone(), rounds));
    let [first, second] = guests.clone().map(|guest| guest.transcript);
    let roles = vec![runtime, Role::new("watcher", guests.into())];
    let (world, _) = cast::world(awake(), roles).await;
    let mut record = world.record_with_extensions(&["watcher"]).await;
    record.latest.timeout_s = 1;
    world.put("f", &record).await;
    let opened = async {
        subscribed(&world, &first, 1).await;
        open.send_replace(true);
    };
    tokio::join!(opened, answers(&world, "1"));
    for round in 1..=4 {
        if round > 1 {
            answers(&world, &round.to_string()).await;
        }
        // Who comes back before the extension has a new environment.
        collector
            .until("the end", |c| count(c, "platform.report") == round)
            .await;
    }
    let answer = world.invoke("f", "5").await.unwrap();
    assert_eq!(answer.function_error, Some("Unhandled"));
    let opened = async {
        subscribed(&world, &second, 1).await;
        open_again.send_replace(true);
    };
    tokio::join!(opened, answers(&world, "6"));
    collector
        .until("the end", |c| count(c, "platform.report") == 6)
        .await;
    world.dispatcher.drain(Duration::from_secs(5)).await;
    insta::assert_snapshot!(golden(&collector.records()));
    assert_eq!(events(&first)[4..], ["INVOKE", "timeout"]);
    assert_eq!(events(&second), ["INVOKE", "spindown"]);
}

#[tokio::test]
async fn the_logs_api_has_its_own_records() {
    let collector = collector().await;
    let body = subscription("2021-03-18", &["platform", "function"], collector.port);
    let runtime = Guest::new(vec![
        Action::Next,
        Action::Print(Body::Text("hello\n")),
        Action::Respond(Body::Echo),
        Action::Next,
        Action::Exit(3),
    ]);
    let roles = vec![
        Role::new("bootstrap", vec![runtime]),
        Role::new("watcher", vec![watcher(LOGS, body, 2)]),
    ];
    let world = world(awake(), roles).await;
    answers(&world, "1").await;
    world.invoke("f", "2").await.unwrap();
    collector
        .until("the end", |c| count(c, "platform.report") == 2)
        .await;
    insta::assert_snapshot!(golden(&collector.records()));
}

#[tokio::test]
async fn lines_go_to_those_who_want_them_and_json_goes_as_objects() {
    let (both, own) = (collector().await, collector().await);
    let all = ["function", "extension"];
    let first = Guest::new(vec![
        Action::Register("watcher".into(), "[]"),
        Action::Subscribe(TELEMETRY, subscription("2022-12-13", &all, both.port)),
        Action::Print(Body::Text("{\"of\":\"extension\"}\n")),
        Action::EventNext,
    ]);
    let second = Guest::new(vec![
        Action::Register("other".into(), "[]"),
        Action::Subscribe(TELEMETRY, subscription("2022-07-01", &all[..1], own.port)),
        Action::EventNext,
    ]);
    let roles = vec![
        says("{\"level\":\"DEBUG\",\"n\":1}\nplain\n"),
        Role::new("watcher", vec![first]),
        Role::new("other", vec![second]),
    ];
    let (world, _) = cast::world(awake(), roles).await;
    let mut record = world.record_with_extensions(&["watcher", "other"]).await;
    record.latest.logging.format = "JSON".into();
    world.put("f", &record).await;
    answers(&world, "1").await;
    both.until("the lines", |c| c.records().len() == 3).await;
    own.until("the lines", |c| c.records().len() == 2).await;
    let seen = |collector: &Collector| -> Vec<(String, Value)> {
        let records = collector.records().into_iter();
        let kinds = collector.kinds();
        kinds
            .into_iter()
            .zip(records.map(|mut one| one["record"].take()))
            .collect()
    };
    let function = |record: Value| ("function".to_owned(), record);
    let want = [
        ("extension".to_owned(), json!({ "of": "extension" })),
        function(json!({ "level": "DEBUG", "n": 1 })),
        function(json!("plain")),
    ];
    assert_eq!(seen(&both), want);
    // An older schema has text only.
    let want = [
        function(json!("{\"level\":\"DEBUG\",\"n\":1}")),
        function(json!("plain")),
    ];
    assert_eq!(seen(&own), want);
}

#[track_caller]
fn check(seen: &Seen, status: u16, error_type: &str, message: &str) {
    assert_eq!(seen.status, status, "{seen:?}");
    let document: Value = serde_json::from_slice(&seen.body).expect("JSON");
    assert_eq!(document["errorType"], error_type);
    assert_eq!(document["errorMessage"], message);
}

#[tokio::test]
async fn what_is_refused_has_a_type_and_a_text() {
    let collector = collector().await;
    let good = subscription("2022-12-13", &["platform"], collector.port);
    let logs = subscription("2020-08-15", &["platform"], collector.port);
    let stranger = "00000000-0000-4000-8000-000000000000";
    let as_stranger = format!("Lambda-Extension-Identifier: {stranger}\r\n");
    let put = |headers: &str, body: &str| {
        Action::CallWith("PUT", TELEMETRY.into(), headers.into(), body.into())
    };
    let guest = Guest::new(vec![
        Action::Call("GET", TELEMETRY),
        put("", &good),
        put("Lambda-Extension-Identifier: me\r\n", &good),
        put(&as_stranger, &good),
        Action::Register("watcher".into(), BOTH),
        Action::Subscribe(TELEMETRY, good.replace("2022-12-13", "2025-01-29")),
        Action::Subscribe(TELEMETRY, good.replace("25}", "24}")),
        Action::Subscribe(LOGS, "x".repeat(100_000)),
        Action::Subscribe(LOGS, logs.clone()),
        // It takes the place of the other.
        Action::Subscribe(TELEMETRY, good.clone()),
        Action::EventNext,
        Action::Subscribe(TELEMETRY, good),
        Action::Subscribe(LOGS, logs),
        Action::Loop(vec![Action::EventNext]),
    ]);
    let transcript = guest.transcript.clone();
    let world = world(awake(), vec![echo(), Role::new("watcher", vec![guest])]).await;
    answers(&world, "1").await;
    let seen = transcript.at_least(13).await;
    assert_eq!(seen[0].status, 405);
    check(
        &seen[1],
        403,
        "Extension.MissingExtensionIdentifier",
        "Missing Lambda-Extension-Identifier header",
    );
    check(
        &seen[2],
        403,
        "Extension.InvalidExtensionIdentifier",
        "Invalid Lambda-Extension-Identifier",
    );
    check(
        &seen[3],
        403,
        "Extension.UnknownExtensionIdentifier",
        &format!("Unknown extension {stranger}"),
    );
    check(
        &seen[5],
        400,
        "ValidationError",
        "schemaVersion: 2025-01-29 is for Lambda managed instances only",
    );
    check(
        &seen[6],
        400,
        "ValidationError",
        "buffering.timeoutMs: must be an integer from 25 to 30000",
    );
    assert_eq!(seen[7].status, 400, "{:?}", seen[7]);
    for accepted in [&seen[8], &seen[9]] {
        assert_eq!((accepted.status, accepted.text().as_str()), (200, "\"OK\""));
    }
    check(
        &seen[11],
        403,
        "Telemetry.SubscriptionClosed",
        "Telemetry API subscription is closed",
    );
    check(
        &seen[12],
        403,
        "Logs.SubscriptionClosed",
        "Logs API subscription is closed",
    );
    collector
        .until("the end", |c| count(c, "platform.report") >= 1)
        .await;
    let told = count(&collector, "platform.telemetrySubscription");
    assert_eq!((told, count(&collector, "platform.report")), (1, 1));
}

#[tokio::test]
async fn what_came_after_the_last_next_arrives_at_the_thaw() {
    let collector = collector().await;
    let body = subscription("2022-12-13", &["platform"], collector.port);
    let body = body.replace("\"timeoutMs\":25", "\"timeoutMs\":400");
    let options = DispatcherOptions {
        freeze_grace: Some(Duration::from_millis(20)),
        ..patient()
    };
    let guest = watcher(TELEMETRY, body, 1);
    let roles = vec![echo(), Role::new("watcher", vec![guest])];
    let world = world(options, roles).await;
    answers(&world, "1").await;
    world
        .until("it is frozen", |world| {
            world.dispatcher.environments()[0].frozen
        })
        .await;
    let delivered = collector.deliveries();
    let early = collector.until("never", |c| c.deliveries() > delivered);
    let early = tokio::time::timeout(Duration::from_millis(700), early).await;
    assert!(early.is_err(), "delivered to a frozen environment");
    assert_eq!(count(&collector, "platform.report"), 0);
    // The end thaws it, too.
    world.dispatcher.drain(Duration::from_secs(5)).await;
    assert_eq!(count(&collector, "platform.report"), 1);
    assert_eq!(world.dispatcher.environments().len(), 0);
}

#[tokio::test]
async fn after_a_reset_nobody_is_subscribed() {
    let collector = collector().await;
    let body = subscription("2022-12-13", &["platform"], collector.port);
    let quiet = cast::follows("watcher", 1);
    let runtime = Guest::new(vec![Action::Next, Action::Exit(1)]);
    let roles = vec![
        Role::new("bootstrap", vec![runtime, Guest::echo()]),
        Role::new("watcher", vec![watcher(TELEMETRY, body, 1), quiet]),
    ];
    let world = world(awake(), roles).await;
    world.invoke("f", "1").await.unwrap();
    answers(&world, "2").await;
    world.dispatcher.drain(Duration::from_secs(5)).await;
    assert_eq!(count(&collector, "platform.start"), 1);
    let kinds = collector.kinds();
    assert_eq!(kinds.last().map(String::as_str), Some("platform.report"));
}

#[tokio::test]
async fn a_subscriber_that_is_not_there_delays_no_invocation() {
    // Bound, so that nobody else has it, and never listening.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    let all = ["platform", "function", "extension"];
    let body = subscription("2022-12-13", &all, port);
    let roles = vec![
        says("a line\n"),
        Role::new("watcher", vec![watcher(TELEMETRY, body, 200)]),
    ];
    let world = world(awake(), roles).await;
    let began = std::time::Instant::now();
    for round in 0..200 {
        answers(&world, &round.to_string()).await;
    }
    // One attempt to deliver takes longer than this when it is waited for.
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(world.dispatcher.environments().len(), 1);
}
