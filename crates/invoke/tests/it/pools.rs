//! Who gets which environment, and when environments come and go.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bootlace_invoke::{DispatcherOptions, EnvironmentState, InvokeError};
use bootlace_sandbox::{Driver, ExitStatus, FakeDriver};
use bootlace_store::record::{LastUpdate, State};
use bootlace_testkit::guest::{Action, Body, Guest, Transcript};
use tokio::sync::watch;

use crate::world::{World, patient, text};

/// A guest that answers each event only when the gate is open.
fn gated() -> (watch::Sender<bool>, Guest) {
    let (open, gate) = watch::channel(false);
    let steps = vec![
        Action::Next,
        Action::Gate(gate),
        Action::Respond(Body::Echo),
    ];
    (open, Guest::new(vec![Action::Loop(steps)]))
}

fn in_state(world: &World, state: EnvironmentState) -> usize {
    world
        .dispatcher
        .environments()
        .iter()
        .filter(|one| one.state == state)
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_at_once_never_share_an_environment() {
    let (open, gate) = watch::channel(false);
    let transcripts: Arc<Mutex<Vec<Transcript>>> = Arc::default();
    let into = Arc::clone(&transcripts);
    let driver = FakeDriver::new(move |fake| {
        let steps = vec![
            Action::Next,
            Action::Gate(gate.clone()),
            Action::Respond(Body::Echo),
        ];
        let guest = Guest::new(vec![Action::Loop(steps)]);
        into.lock().unwrap().push(guest.transcript.clone());
        async move { ExitStatus::exited(guest.run(fake.address, fake.output).await) }
    });
    let world = World::driven(
        DispatcherOptions::default(),
        Driver::Fake(driver),
        Arc::default(),
    );
    let world = Arc::new(world.await);
    world.put("f", &world.record()).await;
    let mut calls = tokio::task::JoinSet::new();
    for caller in 0..200 {
        let world = Arc::clone(&world);
        calls.spawn(async move {
            for round in 0..10 {
                let payload = format!("{{\"caller\":{caller},\"round\":{round}}}");
                let answer = world.invoke("f", &payload).await.expect("an answer");
                assert_eq!(text(&answer), payload);
            }
        });
    }
    // Nobody answers before all have an event: so there are as many environments as callers.
    world
        .until("all run", |world| {
            in_state(world, EnvironmentState::Running) == 200
        })
        .await;
    assert_eq!(world.dispatcher.running(&world.scope), 200);
    open.send_replace(true);
    while let Some(call) = calls.join_next().await {
        call.expect("a right answer");
    }
    world
        .until("all are idle", |world| {
            in_state(world, EnvironmentState::Running) == 0
        })
        .await;
    assert_eq!(world.dispatcher.running(&world.scope), 0);

    // Each runtime saw an event, answered it, saw the next; no event was seen by two.
    let mut events = HashSet::new();
    for transcript in transcripts.lock().unwrap().iter() {
        let seen = transcript.all();
        for pair in seen.chunks_exact(2) {
            let id = pair[0]
                .header("Lambda-Runtime-Aws-Request-Id")
                .expect("an event");
            assert!(events.insert(id.to_owned()), "{id} was seen twice");
            assert_eq!(pair[1].status, 202);
            assert!(pair[1].call.contains(id));
        }
        assert_eq!(seen.len() % 2, 0);
    }
    assert_eq!(events.len(), 2_000);
}

#[tokio::test]
async fn calls_one_after_another_use_one_environment() {
    // It takes its time between the answer and the next call, as a shell does.
    let steps = vec![
        Action::Next,
        Action::Respond(Body::Echo),
        Action::Sleep(Duration::from_millis(5)),
    ];
    let world = World::new(Guest::new(vec![Action::Loop(steps)])).await;
    world.put("f", &world.record()).await;
    for _ in 0..10 {
        world.invoke("f", "1").await.expect("an answer");
    }
    assert_eq!(world.processes(), 1);
}

#[tokio::test]
async fn waiters_are_served_first_in_first_out() {
    // Process by process has a gate before its first call, and none ever answers by itself.
    let (gates, guests): (Vec<_>, Vec<_>) = (0..3)
        .map(|_| {
            let (open, gate) = watch::channel(false);
            let steps = vec![Action::Next, Action::Respond(Body::Echo)];
            let guest = Guest::new(vec![Action::Gate(gate), Action::Loop(steps)]);
            (open, guest)
        })
        .unzip();
    let world = Arc::new(World::with(DispatcherOptions::default(), guests).await);
    world.put("f", &world.record()).await;
    let (done, mut finished) = tokio::sync::mpsc::channel(3);
    let mut calls = Vec::new();
    for number in 0..3_usize {
        let (world, done) = (Arc::clone(&world), done.clone());
        let before = world.processes();
        calls.push(tokio::spawn({
            let world = Arc::clone(&world);
            async move {
                world.invoke("f", "1").await.expect("an answer");
                done.send(number).await.unwrap();
            }
        }));
        world
            .until("its process", |world| world.processes() == before + 1)
            .await;
    }
    // The last process is ready first, and serves the first caller, then the second.
    gates[2].send_replace(true);
    for number in 0..3 {
        assert_eq!(finished.recv().await, Some(number));
    }
    for call in calls {
        call.await.unwrap();
    }
}

#[tokio::test]
async fn at_the_cap_without_an_idle_environment_callers_are_throttled() {
    let (open, guest) = gated();
    let options = DispatcherOptions {
        max_environments: 1,
        ..patient()
    };
    let world = Arc::new(World::with(options, vec![guest]).await);
    world.put("f", &world.record()).await;
    let first = {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.invoke("f", "1").await })
    };
    world
        .until("it runs", |world| {
            in_state(world, EnvironmentState::Running) == 1
        })
        .await;
    let full = world.invoke("f", "2").await.unwrap_err();
    let reason = "ConcurrentInvocationLimitExceeded";
    assert!(
        matches!(full, InvokeError::Throttled { reason: why } if why == reason),
        "{full}"
    );
    open.send_replace(true);
    first.await.unwrap().expect("an answer");
    world.invoke("f", "3").await.expect("an answer");
    assert_eq!(world.processes(), 1);
}

