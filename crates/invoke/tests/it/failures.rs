//! What callers get when a runtime fails, and that the next invocation finds a clean environment.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bootlace_invoke::{DispatcherOptions, EnvironmentState, InvokeError};
use bootlace_sandbox::{Driver, End, ExitStatus, FakeDriver};
use bootlace_testkit::guest::{Action, Body, Guest};
use bootlace_types::{Architecture, RequestId, Runtime};

use crate::world::{World, error, patient, text};

/// The first processes run the actions, the ones after them echo.
async fn failing(times: usize, actions: Vec<Action>) -> World {
    let mut guests = vec![Guest::new(actions); times];
    guests.push(Guest::echo());
    let world = World::with(patient(), guests).await;
    let mut record = world.record();
    record.latest.timeout_s = 1;
    world.put("f", &record).await;
    world
}

/// Invokes a function that fails once, checks the document, and that the next invocation is well, in
/// the same environment.
async fn check(actions: Vec<Action>, error_type: &str, message: &str) -> World {
    check_times(1, actions, error_type, message).await
}

/// Invokes a function that fails so many times before its caller hears of it.
async fn check_times(times: usize, actions: Vec<Action>, error_type: &str, message: &str) -> World {
    let world = failing(times, actions).await;
    let request = world.request("f", "{}");
    let id = request.request_id;
    let answer = world.dispatcher.invoke(request).await.expect("an answer");
    let want = (
        error_type.to_owned(),
        format!("RequestId: {id} Error: {message}"),
    );
    assert_eq!(error(&answer), want);
    assert_eq!(
        text(&world.invoke("f", "\"well\"").await.expect("an answer")),
        "\"well\""
    );
    assert_eq!(world.processes(), times + 1);
    let environments = world.dispatcher.environments();
    assert_eq!(environments.len(), 1, "it was reset: {environments:?}");
    assert_eq!(environments[0].id, "env-1");
    world
}

#[tokio::test]
async fn a_timeout() {
    let actions = vec![Action::Next, Action::Hang];
    check(
        actions,
        "Sandbox.Timedout",
        "Task timed out after 1.00 seconds",
    )
    .await;
}

#[tokio::test]
async fn an_exit_during_the_invocation() {
    let actions = vec![Action::Next, Action::Exit(3)];
    check(
        actions,
        "Runtime.ExitError",
        "Runtime exited with error: exit status 3",
    )
    .await;
}

#[tokio::test]
async fn an_exit_without_a_reason() {
    let actions = vec![Action::Next, Action::Exit(0)];
    check(
        actions,
        "Runtime.ExitError",
        "Runtime exited without providing a reason",
    )
    .await;
}

#[tokio::test]
async fn an_exit_during_initialization() {
    let actions = vec![Action::Exit(1)];
    check_times(
        2,
        actions,
        "Runtime.ExitError",
        "Runtime exited with error: exit status 1",
    )
    .await;
}

#[tokio::test]
async fn an_init_error_is_the_answer_as_it_is() {
    let body = "{\"errorMessage\":\"no\",\"errorType\":\"Broken\",\"requestId\":\"\"}";
    let actions = vec![
        Action::InitError("Runtime.ImportModuleError", body),
        Action::Exit(1),
    ];
    let world = failing(2, actions).await;
    let (answer, tail) = world.invoke_with_tail("f", "{}").await;
    assert_eq!(
        (text(&answer).as_str(), answer.function_error),
        (body, Some("Unhandled"))
    );
    assert!(
        tail.contains("\tStatus: error\tError Type: Runtime.ImportModuleError\n"),
        "{tail}"
    );
    assert_eq!(text(&world.invoke("f", "1").await.expect("an answer")), "1");
}

#[tokio::test]
async fn initialization_over_its_limit() {
    let options = DispatcherOptions {
        init_timeout: Duration::from_millis(200),
        ..DispatcherOptions::default()
    };
    let hang = Guest::new(vec![Action::Hang]);
    let guests = vec![hang.clone(), Guest::echo(), hang];
    let world = World::with(options, guests).await;
    let mut record = world.record();
    record.latest.timeout_s = 1;
    world.put("f", &record).await;
    // It ran again under the invocation, and was well.
    assert_eq!(text(&world.invoke("f", "1").await.expect("an answer")), "1");
    assert_eq!(world.processes(), 2);
    world.put("g", &record).await;
    let answer = world.invoke("g", "{}").await.expect("an answer");
    assert_eq!(error(&answer).0, "Sandbox.Timedout");
    assert!(
        error(&answer)
            .1
            .ends_with("Task timed out after 1.00 seconds")
    );
    assert_eq!(world.processes(), 4, "once by itself, once with the caller");
}

