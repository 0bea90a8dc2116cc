//! Extensions: who starts when, what they hear, what they are refused, when an invocation is over.

use bootlace_invoke::EnvironmentState;
use bootlace_testkit::guest::{Action, Body, Guest, Seen};
use bootlace_types::clock;
use tokio::sync::watch;

use crate::cast::{self, BOTH, Role, answers, echo, events, follows, listens};
use crate::world::{World, patient};

#[track_caller]
fn check(seen: &Seen, error_type: &str, message: &str) {
    assert_eq!(seen.status, 403, "{seen:?}");
    let document: serde_json::Value = serde_json::from_slice(&seen.body).expect("JSON");
    assert_eq!(document["errorType"], error_type);
    assert_eq!(document["errorMessage"], message);
    assert_eq!(seen.header("Content-Type"), Some("application/json"));
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
async fn nobody_speaks_for_the_runtime_before_it_runs() {
    let (open, gate) = watch::channel(false);
    let eager = Guest::new(vec![
        Action::Next,
        Action::InitError("Runtime.Early", "{}"),
        Action::Gate(gate),
        Action::Register("one".into(), "[]"),
        Action::Loop(vec![Action::EventNext]),
    ]);
    let transcript = eager.transcript.clone();
    let roles = vec![echo(), Role::new("one", vec![eager])];
    let (world, _) = cast::world(patient(), roles).await;
    world
        .put("f", &world.record_with_extensions(&["one"]).await)
        .await;
    let told = async {
        let seen = transcript.at_least(2).await;
        open.send_replace(true);
        seen
    };
    let (seen, ()) = tokio::join!(told, answers(&world, "1"));
    for (seen, to) in seen.iter().zip(["Ready", "InitError"]) {
        let text = format!(
            "State transition from Started to {to} failed for runtime. \
             Error: State transition is not allowed"
        );
        check(seen, "InvalidStateTransition", &text);
    }
}

#[tokio::test]
async fn an_extension_hears_in_which_state_it_was() {
    let (open, gate) = watch::channel(false);
    let one = Guest::new(vec![
        Action::Register("one".into(), "[]"),
        Action::EventParkElsewhere,
        Action::Gate(gate),
        Action::EventNext,
        Action::ExtensionFails("init", "Extension.X"),
        Action::ExtensionFails("exit", "Extension.X"),
        Action::ExtensionFails("exit", "Extension.X"),
        Action::EventNext,
        Action::Hang,
    ]);
    let transcript = one.transcript.clone();
    let roles = vec![echo(), Role::new("one", vec![one, listens("one", "[]")])];
    let (world, _) = cast::world(patient(), roles).await;
    world
        .put("f", &world.record_with_extensions(&["one"]).await)
        .await;
    answers(&world, "1").await;
    open.send_replace(true);
    let seen = transcript.at_least(6).await;
    let id = seen[0].header("Lambda-Extension-Identifier").unwrap();
    let refused = |seen: &Seen, from: &str, to: &str| {
        let text = format!(
            "State transition from {from} to {to} failed for extension {id}. \
             Error: State transition is not allowed"
        );
        check(seen, "Extension.InvalidExtensionState", &text);
    };
    refused(&seen[1], "Ready", "Ready");
    refused(&seen[2], "Ready", "InitError");
    assert_eq!((seen[3].status, seen[4].status), (202, 202));
    assert_eq!(seen[3].text().trim_end(), "{\"status\":\"OK\"}");
    refused(&seen[5], "ExitError", "Ready");
    // Nobody waited; the environment was reset, and serves again.
    world
        .until("it is reset", |world| {
            let one = &world.dispatcher.environments()[0];
            one.state == EnvironmentState::Idle && !one.initialized
        })
        .await;
    answers(&world, "2").await;
}