#[tokio::test]
async fn at_the_cap_the_longest_idle_environment_makes_room() {
    let options = DispatcherOptions {
        max_environments: 2,
        ..patient()
    };
    let world = World::with(options, vec![Guest::echo()]).await;
    for name in ["a", "b", "c"] {
        world.put(name, &world.record()).await;
        world.invoke(name, "1").await.expect("an answer");
        world
            .until("it is idle", |world| {
                in_state(world, EnvironmentState::Running) == 0
            })
            .await;
    }
    let names: Vec<String> = world
        .dispatcher
        .environments()
        .iter()
        .filter(|one| one.state == EnvironmentState::Idle)
        .map(|one| one.function_arn.rsplit(':').next().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["b", "c"]);
}

#[tokio::test]
async fn idle_environments_expire() {
    let idle_timeout = Duration::from_millis(50);
    let options = DispatcherOptions {
        idle_timeout,
        ..DispatcherOptions::default()
    };
    let world = World::with(options, vec![Guest::echo()]).await;
    world.put("f", &world.record()).await;
    world.invoke("f", "1").await.expect("an answer");
    world
        .until("it has expired", |world| {
            world.dispatcher.environments().is_empty()
        })
        .await;
    world.invoke("f", "2").await.expect("an answer");
    assert_eq!(world.processes(), 2);
}

