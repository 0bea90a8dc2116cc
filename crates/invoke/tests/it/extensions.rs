//! Extensions: who starts when, what they hear, when an invocation is over, how everybody ends.

use std::time::{Duration, Instant};

use bootlace_invoke::{DispatcherOptions, EnvironmentState};
use bootlace_testkit::guest::{Action, Body, Guest, Seen};
use bootlace_types::clock;
use tokio::sync::watch;

use crate::cast::{self, Role, events};
use crate::world::{World, error, patient, text};

const BOTH: &str = r#"["INVOKE","SHUTDOWN"]"#;

fn echo() -> Role {
    Role::new("bootstrap", vec![Guest::echo()])
}

/// Registers and then does nothing but ask for events.
fn listens(name: &'static str, registers_for: &'static str) -> Guest {
    Guest::new(vec![
        Action::Register(name.into(), registers_for),
        Action::Loop(vec![Action::EventNext]),
    ])
}

/// The same, and ends when it is told so after `rounds` invocations.
fn follows(name: &'static str, rounds: usize) -> Guest {
    let mut actions = vec![Action::Register(name.into(), BOTH)];
    actions.extend(vec![Action::EventNext; rounds + 1]);
    Guest::new(actions)
}

#[track_caller]
fn check(seen: &Seen, error_type: &str, message: &str) {
    assert_eq!(seen.status, 403, "{seen:?}");
    let document: serde_json::Value = serde_json::from_slice(&seen.body).expect("JSON");
    assert_eq!(document["errorType"], error_type);
    assert_eq!(document["errorMessage"], message);
    assert_eq!(seen.header("Content-Type"), Some("application/json"));
}

async fn answers(world: &World, payload: &str) {
    let answer = world.invoke("f", payload).await.expect("an answer");
    assert_eq!(text(&answer), payload);
}

fn only_state(world: &World) -> EnvironmentState {
    world.dispatcher.environments()[0].state
}

