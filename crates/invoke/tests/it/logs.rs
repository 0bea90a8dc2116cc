//! The log of an invocation: START, what the function wrote, END, REPORT.

use std::sync::{Arc, Mutex};

use bootlace_invoke::logs::{Direction, LogQuery, Which};
use bootlace_invoke::{DispatcherOptions, LogEvent, LogOrigin, LogSink};
use bootlace_testkit::guest::{Action, Body, Guest};
use bootlace_types::Scope;

use crate::world::World;

#[tokio::test]
async fn the_tail_is_start_output_end_report() {
    let guest = Guest::new(vec![
        Action::Print(Body::Text("while initializing\n")),
        Action::Loop(vec![
            Action::Next,
            Action::Print(Body::Text("one\ntwo without an end")),
            Action::Respond(Body::Echo),
        ]),
    ]);
    let world = World::new(guest).await;
    world.put("f", &world.record()).await;
    for round in 0..3 {
        let (answer, tail) = world.invoke_with_tail("f", "{}").await;
        assert_eq!(answer.function_error, None);
        let lines: Vec<&str> = tail.split_inclusive('\n').collect();
        assert_eq!(lines.len(), 5, "{tail}");
        let id = lines[0]
            .strip_prefix("START RequestId: ")
            .expect("a START line");
        let id = id.strip_suffix(" Version: $LATEST\n").expect("the version");
        assert_eq!(lines[1..3], ["one\n", "two without an end\n"]);
        assert_eq!(lines[3], format!("END RequestId: {id}\n"));
        let report = lines[4].strip_suffix("\t\n").expect("a tab at the end");
        let members: Vec<&str> = report.split('\t').collect();
        assert_eq!(members[0], format!("REPORT RequestId: {id}"));
        let number = |text: &str, prefix: &str, unit: &str| -> f64 {
            let inner = text
                .strip_prefix(prefix)
                .and_then(|text| text.strip_suffix(unit));
            inner.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
        };
        let duration = number(members[1], "Duration: ", " ms");
        let billed = number(members[2], "Billed Duration: ", " ms");
        assert_eq!(members[3], "Memory Size: 128 MB");
        number(members[4], "Max Memory Used: ", " MB");
        let init = match round {
            0 => number(members[5], "Init Duration: ", " ms"),
            _ => {
                assert_eq!(members.len(), 5, "initialized once: {tail}");
                0.0
            }
        };
        let exact = duration + init;
        assert!(billed >= exact - 0.02 && billed < exact + 1.02, "{tail}");
    }
}

#[tokio::test]
async fn a_timeout_is_reported_with_what_was_written() {
    let guest = Guest::new(vec![
        Action::Next,
        Action::Print(Body::Text("thinking\n")),
        Action::Hang,
    ]);
    let world = World::new(guest).await;
    let mut record = world.record();
    record.latest.timeout_s = 1;
    world.put("f", &record).await;
    let (_, tail) = world.invoke_with_tail("f", "{}").await;
    assert!(tail.contains("\nthinking\nEND RequestId: "), "{tail}");
    assert!(
        tail.contains("\tDuration: 1000.00 ms\tBilled Duration: 10"),
        "{tail}"
    );
    assert!(tail.ends_with("\tStatus: timeout\n"), "{tail}");
}

#[tokio::test]
async fn the_tail_is_the_last_four_kilobytes() {
    let guest = Guest::new(vec![
        Action::Next,
        Action::Print(Body::Filler(200_000)),
        Action::Respond(Body::Echo),
        Action::Next,
    ]);
    let world = World::new(guest).await;
    world.put("f", &world.record()).await;
    let (answer, tail) = world.invoke_with_tail("f", "{}").await;
    assert_eq!(answer.log_tail.as_ref().map(bytes::Bytes::len), Some(4_096));
    assert!(
        tail.starts_with("xxxx") && tail.contains("x\nEND RequestId: "),
        "{tail}"
    );
}

#[tokio::test]
async fn a_failed_initialization_shows_its_output() {
    let guest = Guest::new(vec![
        Action::Print(Body::Text("Traceback: no module\n")),
        Action::Exit(1),
    ]);
    let world = World::new(guest).await;
    world.put("f", &world.record()).await;
    let (_, tail) = world.invoke_with_tail("f", "{}").await;
    assert_eq!(world.processes(), 2, "it was tried again");
    let lines: Vec<&str> = tail.lines().collect();
    assert_eq!(lines[0], "Traceback: no module");
    assert!(
        lines[1].starts_with("INIT_REPORT Init Duration: "),
        "{tail}"
    );
    assert!(lines[1].ends_with("Phase: invoke\tStatus: error\tError Type: Runtime.ExitError"));
    assert!(lines[2].starts_with("START RequestId: ") && lines[3].starts_with("END RequestId: "));
    assert!(lines[4].starts_with("REPORT RequestId: "), "{tail}");
}

