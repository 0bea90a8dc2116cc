//! The server as a process: its one line, its lock, its end.
#![allow(
    clippy::disallowed_methods,
    reason = "tests start processes and read clocks"
)]

use std::time::{Duration, Instant};

use crate::common::{SHELL, Server, bootlace, eventually, run, text};
use crate::host::{descendants, traces_on_host};
use rustix::process::Signal;
use serde_json::json;

#[test]
fn it_says_its_address_answers_and_ends_with_sigterm() {
    let directory = tempfile::tempdir().expect("a directory");
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::start(directory.path());
        let reply = server.request("GET", "/bootlace/v1/health", &[], b"");
        assert_eq!(reply.status, 200, "{}", text(&reply.body));
        let family = descendants(server.pid());
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0));
        eventually("no process is left", || {
            family.iter().all(|process| !process.lives())
        });
        assert_eq!(traces_on_host(directory.path()), Vec::<String>::new());
    }
}

#[test]
fn one_data_directory_has_one_server() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path());
    let path = directory.path().to_str().expect("UTF-8");
    let second = run(&["serve", "--listen", "127.0.0.1:0", "--data-dir", path]);
    assert_eq!(second.status.code(), Some(5));
    assert_eq!(text(&second.stdout), "");
    assert!(
        text(&second.stderr).contains(path),
        "{}",
        text(&second.stderr)
    );
    // The first one did not notice.
    assert_eq!(
        server
            .request("GET", "/bootlace/v1/health", &[], b"")
            .status,
        200
    );
    assert_eq!(server.terminate().code(), Some(0));
    let again = Server::start(directory.path());
    assert_eq!(again.terminate().code(), Some(0));
}

#[test]
fn a_taken_port_is_an_error_that_leaves_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let path = directory.path().to_str().expect("UTF-8");
    let output = run(&["serve", "--listen", &address, "--data-dir", path]);
    assert_eq!(output.status.code(), Some(5), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains(&format!("cannot listen on {address}")));
    eventually("nothing is left on the host", || {
        traces_on_host(directory.path()).is_empty()
    });
}

#[test]
fn a_running_invocation_finishes_after_sigterm() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut server = Server::start(directory.path());
    server.create_function("slow", SHELL, json!({}));
    let address = server.address.clone();
    let call =
        std::thread::spawn(move || crate::common::invoke(&address, "slow", "sleep 1; echo done"));
    server.await_running("slow");
    server.signal(Signal::TERM);
    let reply = call.join().expect("a thread").expect("an answer");
    assert_eq!((reply.status, text(&reply.body).trim()), (200, "done"));
    assert_eq!(server.wait().code(), Some(0));
    assert_eq!(traces_on_host(directory.path()), Vec::<String>::new());
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut server = Server::start(directory.path());
    server.create_function("endless", SHELL, json!({}));
    let address = server.address.clone();
    let call = std::thread::spawn(move || crate::common::invoke(&address, "endless", "sleep 50"));
    server.await_running("endless");
    let family = descendants(server.pid());
    server.signal(Signal::TERM);
    let start = Instant::now();
    eventually("it listens no more", || {
        server.signal(Signal::INT);
        std::thread::sleep(Duration::from_millis(20));
        server.try_wait().is_some()
    });
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(server.wait().code(), Some(130));
    let _ = call.join().expect("a thread");
    eventually("no process is left", || {
        family.iter().all(|process| !process.lives())
    });
}

#[test]
fn no_isolation_is_taken_only_by_name_and_said_aloud() {
    let temp = tempfile::tempdir().expect("a directory");
    let mut demo = bootlace();
    demo.args(["demo", "--isolation", "local"])
        .env("TMPDIR", temp.path());
    let output = demo.output().expect("runs");
    let notes = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{notes}");
    assert!(notes.contains("functions are NOT isolated"), "{notes}");
    let response = text(&output.stdout);
    assert!(response.contains("_HANDLER=function.handler"), "{response}");
    // What the runtime keeps in its temporary directory is gone with the rest.
    assert!(
        response.contains(&format!("TMPDIR={}/", temp.path().display())),
        "{response}"
    );
    assert_eq!(
        std::fs::read_dir(temp.path()).expect("a directory").count(),
        0
    );
}
