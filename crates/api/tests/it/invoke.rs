use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;
use serde_json::json;

use crate::world::{FUNCTIONS, World, arn};

#[tokio::test]
async fn an_answer_has_the_headers_of_aws() {
    let world = World::new().await;
    world.created("f").await;
    let answer = world
        .invoke("f", &[], r#"{"a": [1, 2.50]}"#)
        .await
        .expect(200);
    assert_eq!(answer.body, r#"{"a": [1, 2.50]}"#);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("x-amz-executed-version"), "$LATEST");
    assert_eq!(answer.header("x-amzn-remapped-content-length"), "0");
    assert!(answer.header("x-amzn-trace-id").starts_with("Root=1-"));
    assert!(!answer.headers.contains_key("x-amz-function-error"));
    assert!(!answer.headers.contains_key("x-amz-log-result"));
    let traced = [(
        "x-amzn-trace-id",
        "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1",
    )];
    let answer = world.invoke("f", &traced, "").await.expect(200);
    assert_eq!(answer.header("x-amzn-trace-id"), traced[0].1);
    assert_eq!(answer.body, "{}");
}

#[tokio::test]
async fn the_log_tail_comes_when_it_is_asked_for() {
    let world = World::new().await;
    world.created("f").await;
    let answer = world
        .invoke("f", &[("x-amz-log-type", "Tail")], "1")
        .await
        .expect(200);
    let tail = STANDARD.decode(answer.header("x-amz-log-result")).unwrap();
    let tail = String::from_utf8(tail).unwrap();
    let id = answer.header("x-amzn-requestid");
    assert!(
        tail.contains(&format!("REPORT RequestId: {id}\t")),
        "{tail}"
    );
    let answer = world
        .invoke("f", &[("x-amz-log-type", "None")], "1")
        .await
        .expect(200);
    assert!(!answer.headers.contains_key("x-amz-log-result"));
}

#[tokio::test]
async fn a_function_is_invoked_right_after_it_was_made_or_changed() {
    let world = World::new().await;
    for n in 0..20 {
        let name = format!("f{n}");
        world.create(&name, json!({})).await.expect(201);
        world.invoke(&name, &[], "{}").await.expect(200);
        world.settled(&name).await;
        let path = format!("{FUNCTIONS}/{name}/configuration");
        world.put(&path, &json!({"Timeout": 9})).await.expect(200);
        world.invoke(&name, &[], "{}").await.expect(200);
    }
}

#[tokio::test]
async fn a_dry_run_runs_nothing() {
    let world = World::new().await;
    world.created("f").await;
    let dry = [("x-amz-invocation-type", "DryRun")];
    let answer = world.invoke("f", &dry, "{}").await.expect(204);
    assert!(answer.body.is_empty());
    let refusal = world.invoke("g", &dry, "{}").await.refusal();
    assert_eq!(
        refusal.2,
        format!("Function not found: {}", arn("g:$LATEST"))
    );
}

#[tokio::test]
async fn what_is_wrong_with_the_headers_is_told() {
    let world = World::new().await;
    world.created("f").await;
    let refused =
        async |name: &str, value: &str| world.invoke("f", &[(name, value)], "{}").await.refusal();
    let (status, kind, message) = refused("x-amz-invocation-type", "Later").await;
    assert_eq!((status, kind.as_str()), (400, "ValidationException"));
    assert_eq!(
        message,
        "1 validation error detected: Value 'Later' at 'invocationType' failed to satisfy \
         constraint: Member must satisfy enum value set: [Event, RequestResponse, DryRun]"
    );
    let (_, _, message) = refused("x-amz-log-type", "All").await;
    assert_eq!(
        message,
        "1 validation error detected: Value 'All' at 'logType' failed to satisfy constraint: \
         Member must satisfy enum value set: [None, Tail]"
    );
    let (status, kind, message) = refused("x-amz-invocation-type", "Event").await;
    assert_eq!((status, kind.as_str()), (501, "NotImplementedException"));
    assert_eq!(
        message,
        "InvocationType Event (asynchronous invocation) is not built yet in Bootlace"
    );
    let (status, kind, _) = refused("x-amz-client-context", "!!!").await;
    assert_eq!(
        (status, kind.as_str()),
        (400, "InvalidRequestContentException")
    );
    let (status, _, message) = refused("x-amz-durable-execution-name", "n").await;
    assert_eq!(status, 501, "{message}");
    assert_eq!(refused("x-amz-tenant-id", "t").await.0, 400);
}

#[tokio::test]
async fn events_that_are_no_json_or_too_large_are_refused() {
    let world = World::new().await;
    world.created("f").await;
    let (status, kind, message) = world.invoke("f", &[], "{\"a\": }").await.refusal();
    assert_eq!(
        (status, kind.as_str()),
        (400, "InvalidRequestContentException")
    );
    let start = "Could not parse request body into json: Could not parse payload into json: ";
    assert!(message.starts_with(start), "{message}");

    let fits = format!("\"{}\"", "x".repeat(6_291_454));
    assert_eq!(
        world.invoke("f", &[], fits.clone()).await.expect(200).body,
        fits
    );
    let over = format!("\"{}\"", "x".repeat(6_291_455));
    let refusal = world.invoke("f", &[], over.clone()).await.refusal();
    let text = "6291457 byte payload is too large for the RequestResponse invocation type (limit \
                6291456 bytes)";
    let expect = (
        413,
        "RequestEntityTooLargeException".to_owned(),
        text.to_owned(),
    );
    assert_eq!(refusal, expect);
    let event = [("x-amz-invocation-type", "Event")];
    let refusal = world
        .invoke("f", &event, over[..1_048_577].to_owned())
        .await
        .refusal();
    let text = "1048577 byte payload is too large for the Event invocation type (limit 1048576 \
                bytes)";
    assert_eq!(refusal.2, text);
}

#[tokio::test]
async fn a_runtime_that_is_not_installed_is_told() {
    let world = World::new().await;
    world
        .create("f", json!({"Runtime": "python3.13"}))
        .await
        .expect(201);
    world.settled("f").await;
    let (status, kind, message) = world.invoke("f", &[], "{}").await.refusal();
    assert_eq!((status, kind.as_str()), (502, "InvalidRuntimeException"));
    assert!(
        message.starts_with("The runtime python3.13 is not installed"),
        "{message}"
    );
}

#[tokio::test]
async fn invoke_takes_only_post() {
    let world = World::new().await;
    world.created("f").await;
    let path = format!("{FUNCTIONS}/f/invocations");
    let refusal = world.send(Method::GET, &path, &[], "").await.refusal();
    assert_eq!(
        (refusal.0, refusal.1.as_str()),
        (404, "UnknownOperationException")
    );
}