#[tokio::test]
async fn every_line_reaches_the_sink_in_order() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&seen);
    let sink = LogSink::Each(Arc::new(move |event: &LogEvent<'_>| {
        assert_eq!(event.log_group, "/aws/lambda/f");
        assert!(
            event.log_stream.contains("/[$LATEST]"),
            "{}",
            event.log_stream
        );
        let line = String::from_utf8_lossy(event.line).into_owned();
        into.lock().unwrap().push((event.origin, line));
    }));
    let options = DispatcherOptions {
        logs: sink,
        ..DispatcherOptions::default()
    };
    let guest = Guest::new(vec![
        Action::Print(Body::Text("starting\n")),
        Action::Loop(vec![
            Action::Next,
            Action::Print(Body::Text("in it\n")),
            Action::Respond(Body::Echo),
        ]),
    ]);
    let world = World::with(options, vec![guest]).await;
    world.put("f", &world.record()).await;
    world.invoke("f", "1").await.expect("an answer");
    let reported =
        |seen: &Vec<(LogOrigin, String)>| seen.iter().any(|(_, line)| line.starts_with("REPORT "));
    world
        .until("the report", |_| reported(&seen.lock().unwrap()))
        .await;
    let seen = seen.lock().unwrap();
    let words: Vec<&str> = seen
        .iter()
        .map(|(_, line)| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(words, ["starting", "START", "in", "END", "REPORT"]);
    let platform = |index: usize| seen[index].0 == LogOrigin::Platform;
    assert_eq!(
        (0..5).map(platform).collect::<Vec<_>>(),
        [false, true, false, true, true]
    );
}

#[tokio::test]
async fn the_store_has_the_lines_under_their_group_and_stream() {
    let guest = Guest::new(vec![Action::Loop(vec![
        Action::Next,
        Action::Print(Body::Text("in it\n")),
        Action::Respond(Body::Echo),
    ])]);
    let world = World::new(guest).await;
    world.put("f", &world.record()).await;
    world.invoke("f", "1").await.expect("an answer");
    let query = LogQuery {
        scope: Scope::default(),
        group: "/aws/lambda/f".to_owned(),
        streams: Which::All,
        from_ms: 0,
        before_ms: u64::MAX,
        after: None,
        direction: Direction::Forward,
        limit: 100,
        matches: None,
    };
    let logs = world.dispatcher.logs();
    let mut written = logs.written();
    let events = loop {
        let page = logs.read(query.clone()).await;
        let events = page.map(|page| page.events).unwrap_or_default();
        if events
            .iter()
            .any(|event| event.message.starts_with(b"REPORT "))
        {
            break events;
        }
        written.changed().await.expect("a writer");
    };
    let text = |index: usize| String::from_utf8_lossy(&events[index].message).into_owned();
    assert!(text(0).starts_with("START RequestId: "), "{events:?}");
    assert_eq!(text(1), "in it\n");
    assert!(text(2).starts_with("END RequestId: ") && text(3).ends_with('\n'));
    assert_eq!(events.len(), 4);
    assert!(events[0].stream.contains("/[$LATEST]"), "{events:?}");
}

#[tokio::test]
async fn json_logs_are_records_that_the_levels_let_through() {
    const SHOWN: &str = r#"{"level":"WARN","message":"shown"}"#;
    let lines = "plain\n{\"level\":\"INFO\"}\n{\"level\":\"WARN\",\"message\":\"shown\"}\n";
    let guest = Guest::new(vec![Action::Loop(vec![
        Action::Next,
        Action::Print(Body::Text(lines)),
        Action::Respond(Body::Echo),
        Action::Next,
        Action::Error("{}"),
    ])]);
    let world = World::new(guest).await;
    let mut record = world.record();
    record.latest.logging.format = "JSON".into();
    record.latest.logging.application_level = Some("WARN".into());
    record.latest.logging.system_level = Some("INFO".into());
    world.put("f", &record).await;
    let (_, tail) = world.invoke_with_tail("f", "{}").await;
    let lines: Vec<&str> = tail.lines().collect();
    assert_eq!(lines.len(), 3, "{tail}");
    let read = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect(line);
    let start = read(lines[0]);
    assert_eq!(start["type"], "platform.start");
    assert_eq!(start["record"]["version"], "$LATEST");
    assert_eq!(lines[1], SHOWN);
    let report = read(lines[2]);
    assert_eq!(report["type"], "platform.report");
    assert_eq!(report["record"]["requestId"], start["record"]["requestId"]);
    assert_eq!(report["record"]["status"], "success");
    assert!(report["record"]["metrics"]["initDurationMs"].is_f64());

    // What went wrong is a warning, an error that the function answered too.
    record.latest.logging.system_level = Some("WARN".into());
    record.latest.revision_id = bootlace_types::RevisionId::random();
    world.put("f", &record).await;
    let (_, tail) = world.invoke_with_tail("f", "{}").await;
    assert_eq!(tail.lines().collect::<Vec<_>>(), [SHOWN]);
    let (_, tail) = world.invoke_with_tail("f", "{}").await;
    let lines: Vec<serde_json::Value> = tail.lines().map(read).collect();
    let kinds: Vec<&str> = lines.iter().filter_map(|l| l["type"].as_str()).collect();
    assert_eq!(kinds, ["platform.runtimeDone", "platform.report"], "{tail}");
    assert_eq!(lines[0]["record"]["errorType"], "Runtime.Unknown");
    assert_eq!(lines[1]["record"]["status"], "error");
}