#[tokio::test]
async fn an_update_retires_idle_environments_at_once_and_running_ones_later() {
    let (open, slow) = gated();
    let world = World::with(
        DispatcherOptions::default(),
        vec![Guest::echo(), slow, Guest::echo()],
    );
    let world = Arc::new(world.await);
    let mut record = world.record();
    world.put("f", &record).await;
    world.invoke("f", "1").await.expect("an answer");
    world
        .until("it is idle", |world| {
            in_state(world, EnvironmentState::Idle) == 1
        })
        .await;

    record.latest.last_modified_ms = 2;
    record.latest.last_update = Some(LastUpdate::InProgress);
    world.put("f", &record).await;
    assert_eq!(
        in_state(&world, EnvironmentState::Idle),
        1,
        "the old one is served meanwhile"
    );
    record.latest.last_update = Some(LastUpdate::Successful);
    world.put("f", &record).await;
    world
        .until("it is gone", |world| {
            world.dispatcher.environments().is_empty()
        })
        .await;

    let running = {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.invoke("f", "\"old\"").await })
    };
    world
        .until("it runs", |world| {
            in_state(world, EnvironmentState::Running) == 1
        })
        .await;
    record.latest.last_modified_ms = 3;
    world.put("f", &record).await;
    assert_eq!(
        text(&world.invoke("f", "\"new\"").await.expect("an answer")),
        "\"new\""
    );
    open.send_replace(true);
    assert_eq!(text(&running.await.unwrap().expect("an answer")), "\"old\"");
    world
        .until("only the new one is left", |world| {
            world.dispatcher.environments().len() == 1
        })
        .await;
    assert_eq!(world.processes(), 3);
}

#[tokio::test]
async fn a_change_of_state_or_concurrency_keeps_the_environments() {
    let world = World::new(Guest::echo()).await;
    let mut record = world.record();
    world.put("f", &record).await;
    world.invoke("f", "1").await.expect("an answer");
    record.latest.revision_id = bootlace_types::RevisionId::random();
    record.reserved_concurrency = Some(5);
    record.tags.insert("a".into(), "b".into());
    world.put("f", &record).await;
    world.invoke("f", "2").await.expect("an answer");
    assert_eq!(world.processes(), 1);
}

#[tokio::test]
async fn a_deleted_function_is_gone_at_once() {
    let world = World::new(Guest::echo()).await;
    world.put("f", &world.record()).await;
    world.invoke("f", "1").await.expect("an answer");
    world.delete("f").await;
    assert!(matches!(
        world.invoke("f", "2").await,
        Err(InvokeError::NotFound { .. })
    ));
    assert!(world.dispatcher.check(&world.scope, "f", None).is_err());
    world
        .until("its environment is gone", |world| {
            world.dispatcher.environments().is_empty()
        })
        .await;
}

#[tokio::test]
async fn a_pending_function_is_waited_for() {
    let world = Arc::new(World::new(Guest::echo()).await);
    let mut record = world.record();
    record.latest.state = State::Pending;
    world.put("f", &record).await;
    let waiting = {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.invoke("f", "1").await })
    };
    tokio::task::yield_now().await;
    record.latest.state = State::Active;
    world.put("f", &record).await;
    assert_eq!(text(&waiting.await.unwrap().expect("an answer")), "1");
    record.latest.state = State::Failed {
        code: "x".into(),
        reason: "y".into(),
    };
    world.put("f", &record).await;
    let why = world.invoke("f", "1").await.unwrap_err();
    assert!(
        matches!(why, InvokeError::NotReady { state: "Failed" }),
        "{why}"
    );
}

#[tokio::test]
async fn concurrency_limits_answer_with_awss_reasons() {
    let (open, guest) = gated();
    let options = DispatcherOptions {
        account_concurrency: 2,
        ..patient()
    };
    let world = Arc::new(World::with(options, vec![guest]).await);
    let mut record = world.record();
    world.put("f", &record).await;
    record.reserved_concurrency = Some(0);
    world.put("stopped", &record).await;
    record.reserved_concurrency = Some(1);
    world.put("reserved", &record).await;
    let reason = |result| match result {
        Err(InvokeError::Throttled { reason }) => reason,
        other => panic!("{other:?}"),
    };
    let reserved = "ReservedFunctionConcurrentInvocationLimitExceeded";
    assert_eq!(reason(world.invoke("stopped", "1").await), reserved);
    let run = |name: &'static str| {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.invoke(name, "1").await })
    };
    let running = [run("f"), run("reserved")];
    world
        .until("both run", |world| {
            in_state(world, EnvironmentState::Running) == 2
        })
        .await;
    assert_eq!(reason(world.invoke("reserved", "1").await), reserved);
    let account = "ConcurrentInvocationLimitExceeded";
    assert_eq!(reason(world.invoke("f", "1").await), account);
    open.send_replace(true);
    for call in running {
        call.await.unwrap().expect("an answer");
    }
    world.invoke("f", "1").await.expect("there is room again");
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_stop_the_invocation() {
    let (open, guest) = gated();
    let transcript = guest.transcript.clone();
    let world = Arc::new(World::new(guest).await);
    world.put("f", &world.record()).await;
    let call = {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.invoke("f", "1").await })
    };
    transcript.at_least(1).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_eq!(
        world.dispatcher.running(&world.scope),
        1,
        "it still runs, and counts"
    );
    open.send_replace(true);
    let seen = transcript.at_least(2).await;
    assert_eq!(seen[1].status, 202, "its answer is accepted");
    world
        .until("it is idle", |world| {
            in_state(world, EnvironmentState::Idle) == 1
        })
        .await;
    world
        .until("it counts no more", |world| {
            world.dispatcher.running(&world.scope) == 0
        })
        .await;
    assert_eq!(text(&world.invoke("f", "2").await.expect("an answer")), "2");
    assert_eq!(world.processes(), 1);
}

