//! What real sandboxes keep, stop and freeze.
#![allow(
    clippy::disallowed_methods,
    reason = "tests start processes and read clocks"
)]

use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::common::{Reply, SHELL, Server, eventually, text};

/// An extension in bash that writes what it hears to `/tmp/journal` and ends when it is told so. It
/// writes a request's head at once and reads the answer as the [`SHELL`] runtime does.
const EXTENSION: &str = r#"#!/bin/bash
exec 3<>"/dev/tcp/${AWS_LAMBDA_RUNTIME_API/://}" || exit 1
api=/2020-01-01/extension
end=$'\r\n'
receive() {
    local line length=0
    read -r -u 3 line || exit 1
    while IFS= read -r -u 3 line && line=${line%$'\r'} && [[ $line ]]; do
        case ${line,,} in
            content-length:*) length=${line#*: } ;;
            lambda-extension-identifier:*) id=${line#*: } ;;
        esac
    done
    IFS= LC_ALL=C read -r -N "$length" -u 3 body
}
events='{"events":["INVOKE","SHUTDOWN"]}'
head="POST $api/register HTTP/1.1${end}Host: x${end}Lambda-Extension-Name: ${0##*/}$end"
echo -n "${head}Content-Length: ${#events}$end$end$events" >&3
receive
echo "starts in $PWD" >> /tmp/journal
while :; do
    head="GET $api/event/next HTTP/1.1${end}Host: x${end}Lambda-Extension-Identifier: $id$end"
    echo -n "$head$end" >&3
    receive
    case $body in
        *SHUTDOWN*) body=${body#*shutdownReason\":\"}; echo "${body%%\"*}" >> /tmp/journal; exit ;;
        *) echo "INVOKE" >> /tmp/journal ;;
    esac
done
"#;

fn environments(server: &Server) -> Vec<Value> {
    let reply = server.request("GET", "/bootlace/v1/environments", &[], b"");
    reply.json()["environments"]
        .as_array()
        .expect("a list")
        .clone()
}

fn await_frozen(server: &Server) {
    eventually("it is frozen", || {
        environments(server).iter().all(|one| one["frozen"] == true)
    });
}

/// The error of a failed invocation: type and message.
fn error(reply: &Reply) -> (String, String) {
    let document = reply.json();
    assert_eq!(reply.header("x-amz-function-error"), Some("Unhandled"));
    let member = |name: &str| document[name].as_str().expect("text").to_owned();
    (member("errorType"), member("errorMessage"))
}

/// Publishes a layer with one file.
fn layer(server: &Server, file: &str, content: &str, mode: u32) -> String {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().unix_permissions(mode);
    zip.start_file(file, options).expect("an entry");
    zip.write_all(content.as_bytes()).expect("content");
    let zip = zip.finish().expect("a zip").into_inner();
    let document = json!({ "Content": { "ZipFile": BASE64.encode(zip) } });
    let path = "/2018-10-31/layers/extension/versions";
    let reply = server.request("POST", path, &[], document.to_string().as_bytes());
    assert_eq!(reply.status, 201, "{}", text(&reply.body));
    let arn = reply.json()["LayerVersionArn"].clone();
    arn.as_str().expect("an ARN").to_owned()
}

#[test]
fn tmp_is_kept_over_a_timeout_and_a_crash() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path());
    server.create_function("f", SHELL, json!({ "Timeout": 1 }));
    let late = server.invoke("f", "echo first > /tmp/kept; sleep 60 & sleep 60");
    assert_eq!(error(&late).0, "Sandbox.Timedout");
    server.await_idle();
    // Nothing that ran before still does: only this shell and what it starts.
    let processes = server.shell(
        "f",
        "cat /tmp/kept; echo second >> /tmp/kept; ls -d /proc/[0-9]*",
    );
    let (kept, processes) = processes.split_once('\n').expect("lines");
    assert_eq!(kept, "first");
    assert!(processes.lines().count() <= 4, "{processes}");
    let crashed = server.invoke("f", "kill -9 $$");
    let (error_type, message) = error(&crashed);
    assert_eq!(error_type, "Runtime.ExitError");
    assert!(message.ends_with("signal: killed"), "{message}");
    server.await_idle();
    assert_eq!(server.shell("f", "cat /tmp/kept"), "first\nsecond");
    let environments = environments(&server);
    assert_eq!(environments.len(), 1, "{environments:?}");
    assert_eq!(environments[0]["invocations"], 4);
    assert_eq!(server.terminate().code(), Some(0));
}

