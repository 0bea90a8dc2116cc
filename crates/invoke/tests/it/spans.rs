use std::time::Duration;

use bootlace_invoke::{DispatcherOptions, InvocationSpan, InvokeRequest, SpanSink};
use bootlace_testkit::guest::{Action, Body, Guest};
use bootlace_types::{SpanId, clock, limits};
use tokio::sync::mpsc;

use crate::world::{World, patient};

async fn traced(guests: Vec<Guest>) -> (World, mpsc::Receiver<InvocationSpan>) {
    let (spans, queue) = SpanSink::queue();
    let options = DispatcherOptions { spans, ..patient() };
    let world = World::with(options, guests).await;
    world.put("f", &world.record()).await;
    (world, queue)
}

#[tokio::test]
async fn each_invocation_has_one_span_and_the_first_its_cold_start() {
    let (world, mut queue) = traced(vec![Guest::echo()]).await;
    let before = clock::wall();
    world.invoke("f", "1").await.unwrap();
    world.invoke("f", "2").await.unwrap();
    let (cold, warm) = (queue.recv().await.unwrap(), queue.recv().await.unwrap());
    assert!(queue.try_recv().is_err());
    for span in [&cold, &warm] {
        assert_eq!(
            span.function_arn,
            "arn:aws:lambda:us-east-1:000000000000:function:f"
        );
        assert_eq!(&*span.version, "$LATEST");
        assert!(span.queued.unwrap() <= span.took && span.error.is_none());
    }
    let start = cold.cold_start.unwrap();
    assert!(start.began + Duration::from_secs(1) >= before);
    assert!(start.init > Duration::ZERO && start.sandbox > Duration::ZERO);
    // It waited at least for the sandbox and the initialization.
    assert!(cold.queued.unwrap() >= start.init);
    assert!(warm.cold_start.is_none());
}

#[tokio::test]
async fn what_fails_has_a_span_that_says_so() {
    let guest = Guest::new(vec![
        Action::Next,
        Action::Error("{}"),
        Action::Next,
        Action::Exit(1),
    ]);
    let (world, mut queue) = traced(vec![guest, Guest::echo()]).await;
    world.invoke("f", "1").await.unwrap();
    assert_eq!(queue.recv().await.unwrap().error.unwrap(), "Unhandled");
    world.invoke("f", "2").await.unwrap();
    assert_eq!(
        queue.recv().await.unwrap().error.unwrap(),
        "Runtime.ExitError"
    );

    world.put("g", &world.record_without_bootstrap()).await;
    world.invoke("g", "1").await.unwrap();
    let span = queue.recv().await.unwrap();
    assert_eq!(span.error.unwrap(), "Runtime.InvalidEntrypoint");
}

#[tokio::test]
async fn what_the_function_calls_is_below_its_own_span() {
    let guest = Guest::new(vec![Action::Loop(vec![
        Action::Next,
        Action::Respond(Body::Echo),
    ])]);
    let transcript = guest.transcript.clone();
    let (world, mut queue) = traced(vec![guest]).await;
    let header = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
    for (given, expect) in [
        (
            Some(header),
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=SPAN;Sampled=1",
        ),
        (Some("Root=1-a-b"), "Root=1-a-b"),
    ] {
        let request = InvokeRequest {
            trace_id: given.map(Into::into),
            ..world.request("f", "1")
        };
        let span = SpanId::of(request.request_id).to_string();
        world.dispatcher.invoke(request).await.unwrap();
        assert_eq!(queue.recv().await.unwrap().trace_header.as_deref(), given);
        let all = transcript.all();
        let mut seen = all
            .iter()
            .filter_map(|seen| seen.header("Lambda-Runtime-Trace-Id"));
        assert_eq!(
            seen.next_back(),
            Some(expect.replace("SPAN", &span).as_str())
        );
    }
}

#[tokio::test]
async fn spans_that_nobody_takes_hold_up_no_invocation() {
    let (world, queue) = traced(vec![Guest::echo()]).await;
    for _ in 0..limits::SPANS_QUEUED + 100 {
        world.invoke("f", "1").await.unwrap();
    }
    assert_eq!(queue.len(), limits::SPANS_QUEUED);
    drop(queue);
    world.invoke("f", "1").await.unwrap();
}