#[tokio::test]
async fn a_suppressed_initialization_is_billed_in_the_duration() {
    let options = DispatcherOptions {
        init_timeout: Duration::from_millis(100),
        ..patient()
    };
    let slow = Guest::new(vec![
        Action::Sleep(Duration::from_millis(200)),
        Action::Loop(vec![Action::Next, Action::Respond(Body::Echo)]),
    ]);
    let world = World::with(options, vec![slow]).await;
    world.put("f", &world.record()).await;
    let (answer, tail) = world.invoke_with_tail("f", "1").await;
    assert_eq!(text(&answer), "1");
    assert_eq!(world.processes(), 2);
    assert!(tail.starts_with("START RequestId: "), "{tail}");
    assert!(!tail.contains("Init Duration"), "{tail}");
    let duration = tail.split("\tDuration: ").nth(1).unwrap();
    let duration: f64 = duration.split(' ').next().unwrap().parse().unwrap();
    assert!(duration >= 200.0, "{tail}");
}

#[tokio::test]
async fn a_handler_error_keeps_the_environment() {
    let body = "{\"errorMessage\":\"no\",\"errorType\":\"ValueError\",\"stackTrace\":[]}";
    let guest = Guest::new(vec![
        Action::Next,
        Action::Error(body),
        Action::Loop(vec![Action::Next, Action::Respond(Body::Echo)]),
    ]);
    let world = World::new(guest).await;
    world.put("f", &world.record()).await;
    let answer = world.invoke("f", "{}").await.expect("an answer");
    assert_eq!(
        (text(&answer).as_str(), answer.function_error),
        (body, Some("Unhandled"))
    );
    assert_eq!(text(&world.invoke("f", "1").await.expect("an answer")), "1");
    assert_eq!(world.processes(), 1);
}

#[tokio::test]
async fn an_exit_while_idle_is_nobodys_failure() {
    let (open, gate) = tokio::sync::watch::channel(false);
    let actions = vec![
        Action::Next,
        Action::Respond(Body::Echo),
        Action::ParkElsewhere,
        Action::Gate(gate),
        Action::Exit(1),
    ];
    let world = failing(1, actions).await;
    assert_eq!(text(&world.invoke("f", "1").await.expect("an answer")), "1");
    open.send_replace(true);
    world
        .until("it is reset", |world| {
            let one = &world.dispatcher.environments()[0];
            one.state == EnvironmentState::Idle && !one.initialized
        })
        .await;
    assert_eq!(text(&world.invoke("f", "2").await.expect("an answer")), "2");
    assert_eq!(world.processes(), 2);
}

#[tokio::test]
async fn an_exit_after_the_answer_does_not_take_it_back() {
    let actions = vec![Action::Next, Action::Respond(Body::Echo), Action::Exit(9)];
    let world = failing(1, actions).await;
    assert_eq!(text(&world.invoke("f", "1").await.expect("an answer")), "1");
    assert_eq!(text(&world.invoke("f", "2").await.expect("an answer")), "2");
}

#[tokio::test]
async fn a_runtime_that_answers_and_never_returns_is_ended() {
    let actions = vec![Action::Next, Action::Respond(Body::Echo), Action::Hang];
    let guests = vec![Guest::new(actions), Guest::echo()];
    let world = World::with(DispatcherOptions::default(), guests).await;
    let mut record = world.record();
    record.latest.timeout_s = 1;
    world.put("f", &record).await;
    assert_eq!(text(&world.invoke("f", "1").await.expect("an answer")), "1");
    assert_eq!(text(&world.invoke("f", "2").await.expect("an answer")), "2");
    assert_eq!(world.processes(), 2, "a patient waiter waits only so long");
    world
        .until("the hung one is reset", |world| {
            let one = &world.dispatcher.environments()[0];
            one.state == EnvironmentState::Idle && !one.initialized
        })
        .await;
}