#[test]
fn work_in_the_background_stands_still_between_invocations() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path());
    server.create_function("f", SHELL, json!({}));
    let now_us = || {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        u64::try_from(since.expect("a date").as_micros()).expect("small")
    };
    let count = "(while :; do echo ${EPOCHREALTIME/./} >> /tmp/ticks; read -t 0.005 -u 9; done) \
                 9<> <(:) > /dev/null 2>&1 & echo started";
    assert_eq!(server.shell("f", count), "started");
    for _ in 0..2 {
        await_frozen(&server);
        let frozen_us = now_us();
        std::thread::sleep(Duration::from_millis(300));
        let thawed_us = now_us();
        let ticks = server.shell("f", "sleep 0.1; cat /tmp/ticks");
        let ticks: Vec<u64> = ticks
            .lines()
            .map(|tick| tick.parse().expect("a number"))
            .collect();
        let within = |from: u64, to: u64| {
            let ticks = ticks.iter().filter(|tick| (from..to).contains(tick));
            ticks.count()
        };
        assert!(within(0, frozen_us) > 0 && within(thawed_us, u64::MAX) > 0);
        assert_eq!(within(frozen_us, thawed_us), 0, "{ticks:?}");
    }
    assert_eq!(server.terminate().code(), Some(0));
}

#[test]
fn an_extension_hears_why_it_ends_after_the_runtime_was_asked_to() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path());
    let layer = layer(&server, "extensions/listener", EXTENSION, 0o755);
    let runtime = SHELL.replacen(
        "#!/bin/bash\n",
        "#!/bin/bash\ntrap 'echo asked >> /tmp/journal; exit' TERM\n",
        1,
    );
    let members = json!({ "Timeout": 1, "Layers": [layer] });
    server.create_function("f", &runtime, members);
    assert_eq!(server.shell("f", "cat /tmp/journal"), "starts in /\nINVOKE");
    server.await_idle();
    // The runtime must not be waiting for a child when it is asked.
    let late = server.invoke("f", "exec 8<> <(:); read -t 60 -u 8");
    assert_eq!(error(&late).0, "Sandbox.Timedout");
    server.await_idle();
    let journal = server.shell("f", "cat /tmp/journal");
    let lines: Vec<&str> = journal.lines().collect();
    assert_eq!(lines[..3], ["starts in /", "INVOKE", "INVOKE"], "{journal}");
    assert_eq!(
        lines[lines.len() - 3..],
        ["timeout", "starts in /", "INVOKE"],
        "{journal}"
    );
    // The drain waits for everybody, frozen or not.
    await_frozen(&server);
    assert_eq!(server.terminate().code(), Some(0));
}

#[test]
fn an_extension_that_cannot_run_fails_the_initialization() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path());
    let layer = layer(&server, "extensions/broken", "no program", 0o644);
    server.create_function("f", SHELL, json!({ "Layers": [layer] }));
    let (error_type, message) = error(&server.invoke("f", "echo"));
    assert_eq!(error_type, "Extension.LaunchError");
    let reason = "Error: fork/exec /opt/extensions/broken: permission denied";
    assert!(message.ends_with(reason), "{message}");
    assert_eq!(server.terminate().code(), Some(0));
}

#[test]
fn a_share_of_the_processor_goes_with_the_memory_size() {
    let directory = tempfile::tempdir().expect("a directory");
    let set = ["--set", "sandbox.cpu_share=true"];
    let server = Server::start_with(directory.path(), &set);
    server.create_function("f", SHELL, json!({}));
    let burn = "TIMEFORMAT=%U; begin=${EPOCHREALTIME/./}; \
                { time while (( ${EPOCHREALTIME/./} - begin < 500000 )); do :; done; } 2>&1";
    assert_eq!(server.shell("f", "echo warm"), "warm");
    server.await_idle();
    let used: f64 = server.shell("f", burn).parse().expect("seconds");
    // 128 MB are 7 % of a processor; without a share it would be all there is.
    assert!(used < 0.2, "{used} s in half a second");
    assert_eq!(server.terminate().code(), Some(0));
}

#[test]
fn without_isolation_a_failed_environment_is_reset_too() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start_with(directory.path(), &["--isolation", "local"]);
    server.create_function("f", SHELL, json!({ "Timeout": 1 }));
    let late = server.invoke("f", "echo kept > $TMPDIR/kept; sleep 60");
    assert_eq!(error(&late).0, "Sandbox.Timedout");
    server.await_idle();
    assert_eq!(server.shell("f", "cat $TMPDIR/kept"), "kept");
    let crashed = server.invoke("f", "kill -9 $$");
    assert_eq!(error(&crashed).0, "Runtime.ExitError");
    server.await_idle();
    assert_eq!(server.shell("f", "cat $TMPDIR/kept"), "kept");
    assert_eq!(environments(&server).len(), 1);
    assert_eq!(server.terminate().code(), Some(0));
}
