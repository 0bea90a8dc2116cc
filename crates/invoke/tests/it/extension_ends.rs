//! How extensions and runtimes end: by themselves, in time or not, and what their callers hear.

use std::time::{Duration, Instant};

use bootlace_invoke::DispatcherOptions;
use bootlace_testkit::guest::{Action, Body, Guest};
use bootlace_types::clock;

use crate::cast::{self, BOTH, Role, answers, echo, events, follows, listens};
use crate::world::{error, patient};

#[tokio::test]
async fn an_extension_that_ends_fails_the_invocation_and_resets_the_environment() {
    let register = || Action::Register("one".into(), BOTH);
    let in_invocation = vec![register(), Action::EventNext, Action::Exit(3)];
    let cases = [
        (1, in_invocation, ("Extension.Crash", "exit status 3")),
        (2, vec![Action::Exit(0)], ("Extension.Crash", "exit code 0")),
        (
            2,
            vec![register(), Action::Exit(4)],
            ("Extension.Crash", "exit status 4"),
        ),
        (
            2,
            vec![
                register(),
                Action::ExtensionFails("init", "Extension.Bad"),
                Action::Exit(5),
            ],
            ("Extension.InitError", "exit status 5"),
        ),
        (
            2,
            vec![
                register(),
                Action::ExtensionFails("init", "Extension.Bad"),
                Action::Hang,
            ],
            ("Extension.InitError", "Extension.Bad"),
        ),
        (
            1,
            vec![
                register(),
                Action::EventNext,
                Action::ExtensionFails("exit", "Extension.Bad"),
                Action::Exit(6),
            ],
            ("Extension.ExitError", "exit status 6"),
        ),
    ];
    for (times, actions, want) in cases {
        // The runtime must not be quicker than the extension.
        let what = format!("{actions:?}");
        let slow = Guest::new(vec![Action::Loop(vec![
            Action::Next,
            Action::Sleep(Duration::from_millis(500)),
            Action::Respond(Body::Echo),
        ])]);
        let mut scripts = vec![Guest::new(actions); times];
        scripts.push(listens("one", BOTH));
        let roles = vec![
            Role::new("bootstrap", vec![slow]),
            Role::new("one", scripts),
        ];
        let (world, _) = cast::world(patient(), roles).await;
        world
            .put("f", &world.record_with_extensions(&["one"]).await)
            .await;
        let answer = world.invoke("f", "1").await.expect("an answer");
        let (error_type, message) = error(&answer);
        let message = message.split(" Error: ").nth(1).unwrap();
        assert_eq!((&*error_type, message), want, "{what}");
        answers(&world, "2").await;
        let environments = world.dispatcher.environments();
        assert_eq!((environments.len(), &*environments[0].id), (1, "env-1"));
    }
}

