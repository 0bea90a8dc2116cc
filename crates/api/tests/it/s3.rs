//! Code from an S3 endpoint; the endpoint is a few lines of a test.

use std::time::Duration;

use bootlace_api::ApiOptions;
use bootlace_control::{ControlOptions, S3Endpoint};
use bootlace_types::limits;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::json;

use crate::world::{FUNCTIONS, World, zip};

fn code() -> Vec<u8> {
    zip(&[("bootstrap", b"from a bucket")])
}

fn object(request: &Request<Incoming>) -> (u16, Vec<u8>) {
    let error = |status, code: &str, message: &str| {
        let text = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
        (status, text.into_bytes())
    };
    let query = request.uri().query().unwrap_or_default();
    if !query.contains("X-Amz-Signature=") || !query.contains("Credential=key%2F") {
        return error(403, "AccessDenied", "Access Denied");
    }
    match request.uri().path() {
        "/bucket/a%20key.zip" if query.contains("versionId=v1") => (200, code()),
        path if path.starts_with("/bucket/") => {
            error(404, "NoSuchKey", "The specified key does not exist.")
        }
        _ => error(404, "NoSuchBucket", "The specified bucket does not exist"),
    }
}

async fn endpoint() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = service_fn(|request| async move {
                let (status, body) = object(&request);
                let body = Full::new(Bytes::from(body));
                Response::builder().status(status).body(body)
            });
            let serve = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer);
            tokio::spawn(serve);
        }
    });
    url
}

async fn world(url: String) -> World {
    let s3 = S3Endpoint {
        url,
        region: "us-east-1".into(),
        access_key_id: "key".into(),
        secret_access_key: "secret".into(),
        path_style: true,
    };
    let control = ControlOptions {
        s3: Some(s3),
        ..ControlOptions::default()
    };
    World::with(control, ApiOptions::default()).await
}

#[tokio::test]
async fn code_and_layers_come_from_a_bucket() {
    let world = world(endpoint().await).await;
    let source = json!({"S3Bucket": "bucket", "S3Key": "a key.zip", "S3ObjectVersion": "v1"});
    let created = world
        .create("f", json!({"Code": source}))
        .await
        .expect(201)
        .json();
    assert_eq!(created["CodeSize"], code().len());
    world
        .publish("l", json!({"Content": source}))
        .await
        .expect(201);
    world.settled("f").await;
    world
        .put(&format!("{FUNCTIONS}/f/code"), &source)
        .await
        .expect(200);
}

#[tokio::test]
async fn what_s3_refuses_is_told_in_its_words() {
    let world = world(endpoint().await).await;
    for (bucket, text) in [
        (
            "bucket",
            "NoSuchKey. S3 Error Message: The specified key does not exist.",
        ),
        (
            "none",
            "NoSuchBucket. S3 Error Message: The specified bucket does not exist",
        ),
    ] {
        let source = json!({"S3Bucket": bucket, "S3Key": "none"});
        let refusal = world.create("f", json!({"Code": source})).await.refusal();
        let text = format!("Error occurred while GetObject. S3 Error Code: {text}");
        assert_eq!(
            refusal,
            (400, "InvalidParameterValueException".into(), text)
        );
    }
}

#[tokio::test]
async fn without_an_endpoint_the_remedy_is_told() {
    let source = json!({"Code": {"S3Bucket": "bucket", "S3Key": "k"}});
    let refusal = World::new()
        .await
        .create("f", source.clone())
        .await
        .refusal();
    assert!(refusal.2.contains("none is named there"), "{refusal:?}");
    let refusal = world("http://127.0.0.1:1".into())
        .await
        .create("f", source.clone())
        .await;
    assert!(refusal.refusal().2.contains("did not answer"));
    let refusal = world("https://s3.example".into())
        .await
        .create("f", source)
        .await
        .refusal();
    assert_eq!(refusal.0, 501, "{refusal:?}");
}

/// Each is in memory as a whole.
#[tokio::test]
async fn only_so_many_packages_are_fetched_at_once() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let world = world(format!("http://{}", listener.local_addr().unwrap())).await;
    let source = json!({"Code": {"S3Bucket": "bucket", "S3Key": "key"}});
    let names = ["a", "b", "c", "d", "e", "f"];
    let creations = names.map(|name| world.create(name, source.clone()));
    let creations = futures_util::future::join_all(creations);
    let silent = async {
        let mut fetches = Vec::new();
        for _ in 0..limits::S3_FETCHES {
            fetches.push(listener.accept().await.unwrap());
        }
        let another = tokio::time::timeout(Duration::from_millis(300), listener.accept()).await;
        assert!(another.is_err(), "there are more fetches at once");
        drop((fetches, listener));
    };
    let (answers, ()) = tokio::join!(creations, silent);
    for answer in answers {
        answer.expect(400);
    }
}