#[tokio::test]
async fn ends_are_told_as_the_kernel_tells_them() {
    let cases = [
        (
            ExitStatus::signaled(9),
            "signal: killed",
            "Runtime.ExitError",
        ),
        (
            ExitStatus::signaled(11),
            "signal: segmentation fault",
            "Runtime.ExitError",
        ),
        (
            ExitStatus {
                end: End::Signaled(9),
                out_of_memory: true,
            },
            "signal: killed",
            "Runtime.OutOfMemory",
        ),
    ];
    for (status, message, report_type) in cases {
        let driver = FakeDriver::new(move |fake| async move {
            let guest = Guest::new(vec![Action::Next, Action::Print(Body::Text("last words"))]);
            guest.run(fake.address, fake.output).await;
            status
        });
        let options = DispatcherOptions::default();
        let world = World::driven(options, Driver::Fake(driver), Default::default()).await;
        world.put("f", &world.record()).await;
        let (answer, tail) = world.invoke_with_tail("f", "{}").await;
        let (error_type, text) = error(&answer);
        assert_eq!(error_type, "Runtime.ExitError");
        assert!(
            text.ends_with(&format!("Runtime exited with error: {message}")),
            "{text}"
        );
        assert!(tail.contains("\nlast words\nEND RequestId: "), "{tail}");
        let end = format!("\tStatus: error\tError Type: {report_type}\n");
        assert!(tail.ends_with(&end), "{tail}");
    }
}

#[tokio::test]
async fn no_bootstrap() {
    let world = World::new(Guest::echo()).await;
    world.put("f", &world.record_without_bootstrap()).await;
    let request = world.request("f", "{}");
    let id: RequestId = request.request_id;
    let answer = world.dispatcher.invoke(request).await.expect("an answer");
    let message = format!(
        "RequestId: {id} Error: Couldn't find valid bootstrap(s): \
         [/var/task/bootstrap /opt/bootstrap]"
    );
    assert_eq!(
        error(&answer),
        ("Runtime.InvalidEntrypoint".into(), message)
    );
    assert_eq!(world.processes(), 0);
}

#[tokio::test]
async fn what_cannot_run_here_says_so() {
    let world = World::new(Guest::echo()).await;
    let mut record = world.record();
    record.latest.runtime = Some(Runtime::Python313);
    world.put("managed", &record).await;
    let why = world.invoke("managed", "{}").await.unwrap_err();
    assert!(matches!(
        why,
        InvokeError::RuntimeNotInstalled {
            runtime: Runtime::Python313
        }
    ));

    let mut record = world.record();
    record.latest.architecture = match Architecture::host().unwrap() {
        Architecture::X86_64 => Architecture::Arm64,
        Architecture::Arm64 => Architecture::X86_64,
    };
    world.put("foreign", &record).await;
    let why = world.invoke("foreign", "{}").await.unwrap_err();
    assert!(
        matches!(why, InvokeError::WrongArchitecture { .. }),
        "{why}"
    );

    let mut record = world.record();
    record.latest.package_type = bootlace_store::record::PackageType::Image;
    world.put("image", &record).await;
    let why = world.invoke("image", "{}").await.unwrap_err();
    assert!(matches!(why, InvokeError::Unsupported { .. }), "{why}");

    let why = world.invoke("none", "{}").await.unwrap_err();
    let arn = "arn:aws:lambda:us-east-1:000000000000:function:none";
    assert!(matches!(&why, InvokeError::NotFound { arn: found } if found.to_string() == arn));
}

#[tokio::test]
async fn more_memory_than_it_was_given_ends_the_environment() {
    let driver = FakeDriver::new(|fake| async move {
        fake.memory_bytes.store(100 << 20, Ordering::Relaxed);
        let first = Guest::new(vec![
            Action::Next,
            Action::Respond(Body::Echo),
            Action::Next,
        ]);
        let guest = Guest::new(vec![Action::Hang]);
        first.run(fake.address, &mut { fake.output }).await;
        fake.memory_bytes.store(200 << 20, Ordering::Relaxed);
        ExitStatus::exited(guest.run(fake.address, tokio::io::sink()).await)
    });
    let options = DispatcherOptions::default();
    let world = World::driven(options, Driver::Fake(driver), Default::default()).await;
    world.put("f", &world.record()).await;
    let (_, tail) = world.invoke_with_tail("f", "1").await;
    assert!(tail.contains("\tMax Memory Used: 100 MB\t"), "{tail}");
    let (answer, tail) = world.invoke_with_tail("f", "2").await;
    let (error_type, message) = error(&answer);
    assert_eq!(error_type, "Runtime.ExitError");
    assert!(
        message.ends_with("Error: Runtime exited with error: signal: killed"),
        "{message}"
    );
    assert!(tail.contains("\tMax Memory Used: 200 MB\t"), "{tail}");
    assert!(
        tail.ends_with("\tStatus: error\tError Type: Runtime.OutOfMemory\n"),
        "{tail}"
    );
}
