//! What a function logged outlives kill -9, and the command line shows it.
#![allow(
    clippy::disallowed_methods,
    reason = "tests start processes and read clocks"
)]

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;

use crate::common::{SHELL, Server, bootlace, run, text};

const ROUNDS: usize = 5;

#[test]
fn kill_9_loses_no_line_that_is_a_tenth_of_a_second_old() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut expected = Vec::new();
    for round in 0..ROUNDS {
        let server = Server::start(directory.path());
        if round == 0 {
            server.create_function("f", SHELL, json!({}));
        }
        for index in 0..20 {
            let line = format!("round {round} line {index}");
            server.shell("f", &format!("echo {line} >&2"));
            expected.push(line);
        }
        // The promise: what is older than this is there.
        std::thread::sleep(Duration::from_millis(100));
        server.kill();
    }
    let server = Server::start(directory.path());
    let url = server.url();
    let output = run(&["logs", "f", "--endpoint-url", &url, "--output", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    let messages: Vec<String> = shown
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
        .map(|event| event["message"].as_str().expect("a text").trim().to_owned())
        .collect();
    let said: Vec<&String> = messages
        .iter()
        .filter(|message| message.starts_with("round "))
        .collect();
    assert_eq!(said, expected.iter().collect::<Vec<_>>());
    let reports = messages
        .iter()
        .filter(|message| message.starts_with("REPORT "));
    assert_eq!(reports.count(), expected.len());
    assert_eq!(server.terminate().code(), Some(0));
}

#[test]
fn the_command_line_follows_a_function() {
    let directory = tempfile::tempdir().expect("a directory");
    let share = ["--set", "sandbox.cpu_share=true"];
    let server = Server::start_with(directory.path(), &share);
    let url = server.url();
    let none = run(&["logs", "f", "--endpoint-url", &url]);
    assert_eq!(none.status.code(), Some(4), "{}", text(&none.stderr));
    server.create_function("f", SHELL, json!({}));
    let nothing = run(&["logs", "f", "--endpoint-url", &url]);
    assert_eq!((nothing.status.code(), nothing.stdout.len()), (Some(0), 0));
    server.shell("f", "echo before it >&2");
    let mut follower = bootlace()
        .args(["logs", "f", "--follow", "--filter", "?before ?while"])
        .args(["--endpoint-url", &url])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut lines = BufReader::new(follower.stdout.take().expect("a pipe")).lines();
    let mut next = || lines.next().expect("a line").expect("text");
    let first = next();
    assert!(first.ends_with("Z before it"), "{first}");
    server.shell("f", "echo while it follows >&2");
    let second = next();
    assert!(second.ends_with("Z while it follows"), "{second}");
    // Nobody reads any more, so it ends by itself with the next line.
    drop(lines);
    server.shell("f", "echo while nobody reads >&2");
    let ended = follower.wait().expect("a child");
    assert_eq!(ended.code(), Some(0));
    let json = json!({ "LoggingConfig": { "LogFormat": "JSON" } });
    server.create_function("in-json", SHELL, json);
    server.shell("in-json", "echo once >&2");
    for (name, mark) in [("f", "REPORT "), ("in-json", "platform.report")] {
        let detailed = run(&["logs", name, "--verbose", "--endpoint-url", &url]);
        let detailed = text(&detailed.stdout);
        assert!(detailed.contains("/[$LATEST]"), "{detailed}");
        let report = detailed.lines().find(|line| line.contains(mark));
        // Of 128 MB, where 1,769 are one processor.
        assert!(
            report.is_some_and(|line| line.ends_with("\tCPU Share: 72 mCPU")),
            "{detailed}"
        );
    }
    server.shell("f", "echo last >&2");
    let bad = run(&["logs", "f", "--filter", "{", "--endpoint-url", &url]);
    assert_eq!(bad.status.code(), Some(4));
    assert!(text(&bad.stderr).contains("InvalidParameterException: Invalid filter pattern"));
    assert_eq!(server.terminate().code(), Some(0));
}