#[tokio::test]
async fn extensions_start_first_and_hear_of_each_invocation() {
    let (one, two) = (follows("one", 2), listens("two", "[]"));
    let transcript = one.transcript.clone();
    let roles = vec![
        echo(),
        Role::new("one", vec![one]),
        Role::new("two", vec![two]),
    ];
    let (world, journal) = cast::world(patient(), roles).await;
    let mut record = world.record_with_extensions(&["two", "one"]).await;
    let wrapper = "AWS_LAMBDA_EXEC_WRAPPER";
    let variables = [("MINE", "yes"), (wrapper, "/opt/wrapper")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    record.latest.environment = Some(variables.into());
    world.put("f", &record).await;
    answers(&world, "1").await;
    answers(&world, "2").await;
    assert_eq!(journal.all()[2], "start bootstrap", "{:?}", journal.all());
    let seen = transcript.at_least(3).await;
    let registered: serde_json::Value = serde_json::from_slice(&seen[0].body).unwrap();
    assert_eq!(
        registered,
        serde_json::json!({
            "functionName": "f", "functionVersion": "$LATEST", "handler": "function.handler"
        })
    );
    let event: serde_json::Value = serde_json::from_slice(&seen[1].body).unwrap();
    assert_eq!(event["eventType"], "INVOKE");
    assert_eq!(
        event["invokedFunctionArn"],
        "arn:aws:lambda:us-east-1:000000000000:function:f"
    );
    assert_eq!(event["tracing"]["type"], "X-Amzn-Trace-Id");
    let trace = event["tracing"]["value"].as_str().unwrap();
    assert!(trace.starts_with("Root=1-"), "{trace}");
    let now = clock::epoch_ms(clock::wall());
    assert!(event["deadlineMs"].as_u64().unwrap() > now);
    let identifier = |seen: &Seen| {
        let identifier = seen.header("Lambda-Extension-Event-Identifier");
        identifier.expect("an identifier").to_owned()
    };
    assert_ne!(identifier(&seen[1]), identifier(&seen[2]));
    let environments = journal.environments.lock().unwrap();
    let (runtime, extension) = (&environments["bootstrap"], &environments["one"]);
    assert_eq!(extension["MINE"], "yes");
    // It is for managed runtimes: the bootstrap has it like any variable, and was started itself.
    assert_eq!(runtime[wrapper], "/opt/wrapper");
    assert_eq!(extension["AWS_LAMBDA_FUNCTION_NAME"], "f");
    assert_eq!(extension["AWS_LAMBDA_INITIALIZATION_TYPE"], "on-demand");
    for name in [
        "_HANDLER",
        "LAMBDA_TASK_ROOT",
        "LAMBDA_RUNTIME_DIR",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
    ] {
        assert!(runtime.contains_key(name) && !extension.contains_key(name));
    }
}

#[tokio::test]
async fn the_answer_comes_at_once_and_the_environment_is_free_when_all_are_back() {
    let (open, gate) = watch::channel(false);
    let slow = Guest::new(vec![
        Action::Register("slow".into(), BOTH),
        Action::EventNext,
        Action::Gate(gate),
        Action::Loop(vec![Action::EventNext]),
    ]);
    let roles = vec![echo(), Role::new("slow", vec![slow])];
    let (world, _) = cast::world(patient(), roles).await;
    world
        .put("f", &world.record_with_extensions(&["slow"]).await)
        .await;
    answers(&world, "1").await;
    assert_eq!(only_state(&world), EnvironmentState::Running);
    open.send_replace(true);
    world
        .until("it is idle", |world| {
            only_state(world) == EnvironmentState::Idle
        })
        .await;
    answers(&world, "2").await;
    assert_eq!(world.dispatcher.environments().len(), 1);
}

#[tokio::test]
async fn internal_extensions_register_from_the_runtime() {
    let internal = listens("inside", r#"["INVOKE"]"#);
    let transcript = internal.transcript.clone();
    // The runtime's first call must not come before the registration.
    let (open, gate) = watch::channel(false);
    let runtime = Guest::new(vec![
        Action::Gate(gate),
        Action::Loop(vec![Action::Next, Action::Respond(Body::Echo)]),
    ]);
    let driver = bootlace_sandbox::FakeDriver::new(move |fake| {
        let (runtime, internal) = (runtime.clone(), internal.clone());
        async move {
            let inside = internal.run(fake.address, tokio::io::sink());
            let code = tokio::join!(runtime.run(fake.address, fake.output), inside).0;
            bootlace_sandbox::ExitStatus::exited(code)
        }
    });
    let driver = bootlace_sandbox::Driver::Fake(driver);
    let world = World::driven(patient(), driver, Default::default()).await;
    world.put("f", &world.record()).await;
    let registered = async {
        transcript.at_least(1).await;
        open.send_replace(true);
    };
    tokio::join!(answers(&world, "1"), registered);
    answers(&world, "2").await;
    let seen = transcript.at_least(3).await;
    assert_eq!(seen[0].status, 200, "{:?}", seen[0]);
    assert_eq!(events(&transcript)[..2], ["INVOKE", "INVOKE"]);
}

#[tokio::test]
async fn every_refusal_has_awss_type_and_text() {
    let named = |name: &str| format!("Lambda-Extension-Name: {name}\r\n");
    let call = |method, path: &str, headers: String, body: &str| {
        let path = format!("/2020-01-01/extension/{path}");
        Action::CallWith(method, path, headers, body.into())
    };
    let stranger = "00000000-0000-4000-8000-000000000000";
    let as_stranger = format!("Lambda-Extension-Identifier: {stranger}\r\n");
    let with_type = format!("{as_stranger}Lambda-Extension-Function-Error-Type: Extension.X\r\n");
    let one = Guest::new(vec![
        call("POST", "register", String::new(), "{}"),
        call("POST", "register", named("one"), "no json"),
        call(
            "POST",
            "register",
            named("one"),
            r#"{"events":[],"configurationKeys":["a"]}"#,
        ),
        call("POST", "register", named("one"), r#"{"events":["NONE"]}"#),
        call(
            "POST",
            "register",
            named("in"),
            r#"{"events":["SHUTDOWN"]}"#,
        ),
        call("POST", "register", named("in"), "{}"),
        call("POST", "register", named("in"), "{}"),
        call("GET", "event/next", String::new(), ""),
        call(
            "GET",
            "event/next",
            "Lambda-Extension-Identifier: me\r\n".into(),
            "",
        ),
        call("GET", "event/next", as_stranger.clone(), ""),
        call("POST", "init/error", as_stranger, "{}"),
        call("POST", "exit/error", with_type, "{}"),
        call("GET", "register", named("one"), ""),
        call("GET", "nothing", String::new(), ""),
        call(
            "POST",
            "register",
            format!(
                "{}Lambda-Extension-Accept-Feature: x, accountId\r\n",
                named("one")
            ),
            r#"{"events":["INVOKE"]}"#,
        ),
        call("POST", "register", named("one"), "{}"),
        call("POST", "register", named(&"x".repeat(256)), "{}"),
        Action::Exit(0),
    ]);
    let transcript = one.transcript.clone();
    let roles = vec![echo(), Role::new("one", vec![one])];
    let (world, _) = cast::world(patient(), roles).await;
    world
        .put("f", &world.record_with_extensions(&["one"]).await)
        .await;
    let (seen, _) = tokio::join!(transcript.at_least(17), world.invoke("f", "1"));
    let closed = "Extension registration closed already";
    assert!(!seen[0].text().contains(closed));
    check(
        &seen[0],
        "Extension.InvalidExtensionName",
        "Empty extension name",
    );
    assert_eq!(seen[1].status, 403);
    assert!(seen[1].text().contains("\"InvalidRequestFormat\""));
    check(
        &seen[2],
        "InvalidRequestFormat",
        "configurationKeys are deprecated; use environment variables instead",
    );
    check(
        &seen[3],
        "Extension.InvalidEventType",
        "NONE: ErrorInvalidEventType",
    );
    check(
        &seen[4],
        "Extension.InvalidEventType",
        "SHUTDOWN: ShutdownEventNotSupportedForInternalExtension",
    );
    assert_eq!(seen[5].status, 200);
    check(
        &seen[6],
        "Extension.InvalidExtensionState",
        "Extension with this name already registered",
    );
    check(
        &seen[7],
        "Extension.MissingExtensionIdentifier",
        "Missing Lambda-Extension-Identifier header",
    );
    check(
        &seen[8],
        "Extension.InvalidExtensionIdentifier",
        "Invalid Lambda-Extension-Identifier",
    );
    let unknown = "Extension.UnknownExtensionIdentifier";
    check(&seen[9], unknown, &format!("Unknown extension {stranger}"));
    check(
        &seen[10],
        "Extension.MissingHeader",
        "Lambda-Extension-Function-Error-Type not found",
    );
    check(&seen[11], unknown, "Unknown Lambda-Extension-Identifier");
    assert_eq!((seen[12].status, seen[13].status), (405, 404));
    let registered: serde_json::Value = serde_json::from_slice(&seen[14].body).unwrap();
    assert_eq!(registered["accountId"], "000000000000");
    check(
        &seen[15],
        "Extension.InvalidExtensionState",
        "State transition from Registered to Registered failed for extension one. \
         Error: State transition is not allowed",
    );
    check(
        &seen[16],
        "Extension.InvalidExtensionName",
        "Extension name too long",
    );
}

#[tokio::test]
async fn after_initialization_nobody_registers_and_nobody_fails_to_initialize() {
    let guest = Guest::new(vec![
        Action::Next,
        Action::Register("late".into(), "[]"),
        Action::Respond(Body::Echo),
        Action::Next,
    ]);
    let runtime = guest.transcript.clone();
    let one = Guest::new(vec![
        Action::Register("one".into(), BOTH),
        Action::EventNext,
        Action::ExtensionFails("init", "Extension.Late"),
        Action::Loop(vec![Action::EventNext]),
    ]);
    let transcript = one.transcript.clone();
    let roles = vec![
        Role::new("bootstrap", vec![guest]),
        Role::new("one", vec![one]),
    ];
    let (world, _) = cast::world(patient(), roles).await;
    world
        .put("f", &world.record_with_extensions(&["one"]).await)
        .await;
    answers(&world, "1").await;
    check(
        &runtime.at_least(2).await[1],
        "Extension.RegistrationClosed",
        "Extension registration closed already",
    );
    let seen = transcript.at_least(3).await;
    let id = seen[0].header("Lambda-Extension-Identifier").unwrap();
    check(
        &seen[2],
        "Extension.InvalidExtensionState",
        &format!(
            "State transition from Running to InitError failed for extension {id}. \
             Error: State transition is not allowed"
        ),
    );
}

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
