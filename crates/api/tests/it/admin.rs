use bootlace_api::ApiOptions;
use bootlace_control::ControlOptions;
use hyper::Method;
use serde_json::json;

use crate::world::{FUNCTIONS, World, metrics};

#[tokio::test]
async fn the_server_tells_how_it_is() {
    let options = ApiOptions {
        version: "1.2.3",
        isolation: "fake",
        metrics: metrics("# TYPE a counter\na 1\n"),
        ..ApiOptions::default()
    };
    let world = World::with(ControlOptions::default(), options).await;
    let health = world.get("/bootlace/v1/health").await.expect(200).json();
    assert_eq!(health, json!({"status": "ok", "version": "1.2.3"}));
    let ready = world.get("/bootlace/v1/ready").await.expect(200).json();
    assert_eq!(ready, json!({"status": "ready", "isolation": "fake"}));
    let text = world.get("/bootlace/v1/metrics").await.expect(200);
    assert_eq!(
        text.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    assert_eq!(text.body, "# TYPE a counter\na 1\n");

    let environments = world
        .get("/bootlace/v1/environments")
        .await
        .expect(200)
        .json();
    assert_eq!(environments, json!({"environments": []}));
    world.created("f").await;
    world.invoke("f", &[], "{}").await.expect(200);
    let environments = world
        .get("/bootlace/v1/environments")
        .await
        .expect(200)
        .json();
    assert_eq!(environments["environments"].as_array().unwrap().len(), 1);
    let document = include_str!("../../../../docs/openapi.yaml");
    for member in environments["environments"][0].as_object().unwrap().keys() {
        let line = format!("        {member}: {{ ");
        assert!(document.contains(&line), "{member} is not documented");
    }
}

#[tokio::test]
async fn reset_empties_the_store_when_it_is_allowed() {
    let world = World::new().await;
    let reset = "/bootlace/v1/reset";
    let (status, kind, _) = world.post(reset, &json!({})).await.refusal();
    assert_eq!((status, kind.as_str()), (403, "AccessDeniedException"));

    let options = ApiOptions {
        reset_allowed: true,
        ..ApiOptions::default()
    };
    let world = World::with(ControlOptions::default(), options).await;
    world.created("f").await;
    world.publish("l", json!({})).await.expect(201);
    assert_eq!(world.get(reset).await.status, 404);
    world.post(reset, &json!({})).await.expect(204);
    let listed = world.get(FUNCTIONS).await.expect(200).json();
    assert_eq!(listed, json!({"Functions": []}));
    let settings = world
        .get("/2016-08-19/account-settings")
        .await
        .expect(200)
        .json();
    assert_eq!(
        settings["AccountUsage"],
        json!({"TotalCodeSize": 0, "FunctionCount": 0})
    );
    world.invoke("f", &[], "{}").await.expect(404);
    world.created("f").await;
}

#[tokio::test]
async fn foreign_hosts_and_pages_are_refused_on_every_route() {
    let options = ApiOptions {
        allowed_hosts: vec!["lambda.example".into()],
        allowed_origins: vec!["https://page.example".into()],
        ..ApiOptions::default()
    };
    let world = World::with(ControlOptions::default(), options).await;
    world.created("f").await;
    let invoke = format!("{FUNCTIONS}/f/invocations");
    for (method, path) in [
        (Method::GET, "/bootlace/v1/health"),
        (Method::GET, FUNCTIONS),
        (Method::POST, invoke.as_str()),
        (Method::GET, "/nowhere"),
    ] {
        for (header, value) in [("host", "evil.example"), ("origin", "https://evil.example")] {
            let answer = world
                .send(method.clone(), path, &[(header, value)], "{}")
                .await;
            let (status, kind, _) = answer.refusal();
            assert_eq!(
                (status, kind.as_str()),
                (403, "AccessDeniedException"),
                "{path} {value}"
            );
        }
    }
    let answer = world
        .send(Method::POST, &invoke, &[("host", "lambda.example:80")], "1")
        .await;
    assert_eq!(answer.expect(200).body, "1");
    let page = [("origin", "https://page.example")];
    let answer = world
        .send(Method::POST, &invoke, &page, "1")
        .await
        .expect(200);
    assert_eq!(
        answer.header("access-control-allow-origin"),
        "https://page.example"
    );
    let ask = [
        ("origin", "https://page.example"),
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "authorization, x-amz-date",
        ),
    ];
    let answer = world.send(Method::OPTIONS, &invoke, &ask, "").await;
    assert_eq!(answer.status, 204);
    assert_eq!(
        answer.header("access-control-allow-headers"),
        "authorization, x-amz-date"
    );
}

#[tokio::test]
async fn other_services_are_refused_by_name() {
    let world = World::new().await;
    let target = [("x-amz-target", "Logs_20140328.StartQuery")];
    let (status, _, message) = world.send(Method::POST, "/", &target, "{}").await.refusal();
    let text = "StartQuery of the service Logs is not built yet in Bootlace";
    assert_eq!((status, message.as_str()), (501, text));

    let scope = "AWS4-HMAC-SHA256 Credential=test/20261124/us-east-1/sts/aws4_request, Signature=0";
    let form = [
        (
            "content-type",
            "application/x-www-form-urlencoded; charset=utf-8",
        ),
        ("authorization", scope),
    ];
    let body = "Action=GetCallerIdentity&Version=2011-06-15";
    let answer = world.send(Method::POST, "/", &form, body).await.expect(501);
    let document = String::from_utf8(answer.body.to_vec()).unwrap();
    let text =
        "<Message>GetCallerIdentity of the service sts is not built yet in Bootlace</Message>";
    assert!(document.contains(text), "{document}");
    let markup = "Action=%3Cscript%3E";
    let answer = world
        .send(Method::POST, "/", &form, markup)
        .await
        .expect(501);
    assert!(
        !String::from_utf8(answer.body.to_vec())
            .unwrap()
            .contains("<script>")
    );

    let s3 = scope.replace("sts", "s3");
    let answer = world
        .send(Method::PUT, "/bucket", &[("authorization", &s3)], "")
        .await;
    let document = String::from_utf8(answer.expect(501).body.to_vec()).unwrap();
    assert!(
        document.contains("<Code>NotImplemented</Code>"),
        "{document}"
    );
}
