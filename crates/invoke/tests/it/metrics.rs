use bootlace_invoke::{BUCKET_MS, DispatcherOptions, InvokeError, MetricsQuery, MetricsSeries};
use bootlace_testkit::guest::{Action, Body, Guest};

use crate::world::{World, patient};

const ALL: MetricsQuery = MetricsQuery {
    from_ms: 0,
    to_ms: u64::MAX,
    // All that is kept, in one point or two.
    step_ms: 180 * BUCKET_MS,
};

fn read(world: &World, name: &str) -> MetricsSeries {
    let series = world.dispatcher.function_metrics(&world.scope, name, ALL);
    series.expect("a function")
}

/// Invocations, errors, throttles, cold starts.
fn counts(world: &World, name: &str) -> [u64; 4] {
    read(world, name)
        .points
        .iter()
        .fold([0; 4], |[a, b, c, d], point| {
            [
                a + point.invocations,
                b + point.errors,
                c + point.throttles,
                d + point.cold_starts,
            ]
        })
}

#[tokio::test]
async fn answers_and_failures_are_counted_for_their_function() {
    let fails = Guest::new(vec![
        Action::Next,
        Action::Error("{}"),
        Action::Next,
        Action::Exit(1),
    ]);
    let world = World::with(patient(), vec![fails, Guest::echo()]).await;
    world.put("f", &world.record()).await;
    world.put("g", &world.record()).await;
    world.invoke("f", "1").await.unwrap();
    assert_eq!(counts(&world, "f"), [1, 1, 0, 1]);
    world.invoke("f", "2").await.unwrap();
    world.invoke("f", "3").await.unwrap();
    assert_eq!(counts(&world, "f"), [3, 2, 0, 1]);
    assert_eq!(counts(&world, "g"), [0; 4]);
    // An update keeps what is known, a new function of the name starts anew.
    let mut changed = world.record();
    changed.latest.memory_mb = 256;
    world.put("f", &changed).await;
    assert_eq!(counts(&world, "f"), [3, 2, 0, 1]);
    world.delete("f").await;
    world.put("f", &changed).await;
    assert_eq!(counts(&world, "f"), [0; 4]);
}

#[tokio::test]
async fn a_start_that_fails_is_a_failed_invocation() {
    let world = World::new(Guest::echo()).await;
    world.put("f", &world.record_without_bootstrap()).await;
    world.invoke("f", "1").await.unwrap();
    assert_eq!(counts(&world, "f"), [1, 1, 0, 1]);
}

#[tokio::test]
async fn throttles_are_counted_wherever_the_limit_is() {
    let world = World::new(Guest::echo()).await;
    let mut record = world.record();
    record.reserved_concurrency = Some(0);
    world.put("f", &record).await;
    world.invoke("f", "1").await.unwrap_err();
    assert_eq!(counts(&world, "f"), [0, 0, 1, 0]);

    let options = DispatcherOptions {
        max_environments: 0,
        ..patient()
    };
    let world = World::with(options, vec![Guest::echo()]).await;
    world.put("f", &world.record()).await;
    let refused = world.invoke("f", "1").await.unwrap_err();
    assert!(matches!(refused, InvokeError::Throttled { .. }));
    assert_eq!(counts(&world, "f"), [0, 0, 1, 0]);
    assert_eq!(world.dispatcher.running(&world.scope), 0);
}

#[tokio::test]
async fn an_invocation_without_its_caller_is_counted_at_its_end() {
    let (open, gate) = tokio::sync::watch::channel(false);
    let guest = Guest::new(vec![Action::Loop(vec![
        Action::Next,
        Action::Gate(gate),
        Action::Respond(Body::Echo),
    ])]);
    let world = World::new(guest).await;
    world.put("f", &world.record()).await;
    let dispatcher = std::sync::Arc::clone(&world.dispatcher);
    let request = world.request("f", "1");
    let call = tokio::spawn(async move { dispatcher.invoke(request).await });
    world
        .until("the invocation runs", |world| {
            let all = world.dispatcher.environments();
            all.iter().any(|one| one.invocations == 1)
        })
        .await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_eq!(counts(&world, "f"), [0, 0, 0, 1]);
    open.send_replace(true);
    world
        .until("it is counted", |world| counts(world, "f") == [1, 0, 0, 1])
        .await;
    let points = read(&world, "f").points;
    assert!(
        points
            .iter()
            .any(|point| point.durations.is_some_and(|all| all.count == 1))
    );
}

#[tokio::test]
async fn what_runs_at_once_is_seen() {
    let (open, gate) = tokio::sync::watch::channel(false);
    let guest = Guest::new(vec![Action::Loop(vec![
        Action::Next,
        Action::Gate(gate),
        Action::Respond(Body::Echo),
    ])]);
    let world = World::new(guest).await;
    world.put("f", &world.record()).await;
    let calls = (0..5).map(|_| {
        let (dispatcher, request) = (world.dispatcher.clone(), world.request("f", "1"));
        tokio::spawn(async move { dispatcher.invoke(request).await })
    });
    let calls: Vec<_> = calls.collect();
    world
        .until("five run", |world| {
            world.dispatcher.running(&world.scope) == 5
        })
        .await;
    open.send_replace(true);
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(counts(&world, "f")[..3], [5, 0, 0]);
    let points = read(&world, "f").points;
    assert_eq!(
        points.iter().map(|point| point.concurrency_max).max(),
        Some(5)
    );
}
