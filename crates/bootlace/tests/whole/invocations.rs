//! Many invocations at once, and what environments keep from each other.
#![allow(
    clippy::disallowed_methods,
    reason = "tests start threads and read clocks"
)]

use std::collections::HashSet;
use std::sync::Barrier;

use crate::common::{SHELL, Server, text};
use serde_json::json;

const CALLERS: usize = 200;

#[test]
fn two_hundred_at_once_are_answered_rightly_and_share_no_environment() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path());
    server.create_function("busy", SHELL, json!({}));
    // An environment that is entered while it is in use, or that another one can see, says so.
    let script = |caller: usize| {
        format!(
            "mkdir /tmp/busy || echo shared; sleep 0.2; \
             [[ -s /tmp/name ]] || cat /proc/sys/kernel/random/uuid > /tmp/name; \
             echo {caller} $(cat /tmp/name); rmdir /tmp/busy"
        )
    };
    let together = Barrier::new(CALLERS);
    let environments: HashSet<String> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let (server, together, script) = (&server, &together, script(caller));
                scope.spawn(move || {
                    together.wait();
                    let answer = server.shell("busy", &script);
                    let (number, environment) = answer.split_once(' ').expect("two words");
                    assert_eq!(number, caller.to_string(), "{answer}");
                    environment.to_owned()
                })
            })
            .collect();
        callers
            .into_iter()
            .map(|caller| caller.join().expect("an answer"))
            .collect()
    });
    assert!(environments.len() > 1, "{environments:?}");
    // One after the other, they need only one environment: the one that waited least.
    let again: HashSet<String> = (0..20)
        .map(|caller| {
            server.await_idle();
            let answer = server.shell("busy", &script(caller));
            let (number, environment) = answer.split_once(' ').expect("two words");
            assert_eq!(number, caller.to_string(), "{answer}");
            environment.to_owned()
        })
        .collect();
    assert_eq!(again.len(), 1, "{again:?}");
    assert_eq!(server.terminate().code(), Some(0));
}

#[test]
fn tmp_is_kept_when_warm_and_never_seen_by_another() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path());
    for name in ["one", "two"] {
        server.create_function(name, SHELL, json!({}));
    }
    assert_eq!(
        server.shell("one", "ls -A /tmp; echo secret > /tmp/mine"),
        ""
    );
    server.await_idle();
    assert_eq!(server.shell("one", "cat /tmp/mine"), "secret");
    assert_eq!(server.shell("two", "ls -A /tmp"), "");
    server.await_idle();
    // A second environment of the same function, made because the first one is busy.
    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(|| server.shell("one", "sleep 1; cat /tmp/mine"));
        server.await_running("one");
        let second = server.shell("one", "ls -A /tmp");
        (first.join().expect("an answer"), second)
    });
    assert_eq!((first.as_str(), second.as_str()), ("secret", ""));
}

#[test]
fn a_new_configuration_means_new_environments() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path());
    server.create_function(
        "changing",
        SHELL,
        json!({ "Environment": { "Variables": { "WORD": "old" } } }),
    );
    assert_eq!(
        server.shell("changing", "echo $WORD; touch /tmp/old"),
        "old"
    );
    let change = json!({ "Environment": { "Variables": { "WORD": "new" } } }).to_string();
    let path = "/2015-03-31/functions/changing/configuration";
    let reply = server.request("PUT", path, &[], change.as_bytes());
    assert_eq!(reply.status, 200, "{}", text(&reply.body));
    server.await_active("changing");
    assert_eq!(server.shell("changing", "echo $WORD; ls /tmp"), "new");
}

#[test]
fn more_than_the_account_may_run_is_throttled() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start_with(directory.path(), &["--set", "invoke.account_concurrency=2"]);
    server.create_function("slow", SHELL, json!({}));
    let together = Barrier::new(6);
    let replies: Vec<_> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(|| {
                    together.wait();
                    server.invoke("slow", "sleep 2; echo done")
                })
            })
            .collect();
        callers
            .into_iter()
            .map(|caller| caller.join().expect("an answer"))
            .collect()
    });
    let (done, refused): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 200);
    assert_eq!((done.len(), refused.len()), (2, 4), "{replies:?}");
    for reply in refused {
        assert_eq!(reply.status, 429);
        assert_eq!(
            reply.header("x-amzn-errortype"),
            Some("TooManyRequestsException")
        );
    }
}
