//! The Runtime API as a guest sees it: every rule and text.

use bootlace_invoke::InvokeRequest;
use bootlace_testkit::guest::{Action, Body, Guest, Seen};
use bootlace_types::{Qualifier, RequestId, clock};

use crate::world::{World, error, text};

/// The guest's own answers after the first `next`, once it has seen so many.
async fn seen(actions: Vec<Action>, count: usize) -> Vec<Seen> {
    let guest = Guest::new(actions);
    let transcript = guest.transcript.clone();
    let world = World::new(guest).await;
    world.put("f", &world.record()).await;
    let answer = world.invoke("f", "{}").await;
    let all = transcript.at_least(count).await;
    drop(answer);
    all
}

#[track_caller]
fn check(seen: &Seen, status: u16, error_type: &str, message: &str) {
    assert_eq!(seen.status, status, "{seen:?}");
    let document: serde_json::Value = serde_json::from_slice(&seen.body).expect("JSON");
    assert_eq!(document["errorType"], error_type);
    assert_eq!(document["errorMessage"], message);
    assert_eq!(seen.header("Content-Type"), Some("application/json"));
}

#[tokio::test]
async fn next_carries_the_event_and_its_headers() {
    let guest = Guest::echo();
    let transcript = guest.transcript.clone();
    let world = World::new(guest).await;
    world.put("f", &world.record()).await;
    let before = clock::epoch_ms(clock::wall());
    let request = InvokeRequest {
        qualifier: Some(Qualifier::Latest),
        client_context: Some("{\"custom\":{\"a\":1}}".into()),
        trace_id: Some("Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1".into()),
        ..world.request("f", "{\"hello\":\"world\"}")
    };
    let id = request.request_id;
    world.dispatcher.invoke(request).await.expect("an answer");
    let next = transcript.at_least(1).await.remove(0);
    assert_eq!(
        (next.status, next.text().as_str()),
        (200, "{\"hello\":\"world\"}")
    );
    let header = |name: &str| {
        next.header(name)
            .unwrap_or_else(|| panic!("{name} in {next:?}"))
    };
    assert_eq!(header("Lambda-Runtime-Aws-Request-Id"), id.to_string());
    let deadline: u64 = header("Lambda-Runtime-Deadline-Ms").parse().unwrap();
    assert!(
        (before + 3_000..before + 13_000).contains(&deadline),
        "{deadline}"
    );
    assert_eq!(
        header("Lambda-Runtime-Invoked-Function-Arn"),
        "arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST"
    );
    assert_eq!(
        header("Lambda-Runtime-Client-Context"),
        "{\"custom\":{\"a\":1}}"
    );
    assert_eq!(
        header("Lambda-Runtime-Trace-Id"),
        "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"
    );
    assert_eq!(header("Content-Type"), "application/json");
    let absent = |name: &str| assert_eq!(next.header(name), None);
    absent("Lambda-Runtime-Cognito-Identity");
    absent("Lambda-Runtime-Aws-Tenant-Id");

    world.invoke("f", "2").await.expect("an answer");
    let next = transcript.at_least(3).await.remove(2);
    assert_eq!(next.header("Lambda-Runtime-Client-Context"), None);
    assert_eq!(
        next.header("Lambda-Runtime-Invoked-Function-Arn"),
        Some("arn:aws:lambda:us-east-1:000000000000:function:f")
    );
    assert!(
        next.header("Lambda-Runtime-Trace-Id")
            .unwrap()
            .starts_with("Root=1-")
    );
}

#[tokio::test]
async fn an_answer_is_accepted_once() {
    let twice = vec![
        Action::Next,
        Action::Respond(Body::Echo),
        Action::Respond(Body::Echo),
        Action::Error("{}"),
        Action::Next,
    ];
    let seen = seen(twice, 4).await;
    assert_eq!(
        (seen[1].status, seen[1].text().trim_end()),
        (202, "{\"status\":\"OK\"}")
    );
    check(&seen[2], 400, "InvalidRequestID", "Invalid request ID");
    check(&seen[3], 400, "InvalidRequestID", "Invalid request ID");
}

#[tokio::test]
async fn an_answer_that_names_another_attempt_is_gone() {
    let actions = vec![
        Action::Next,
        Action::RespondWith(
            Body::Text("old"),
            "Lambda-Runtime-Invocation-Id: another\r\n",
        ),
        Action::RespondWith(Body::Echo, "Lambda-Runtime-Invocation-Id: {attempt}\r\n"),
        Action::Next,
    ];
    let seen = seen(actions, 3).await;
    let attempt = seen[0].header("Lambda-Runtime-Invocation-Id");
    assert_eq!(attempt.map(str::len), Some(36));
    check(&seen[1], 410, "InvokeTimeout", "Invoke timeout");
    assert_eq!(seen[2].status, 202);
}