#[tokio::test]
async fn a_caller_that_goes_away_while_waiting_leaves_the_environment_to_others() {
    let (open, gate) = watch::channel(false);
    let steps = vec![Action::Next, Action::Respond(Body::Echo)];
    let guest = Guest::new(vec![Action::Gate(gate), Action::Loop(steps)]);
    let world = Arc::new(World::new(guest).await);
    world.put("f", &world.record()).await;
    let call = {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.invoke("f", "1").await })
    };
    world
        .until("it starts", |world| world.processes() == 1)
        .await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_eq!(world.dispatcher.running(&world.scope), 0);
    open.send_replace(true);
    world
        .until("it is idle", |world| {
            in_state(world, EnvironmentState::Idle) == 1
        })
        .await;
    world.invoke("f", "2").await.expect("an answer");
    assert_eq!(world.processes(), 1);
}

#[tokio::test]
async fn a_drain_finishes_what_runs_and_refuses_the_rest() {
    let (open, guest) = gated();
    let world = Arc::new(World::new(guest).await);
    world.put("f", &world.record()).await;
    let call = {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.invoke("f", "1").await })
    };
    world
        .until("it runs", |world| {
            in_state(world, EnvironmentState::Running) == 1
        })
        .await;
    let drain = {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.dispatcher.drain(Duration::from_secs(10)).await })
    };
    // On this one thread the drain has begun when this task runs again.
    tokio::task::yield_now().await;
    let refused = world.invoke("f", "2").await.unwrap_err();
    assert!(matches!(refused, InvokeError::ShuttingDown), "{refused}");
    open.send_replace(true);
    assert_eq!(text(&call.await.unwrap().expect("an answer")), "1");
    drain.await.unwrap();
    assert!(world.dispatcher.environments().is_empty());
}

#[tokio::test]
async fn a_drain_has_a_limit() {
    let (_open, guest) = gated();
    let world = Arc::new(World::new(guest).await);
    world.put("f", &world.record()).await;
    let call = {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.invoke("f", "1").await })
    };
    world
        .until("it runs", |world| {
            in_state(world, EnvironmentState::Running) == 1
        })
        .await;
    world.dispatcher.drain(Duration::from_millis(50)).await;
    let answer = call.await.unwrap().expect("an answer");
    assert_eq!(answer.function_error, Some("Unhandled"));
    assert!(world.dispatcher.environments().is_empty());
}

#[tokio::test]
async fn a_new_dispatcher_finds_the_functions_that_are_stored() {
    let world = World::new(Guest::echo()).await;
    world.put("f", &world.record()).await;
    let driver = FakeDriver::new(|fake| async move {
        ExitStatus::exited(Guest::echo().run(fake.address, fake.output).await)
    });
    let options = DispatcherOptions::default();
    let dispatcher =
        bootlace_invoke::Dispatcher::start(options, world.store.clone(), Driver::Fake(driver));
    let dispatcher = dispatcher.await.unwrap();
    let answer = dispatcher
        .invoke(world.request("f", "1"))
        .await
        .expect("an answer");
    assert_eq!(text(&answer), "1");
}
