//! Between invocations the processes of an environment stand still.

use std::time::Duration;

use bootlace_invoke::DispatcherOptions;
use bootlace_sandbox::{Driver, ExitStatus, FakeDriver};
use bootlace_testkit::guest::Guest;
use tokio::sync::watch;

use crate::world::{World, patient, text};

/// An echo, and what its last process sees of being frozen.
async fn world(options: DispatcherOptions) -> (World, watch::Receiver<Vec<bool>>) {
    let (changes, seen) = watch::channel(Vec::new());
    let driver = FakeDriver::new(move |fake| {
        let changes = changes.clone();
        let mut frozen = fake.frozen.clone();
        async move {
            let watch = async {
                while frozen.changed().await.is_ok() {
                    let now = *frozen.borrow_and_update();
                    changes.send_modify(|all| all.push(now));
                }
                std::future::pending::<i32>().await
            };
            let echo = Guest::echo().run(fake.address, fake.output);
            ExitStatus::exited(tokio::select! {
                code = echo => code,
                code = watch => code,
            })
        }
    });
    let world = World::driven(options, Driver::Fake(driver), Default::default()).await;
    world.put("f", &world.record()).await;
    (world, seen)
}

fn frozen(world: &World) -> bool {
    world.dispatcher.environments()[0].frozen
}

#[tokio::test]
async fn an_idle_environment_is_frozen_and_an_invocation_thaws_it() {
    let (world, seen) = world(patient()).await;
    for round in 0..3 {
        let payload = round.to_string();
        let answer = world.invoke("f", &payload).await.expect("an answer");
        assert_eq!(text(&answer), payload);
        world.until("it is frozen", frozen).await;
    }
    world
        .until("its process saw all", |_| seen.borrow().len() >= 5)
        .await;
    assert_eq!(*seen.borrow(), [true, false, true, false, true]);
    world.dispatcher.drain(Duration::from_secs(5)).await;
    assert_eq!(world.dispatcher.environments().len(), 0);
}

#[tokio::test]
async fn invocations_that_follow_each_other_find_it_awake() {
    let options = DispatcherOptions {
        freeze_grace: Some(Duration::from_secs(2)),
        ..patient()
    };
    let (world, seen) = world(options).await;
    for _ in 0..50 {
        world.invoke("f", "1").await.expect("an answer");
    }
    assert!(!frozen(&world));
    assert_eq!(seen.borrow().len(), 0);
    world.until("it is frozen at last", frozen).await;
}

#[tokio::test]
async fn freezing_can_be_turned_off() {
    let options = DispatcherOptions {
        freeze_grace: None,
        ..patient()
    };
    let (world, seen) = world(options).await;
    world.invoke("f", "1").await.expect("an answer");
    // Longer than any grace; there is nothing that could be waited for.
    tokio::time::sleep(Duration::from_millis(200)).await;
    world.invoke("f", "1").await.expect("an answer");
    assert!(!frozen(&world) && seen.borrow().is_empty());
}