#[tokio::test]
async fn an_answer_for_another_request_is_refused() {
    let foreign = RequestId::random().to_string();
    let actions = vec![
        Action::RespondFor(foreign.clone(), Body::Text("early")),
        Action::Next,
        Action::RespondFor(foreign.clone(), Body::Text("wrong")),
        Action::ErrorFor(foreign, "{}"),
        Action::RespondFor("nonsense".into(), Body::Text("wrong")),
        Action::Respond(Body::Text("right")),
        Action::Next,
    ];
    let seen = seen(actions, 6).await;
    for index in [0, 2, 3, 4] {
        check(&seen[index], 400, "InvalidRequestID", "Invalid request ID");
    }
    assert_eq!(seen[5].status, 202);
}

#[tokio::test]
async fn next_without_an_answer_gives_the_same_event_again() {
    let actions = vec![
        Action::Next,
        Action::Next,
        Action::Respond(Body::RequestId),
        Action::Next,
    ];
    let seen = seen(actions, 3).await;
    assert_eq!(seen[0].body, seen[1].body);
    let id = |seen: &Seen| {
        seen.header("Lambda-Runtime-Aws-Request-Id")
            .map(str::to_owned)
    };
    assert_eq!(id(&seen[0]), id(&seen[1]));
    let trace = |seen: &Seen| seen.header("Lambda-Runtime-Trace-Id").map(str::to_owned);
    assert_eq!(trace(&seen[0]), trace(&seen[1]));
    assert_eq!(seen[2].status, 202);
}

#[tokio::test]
async fn an_init_error_is_only_possible_while_initializing() {
    let actions = vec![
        Action::Next,
        Action::InitError("Runtime.Late", "{}"),
        Action::Respond(Body::Echo),
        Action::InitError("Runtime.Late", "{}"),
        Action::Next,
    ];
    let seen = seen(actions, 4).await;
    let text = |from: &str| {
        format!(
            "State transition from {from} to InitError failed for runtime. \
             Error: State transition is not allowed"
        )
    };
    check(&seen[1], 403, "InvalidStateTransition", &text("Running"));
    check(
        &seen[3],
        403,
        "InvalidStateTransition",
        &text("RuntimeResponseSentState"),
    );
}

#[tokio::test]
async fn after_an_init_error_next_is_not_allowed() {
    let actions = vec![
        Action::InitError("Runtime.Broken", "{\"errorType\":\"Broken\"}"),
        Action::Next,
        Action::InitError("Runtime.Broken", "{}"),
        Action::Exit(1),
    ];
    let seen = seen(actions, 3).await;
    assert_eq!(
        (seen[0].status, seen[0].text().trim_end()),
        (202, "{\"status\":\"OK\"}")
    );
    let text = |to: &str| {
        format!(
            "State transition from InitError to {to} failed for runtime. \
             Error: State transition is not allowed"
        )
    };
    check(&seen[1], 403, "InvalidStateTransition", &text("Ready"));
    check(&seen[2], 403, "InvalidStateTransition", &text("InitError"));
}

#[tokio::test]
async fn too_large_an_answer_fails_the_invocation_and_the_runtime_goes_on() {
    let guest = Guest::new(vec![
        Action::Next,
        Action::Respond(Body::Filler(6_291_557)),
        Action::Next,
        Action::Respond(Body::Filler(6_291_556)),
        Action::Next,
        Action::RespondWith(
            Body::Filler(3),
            "Lambda-Runtime-Function-Response-Mode: odd\r\n",
        ),
        Action::Next,
        Action::RespondWith(
            Body::Echo,
            "Lambda-Runtime-Function-Response-Mode: streaming\r\n",
        ),
        Action::Next,
    ]);
    let transcript = guest.transcript.clone();
    let world = World::new(guest).await;
    world.put("f", &world.record()).await;
    let answer = world.invoke("f", "1").await.expect("an answer");
    assert_eq!(
        error(&answer),
        (
            "Function.ResponseSizeTooLarge".into(),
            "Response payload size exceeded maximum allowed payload size (6291556 bytes).".into()
        )
    );
    let answer = world.invoke("f", "2").await.expect("an answer");
    assert_eq!(
        (answer.payload.len(), answer.function_error),
        (6_291_556, None)
    );
    let answer = world.invoke("f", "3").await.expect("an answer");
    assert_eq!(error(&answer).0, "Runtime.InvalidResponseModeHeader");
    let answer = world.invoke("f", "4").await.expect("an answer");
    assert_eq!(text(&answer), "4");
    assert_eq!(world.processes(), 1, "the same runtime all the time");
    let seen = transcript.at_least(8).await;
    check(
        &seen[1],
        413,
        "RequestEntityTooLarge",
        "Exceeded maximum allowed payload size (6291556 bytes).",
    );
    assert_eq!(seen[3].status, 202);
    check(
        &seen[5],
        400,
        "InvalidFunctionResponseMode",
        "Invalid function response mode",
    );
}

