//! What a server tells about itself: metrics and spans.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;

use serde_json::{Value, json};

use crate::common::{SHELL, Server, text};

/// A collector on a port of its own; what it is sent comes out of the channel.
fn collector() -> (String, mpsc::Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
            let mut length = 0;
            let mut line = String::new();
            while reader.read_line(&mut line).expect("a line") > 2 {
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().expect("a length");
                }
                line.clear();
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("a body");
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
            stream.write_all(answer).expect("an answer");
            let document = serde_json::from_slice(&body).expect("JSON");
            if sender.send(document).is_err() {
                return;
            }
        }
    });
    (endpoint, receiver)
}

#[test]
fn a_collector_gets_a_span_of_each_invocation_with_its_phases() {
    let directory = tempfile::tempdir().expect("a directory");
    let (endpoint, collected) = collector();
    let setting = format!("telemetry.otlp_endpoint={endpoint}");
    let server = Server::start_with(directory.path(), &["--set", &setting]);
    server.create_function("traced", SHELL, json!({}));
    let trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
    let path = "/2015-03-31/functions/traced/invocations";
    let reply = server.request("POST", path, &[("X-Amzn-Trace-Id", trace)], b"\"echo 1\"");
    assert_eq!((reply.status, text(&reply.body).trim()), (200, "1"));
    let request_id = reply.header("x-amzn-requestid").expect("an id").to_owned();
    server.shell("traced", "echo 2");
    assert_eq!(server.terminate().code(), Some(0));

    let mut spans = Vec::new();
    while let Ok(document) = collected.try_recv() {
        let more = document["resourceSpans"][0]["scopeSpans"][0]["spans"].clone();
        spans.extend(more.as_array().expect("spans").clone());
    }
    let whole: Vec<&Value> = spans
        .iter()
        .filter(|span| span["name"] == "traced")
        .collect();
    assert_eq!(whole.len(), 2, "{spans:?}");
    let of_first = |span: &&&Value| span["traceId"] == "5759e988bd862e3fe1be46a994272793";
    let first = whole.iter().find(of_first).expect("the caller's trace");
    assert_eq!(first["parentSpanId"], "53995c3f42cd8ad8");
    assert_eq!(
        first["attributes"][0]["value"]["stringValue"],
        request_id.as_str()
    );
    let phases = spans
        .iter()
        .filter(|span| span["parentSpanId"] == first["spanId"]);
    let names: Vec<&str> = phases
        .map(|span| span["name"].as_str().expect("a name"))
        .collect();
    assert_eq!(names, ["queue", "fetch", "sandbox", "init", "handler"]);
}

#[test]
fn the_phases_of_a_cold_start_are_histograms() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path());
    server.create_function("measured", SHELL, json!({}));
    server.shell("measured", "echo 1");
    server.await_idle();
    server.shell("measured", "echo 2");
    let reply = server.request("GET", "/bootlace/v1/metrics", &[], b"");
    let metrics = text(&reply.body);
    let value = |line: &str| {
        let found = metrics.lines().find_map(|found| found.strip_prefix(line));
        found
            .unwrap_or_else(|| panic!("no {line:?} in\n{metrics}"))
            .trim()
            .to_owned()
    };
    for (name, count) in [
        ("cold_start_fetch", "1"),
        ("cold_start_sandbox", "1"),
        ("cold_start_init", "1"),
        ("cold_start_wait", "1"),
        ("invocation_duration", "2"),
    ] {
        let name = format!("bootlace_{name}_seconds");
        assert_eq!(value(&format!("# TYPE {name} ")), "histogram");
        assert_eq!(value(&format!("{name}_bucket{{le=\"+Inf\"}} ")), count);
        assert_eq!(value(&format!("{name}_bucket{{le=\"900\"}} ")), count);
        assert_eq!(value(&format!("{name}_count ")), count);
        assert!(
            value(&format!("{name}_sum "))
                .parse::<f64>()
                .expect("seconds")
                > 0.0
        );
        assert!(!value(&format!("# HELP {name} ")).is_empty());
    }
    assert_eq!(value("bootlace_invocations_total "), "2");
    assert_eq!(value("bootlace_cold_starts_total "), "1");
    assert_eq!(value("bootlace_throttles_total "), "0");
    // The same of this function alone, whatever the minute.
    let path = "/bootlace/v1/functions/measured/metrics?step=10800000";
    let series = server.request("GET", path, &[], b"").json();
    let points = series["points"].as_array().expect("points").iter();
    let invocations = points
        .filter_map(|point| point["invocations"].as_u64())
        .sum::<u64>();
    assert_eq!(invocations, 2);
}