#[tokio::test]
async fn more_than_ten_extensions_cannot_start() {
    let names: Vec<String> = (0..11).map(|number| format!("e{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (world, journal) = cast::world(patient(), vec![echo()]).await;
    world
        .put("f", &world.record_with_extensions(&names).await)
        .await;
    let answer = world.invoke("f", "1").await.expect("an answer");
    let (error_type, message) = error(&answer);
    assert_eq!(error_type, "Extension.LaunchError");
    assert!(message.ends_with("Error: Extension limit (10) reached"));
    assert_eq!(journal.all(), [""; 0]);
}

#[tokio::test]
async fn an_extension_that_does_not_come_back_runs_into_the_timeout() {
    let stuck = Guest::new(vec![
        Action::Register("one".into(), BOTH),
        Action::EventNext,
        Action::Sleep(Duration::from_millis(1_500)),
        Action::EventNext,
    ]);
    let transcript = stuck.transcript.clone();
    let roles = vec![echo(), Role::new("one", vec![stuck, listens("one", BOTH)])];
    let (world, _) = cast::world(patient(), roles).await;
    let mut record = world.record_with_extensions(&["one"]).await;
    record.latest.timeout_s = 1;
    world.put("f", &record).await;
    answers(&world, "1").await;
    answers(&world, "2").await;
    assert_eq!(world.dispatcher.environments().len(), 1);
    assert_eq!(events(&transcript), ["INVOKE", "timeout"]);
}

/// The runtime is asked to end, then the extensions hear of it, then the rest is killed.
#[tokio::test]
async fn the_end_of_an_idle_environment_has_awss_order() {
    let options = DispatcherOptions {
        idle_timeout: Duration::from_millis(200),
        ..patient()
    };
    let (one, deaf) = (follows("one", 1), listens("deaf", r#"["INVOKE"]"#));
    let transcript = one.transcript.clone();
    let roles = vec![
        echo(),
        Role::new("one", vec![one]),
        Role::new("deaf", vec![deaf]),
    ];
    let (world, journal) = cast::world(options, roles).await;
    world
        .put("f", &world.record_with_extensions(&["one", "deaf"]).await)
        .await;
    answers(&world, "1").await;
    let lines = journal.at_least(6).await;
    assert_eq!(lines[3], "term bootstrap");
    assert!(lines[4..].contains(&"kill deaf".to_owned()), "{lines:?}");
    assert!(lines[4..].contains(&"exit one".to_owned()), "{lines:?}");
    let seen = transcript.at_least(3).await;
    let farewell: serde_json::Value = serde_json::from_slice(&seen[2].body).unwrap();
    assert_eq!(
        (&farewell["eventType"], &farewell["shutdownReason"]),
        (&"SHUTDOWN".into(), &"spindown".into())
    );
    let left = farewell["deadlineMs"].as_u64().unwrap();
    let left = left.saturating_sub(clock::epoch_ms(clock::wall()));
    assert!(left <= 2_000, "{left}");
    world
        .until("it is gone", |world| {
            world.dispatcher.environments().is_empty()
        })
        .await;
}

#[tokio::test]
async fn who_does_not_end_is_killed_when_the_time_is_over() {
    let steady = Role::new("bootstrap", vec![Guest::echo()]).stubborn();
    let roles = vec![steady, Role::new("one", vec![listens("one", BOTH)])];
    let (world, journal) = cast::world(patient(), roles).await;
    world
        .put("f", &world.record_with_extensions(&["one"]).await)
        .await;
    answers(&world, "1").await;
    let began: Instant = clock::now();
    world.dispatcher.drain(Duration::from_secs(5)).await;
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(2_000), "{took:?}");
    assert!(took < Duration::from_millis(4_000), "{took:?}");
    let lines = journal.all();
    assert_eq!(
        lines[2..],
        ["term bootstrap", "kill bootstrap", "kill one"],
        "{lines:?}"
    );
}

/// A runtime that is asked to end after a timeout may still speak, and hears that it is late.
#[tokio::test]
async fn a_late_answer_after_the_timeout_is_gone() {
    let late = Guest::new(vec![
        Action::Next,
        Action::Sleep(Duration::from_millis(1_200)),
        Action::Respond(Body::Echo),
        Action::Next,
        Action::Exit(0),
    ]);
    let transcript = late.transcript.clone();
    let roles = vec![
        Role::new("bootstrap", vec![late, Guest::echo()]).stubborn(),
        Role::new("one", vec![follows("one", 1), listens("one", BOTH)]),
    ];
    let (world, _) = cast::world(patient(), roles).await;
    let mut record = world.record_with_extensions(&["one"]).await;
    record.latest.timeout_s = 1;
    world.put("f", &record).await;
    let answer = world.invoke("f", "1").await.expect("an answer");
    assert_eq!(error(&answer).0, "Sandbox.Timedout");
    answers(&world, "2").await;
    let seen = transcript.all();
    assert_eq!(
        (seen[1].status, seen[1].text().contains("\"InvokeTimeout\"")),
        (410, true)
    );
    assert_eq!(seen[2].status, 500);
}

#[tokio::test]
async fn without_extensions_everybody_is_killed_at_once() {
    let (world, journal) = cast::world(patient(), vec![echo()]).await;
    world.put("f", &world.record()).await;
    answers(&world, "1").await;
    world.dispatcher.drain(Duration::from_secs(5)).await;
    assert_eq!(journal.all(), ["start bootstrap", "kill bootstrap"]);
}

#[tokio::test]
async fn a_crash_tells_the_extensions_of_a_failure_and_they_start_again() {
    let crash = Guest::new(vec![Action::Next, Action::Exit(7)]);
    let one = follows("one", 1);
    let transcript = one.transcript.clone();
    let roles = vec![
        Role::new("bootstrap", vec![crash, Guest::echo()]),
        Role::new("one", vec![one, listens("one", BOTH)]),
    ];
    let (world, journal) = cast::world(patient(), roles).await;
    world
        .put("f", &world.record_with_extensions(&["one"]).await)
        .await;
    let answer = world.invoke("f", "1").await.expect("an answer");
    assert_eq!(error(&answer).0, "Runtime.ExitError");
    answers(&world, "2").await;
    assert_eq!(events(&transcript), ["INVOKE", "failure"]);
    assert_eq!(
        journal.all(),
        [
            "start one",
            "start bootstrap",
            "exit bootstrap",
            "exit one",
            "start one",
            "start bootstrap"
        ]
    );
    assert_eq!(world.dispatcher.environments()[0].id, "env-1");
}