#[tokio::test]
async fn a_truncated_answer_fails_the_invocation() {
    let guest = Guest::new(vec![
        Action::Next,
        Action::RespondTruncated,
        Action::Next,
        Action::Respond(Body::Echo),
        Action::Next,
    ]);
    let world = World::new(guest).await;
    world.put("f", &world.record()).await;
    let answer = world.invoke("f", "1").await.expect("an answer");
    // The guest's next call may come first: it then sees the same event again and answers it.
    if answer.function_error.is_some() {
        assert_eq!(error(&answer).0, "Runtime.TruncatedResponse");
    }
}

#[tokio::test]
async fn ping_and_unknown_paths() {
    let actions = vec![
        Action::Call("GET", "/2018-06-01/ping"),
        Action::Call("GET", "/2018-06-01/runtime/nothing"),
        Action::Call("GET", "/2020-01-01/extension/event/next"),
        Action::Call("PUT", "/2018-06-01/runtime/invocation/next"),
        Action::Call("GET", "/2018-06-01/runtime/invocation/x/response"),
        Action::Next,
        Action::Respond(Body::Echo),
    ];
    let seen = seen(actions, 5).await;
    assert_eq!((seen[0].status, seen[0].text().as_str()), (200, "pong"));
    assert_eq!(seen[1].status, 404);
    check(
        &seen[2],
        403,
        "Extension.MissingExtensionIdentifier",
        "Missing Lambda-Extension-Identifier header",
    );
    assert_eq!((seen[3].status, seen[4].status), (405, 405));
}

#[tokio::test]
async fn garbage_on_the_socket_harms_only_its_connection() {
    let mut header_flood = b"GET /2018-06-01/ping HTTP/1.1\r\n".to_vec();
    for index in 0..2_000 {
        header_flood.extend_from_slice(format!("X-{index}: y\r\n").as_bytes());
    }
    header_flood.extend_from_slice(b"\r\n");
    let mut too_long = b"GET /2018-06-01/ping HTTP/1.1\r\nX: ".to_vec();
    too_long.resize(3 << 20, b'y');
    let guest = Guest::new(vec![
        Action::Garbage(b"\0\x01\x02\xff not http at all\r\n\r\n".to_vec()),
        Action::Garbage(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        Action::Garbage(b"POST /x HTTP/1.1\r\nContent-Length: -1\r\n\r\n".to_vec()),
        Action::Garbage(
            b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nx\r\n".to_vec(),
        ),
        Action::Garbage(header_flood),
        Action::Garbage(too_long),
        Action::Next,
        Action::Respond(Body::Echo),
        Action::Next,
    ]);
    let world = World::new(guest).await;
    world.put("f", &world.record()).await;
    assert_eq!(
        text(&world.invoke("f", "\"fine\"").await.expect("an answer")),
        "\"fine\""
    );
}

#[tokio::test]
async fn a_hoard_of_silent_connections_leaves_the_runtime_working() {
    let guest = Guest::new(vec![
        Action::Call("GET", "/2018-06-01/ping"),
        Action::Hoard(100),
        Action::Loop(vec![Action::Next, Action::Respond(Body::Echo)]),
    ]);
    let world = World::new(guest).await;
    world.put("f", &world.record()).await;
    assert_eq!(text(&world.invoke("f", "1").await.expect("an answer")), "1");
    assert_eq!(text(&world.invoke("f", "2").await.expect("an answer")), "2");
}

#[tokio::test]
async fn a_runtime_that_lost_its_connection_gets_the_event_at_its_next_call() {
    let guest = Guest::new(vec![
        Action::ParkElsewhere,
        Action::Call("GET", "/2018-06-01/ping"),
        Action::Loop(vec![
            Action::Next,
            Action::Respond(Body::Echo),
            Action::Disconnect,
        ]),
    ]);
    let world = World::new(guest).await;
    world.put("f", &world.record()).await;
    for payload in ["1", "2", "3"] {
        assert_eq!(
            text(&world.invoke("f", payload).await.expect("an answer")),
            payload
        );
    }
}
