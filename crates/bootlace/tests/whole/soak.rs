//! Ten thousand invocations, many of which fail hard, leave nothing behind.
#![allow(
    clippy::disallowed_methods,
    reason = "tests start threads and read clocks"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::common::{SHELL, Server, eventually};
use crate::host::{descendants, traces_on_host};

const CALLERS: usize = 8;
const INVOCATIONS: usize = 10_000;
const FAILS_EVERY: usize = 50;

/// What a place for a sandbox consists of.
const PLACE: [&str; 3] = [
    "spawner: descriptor of net:",
    "spawner: descriptor of user:",
    "spawner: descriptor of socket:",
];

/// What fails, as a script, and the error's type and message.
const FAILURES: [(&str, &str, &str); 4] = [
    (
        "exit 3",
        "Runtime.ExitError",
        "Runtime exited with error: exit status 3",
    ),
    (
        "while :; do answer=x$answer$answer; done",
        "Runtime.ExitError",
        "Runtime exited with error: signal: killed",
    ),
    (
        "kill -SEGV $$",
        "Runtime.ExitError",
        "Runtime exited with error: signal: segmentation fault",
    ),
    (
        "read -t 60 -u 9 9<> <(:)",
        "Sandbox.Timedout",
        "Task timed out after 1.00 seconds",
    ),
];

#[test]
fn ten_thousand_invocations_with_failures_leave_nothing_behind() {
    let directory = tempfile::tempdir().expect("a directory");
    let idle = ["--set", "invoke.idle_timeout_s=1"];
    let server = Server::start_with(directory.path(), &idle);
    // The script runs in the runtime's own shell: no process for each, and it can be killed. An
    // answer that ends a line goes out with its head, and need not wait for its acknowledgement.
    let runtime = SHELL.replace(
        r#"answer=$(eval "$script")"#,
        r#"eval "$script"; answer+=$'\n'"#,
    );
    assert_ne!(runtime, SHELL);
    for (name, timeout_s) in [("hasty", 1), ("patient", 60)] {
        server.create_function(name, &runtime, json!({ "Timeout": timeout_s }));
    }
    // Each kind several times: buffers, threads and pools are as large as they get.
    invoke_all(&server, INVOCATIONS / 50, FAILS_EVERY / 10);
    let before = held_at_rest(&server, directory.path());
    invoke_all(&server, INVOCATIONS, FAILS_EVERY);
    let mut more = Vec::new();
    eventually("no more is held than before", || {
        let now = grown(&before, &held_at_rest(&server, directory.path()));
        if now != more {
            eprintln!("kind, before, now: {now:?}");
        }
        more = now;
        more.is_empty()
    });
    assert_eq!(server.terminate().code(), Some(0));
}

/// Every answer must be the right one.
fn invoke_all(server: &Server, invocations: usize, fails_every: usize) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= invocations {
                        return;
                    }
                    let name = if number.is_multiple_of(3) {
                        "hasty"
                    } else {
                        "patient"
                    };
                    if number.is_multiple_of(fails_every) {
                        fail(server, FAILURES[number / fails_every % FAILURES.len()]);
                    } else {
                        let answer = server.shell(name, &format!("answer={number}"));
                        assert_eq!(answer, format!("{number}\n"));
                    }
                }
            });
        }
    });
}

fn fail(server: &Server, (script, error_type, message): (&str, &str, &str)) {
    let hasty = error_type == "Sandbox.Timedout";
    let name = if hasty { "hasty" } else { "patient" };
    let reply = server.invoke(name, script);
    let function_error = reply.header("x-amz-function-error");
    assert_eq!(
        (reply.status, function_error),
        (200, Some("Unhandled")),
        "{script}"
    );
    let id = reply.header("x-amzn-requestid").expect("a request id");
    let document = json!({
        "errorType": error_type,
        "errorMessage": format!("RequestId: {id} Error: {message}"),
    });
    assert_eq!(reply.json(), document, "{script}");
}

/// What the server and its spawner hold, by kind, when no environment is left.
fn held_at_rest(server: &Server, data_dir: &Path) -> BTreeMap<String, usize> {
    eventually("no environment is left", || {
        let reply = server.request("GET", "/bootlace/v1/environments", &[], b"");
        let list = reply.json();
        list["environments"].as_array().expect("a list").is_empty()
    });
    let mut held = BTreeMap::new();
    let mut count = |kind: String| *held.entry(kind).or_default() += 1;
    for trace in traces_on_host(data_dir) {
        count(trace.split(' ').next().expect("a word").to_owned());
    }
    let family = descendants(server.pid());
    count_of_process(server.pid(), "server", &mut count);
    for process in &family {
        count("process".to_owned());
        count_of_process(process.pid, "spawner", &mut count);
    }
    held
}

/// Its threads, mounts and descriptors, the latter by what they are of.
fn count_of_process(pid: u32, whose: &str, count: &mut impl FnMut(String)) {
    let entries = |directory: &str| {
        let entries = fs::read_dir(format!("/proc/{pid}/{directory}"));
        entries.into_iter().flatten().flatten()
    };
    entries("task").for_each(|_| count(format!("{whose}: thread")));
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    (0..mounts.lines().count()).for_each(|_| count(format!("{whose}: mount")));
    for descriptor in entries("fd") {
        let Ok(target) = fs::read_link(descriptor.path()) else {
            continue;
        };
        let target = target.to_string_lossy().into_owned();
        let kind = target.split(['[', '(']).next().unwrap_or_default();
        count(format!("{whose}: descriptor of {kind}"));
    }
}

/// What there is more of, with both counts. Places for sandboxes are kept for the next one, and how
/// many there are at once is chance: callers find environments that are being reset.
fn grown(
    before: &BTreeMap<String, usize>,
    after: &BTreeMap<String, usize>,
) -> Vec<(String, usize, usize)> {
    let counts = after.iter().map(|(kind, after)| {
        let before = before.get(kind).copied().unwrap_or(0);
        (kind.clone(), before, *after)
    });
    let more = counts.filter(|(kind, before, after)| {
        let place = PLACE.iter().any(|what| kind == what);
        *after > before + if place { 2 * CALLERS } else { 0 }
    });
    more.collect()
}
