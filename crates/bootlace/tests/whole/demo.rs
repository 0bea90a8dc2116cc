//! The walkthrough: by `bootlace demo`, and step by step as its README tells it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Output, Stdio};

use crate::common::{Server, bootlace, eventually, text};
use crate::host::{descendants, kill};
use rustix::process::Signal;

#[test]
fn the_demo_shows_everything_and_leaves_nothing() {
    let temp = tempfile::tempdir().expect("a directory");
    let output = bootlace()
        .arg("demo")
        .env("TMPDIR", temp.path())
        .output()
        .expect("runs");
    let (response, notes) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{notes}");
    for part in [
        "_HANDLER=function.handler\n",
        "AWS_LAMBDA_FUNCTION_NAME=runlambda\n",
        "AWS_LAMBDA_RUNTIME_API=127.0.0.1:9001\n",
        "lambda-runtime-aws-request-id: ",
        "lambda-runtime-invoked-function-arn: arn:aws:lambda:us-east-1:000000000000:function:runlambda\n",
        "{\"greeting\": \"hello from the walkthrough\"}",
        "START RequestId: ",
        "got an event of ",
        "REPORT RequestId: ",
    ] {
        assert!(
            response.to_lowercase().contains(&part.to_lowercase()),
            "{part}: {response}{notes}"
        );
    }
    assert!(
        notes.contains("arn:aws:lambda:us-east-1:000000000000:layer:runtime-shell:1"),
        "{notes}"
    );
    nothing_is_left_in(temp.path());
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    let temp = tempfile::tempdir().expect("a directory");
    let mut demo = bootlace();
    demo.arg("demo")
        .env("TMPDIR", temp.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = demo.spawn().expect("runs");
    let mut notes = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut line = String::new();
    notes.read_line(&mut line).expect("a first note");
    assert!(line.contains("a server listens"), "{line}");
    let family = descendants(child.id());
    kill(child.id(), Signal::INT);
    assert_eq!(child.wait().expect("ends").code(), Some(130));
    eventually("no process is left", || {
        family.iter().all(|process| !process.lives())
    });
    nothing_is_left_in(temp.path());
}

fn nothing_is_left_in(directory: &Path) {
    assert_eq!(fs::read_dir(directory).expect("a directory").count(), 0);
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    assert!(
        !mounts.contains(directory.to_str().expect("UTF-8")),
        "{mounts}"
    );
}

/// Runs a verb against the server, in another account.
fn verb(server: &Server, args: &[&str]) -> Output {
    let mut command = bootlace();
    command.args(args).env("AWS_ENDPOINT_URL", server.url());
    command
        .env("AWS_ACCESS_KEY_ID", "111122223333")
        .env("AWS_REGION", "eu-west-1");
    command.stdin(Stdio::null()).output().expect("runs")
}

/// As [`verb`], for one that must succeed; gives its standard output.
fn done(server: &Server, args: &[&str]) -> String {
    let output = verb(server, args);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{args:?}: {}",
        text(&output.stderr)
    );
    text(&output.stdout).trim_end().to_owned()
}

fn refused(server: &Server, args: &[&str], code: i32, reason: &str) {
    let output = verb(server, args);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    assert!(stderr.contains(reason), "{args:?}: {stderr}");
}

#[test]
fn the_walkthrough_by_hand() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path());
    let example = |part: &str| {
        format!(
            "{}/../../examples/walkthrough/{part}",
            env!("CARGO_MANIFEST_DIR")
        )
    };

    let publish = [
        "layer",
        "publish",
        "runtime-shell",
        "--zip",
        &example("runtime"),
        "--compatible-runtime",
        "provided",
    ];
    let layer = done(&server, &publish);
    assert_eq!(
        layer,
        "arn:aws:lambda:eu-west-1:111122223333:layer:runtime-shell:1"
    );
    assert!(done(&server, &["layer", "list"]).contains(&layer));
    assert!(done(&server, &["layer", "list", "runtime-shell"]).contains(&layer));

    let function = done(
        &server,
        &[
            "function",
            "create",
            "runlambda",
            "--runtime",
            "provided",
            "--handler",
            "function.handler",
            "--layer",
            &layer,
            "--zip",
            &example("function"),
            "--env",
            "GREETING=hello=there",
            "--timeout",
            "30",
        ],
    );
    assert_eq!(
        function,
        "arn:aws:lambda:eu-west-1:111122223333:function:runlambda"
    );
    assert!(done(&server, &["function", "list"]).contains("runlambda  provided"));

    let output = verb(
        &server,
        &[
            "invoke",
            "runlambda",
            r#"{"a": "\"b\""}"#,
            "--log-type",
            "tail",
        ],
    );
    let (response, log) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{log}");
    for part in [
        "_HANDLER=function.handler\n",
        "GREETING=hello=there\n",
        "AWS_REGION=eu-west-1\n",
        r#"{"a": "\"b\""}"#,
    ] {
        assert!(response.contains(part), "{part}: {response}");
    }
    assert!(
        log.contains("REPORT RequestId: ") && log.contains("got an event of 14 characters"),
        "{log}"
    );

    done(&server, &["invoke", "runlambda", "--dry-run"]);
    done(
        &server,
        &[
            "function",
            "update",
            "runlambda",
            "--handler",
            "absent.handler",
        ],
    );
    refused(
        &server,
        &["invoke", "runlambda"],
        1,
        "the function failed (Unhandled)",
    );
    let failed = verb(&server, &["invoke", "runlambda", "--output", "json"]);
    let document: serde_json::Value = serde_json::from_slice(&failed.stdout).expect("JSON");
    assert_eq!(failed.status.code(), Some(1));
    assert_eq!(
        document["Payload"]["errorType"], "Runtime.ImportModuleError",
        "{document}"
    );

    refused(
        &server,
        &["invoke", "nobody"],
        4,
        "ResourceNotFoundException: Function not found: ",
    );
    done(&server, &["function", "delete", "runlambda"]);
    refused(
        &server,
        &["function", "delete", "runlambda"],
        4,
        "ResourceNotFoundException",
    );
    assert_eq!(server.terminate().code(), Some(0));
}

#[test]
fn accounts_and_regions_do_not_see_each_other() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path());
    server.create_function("mine", crate::common::SHELL, serde_json::json!({}));
    assert!(!done(&server, &["function", "list"]).contains("mine"));
    refused(&server, &["invoke", "mine"], 4, "ResourceNotFoundException");
    assert_eq!(server.shell("mine", "echo here"), "here");
}
