use bootlace_types::clock;
use serde_json::{Value, json};

use crate::world::{World, arn};

const MINUTE: u64 = 60_000;

async fn metrics(world: &World, function: &str, query: &str) -> Value {
    let path = format!("/bootlace/v1/functions/{function}/metrics?{query}");
    world.get(&path).await.expect(200).json()
}

/// One member of all points together.
fn total(series: &Value, member: &str) -> u64 {
    let points = series["points"].as_array().unwrap().iter();
    points.map(|point| point[member].as_u64().unwrap()).sum()
}

#[tokio::test]
async fn a_function_tells_what_it_did() {
    let world = World::new().await;
    world.created("f").await;
    world.created("idle").await;
    let before = clock::epoch_ms(clock::wall());
    for _ in 0..3 {
        world.invoke("f", &[], "{}").await.expect(200);
    }
    let series = metrics(&world, "f", "").await;
    assert_eq!(series["function_arn"], arn("f"));
    assert_eq!(series["bucket_ms"], MINUTE);
    assert_eq!(series["step_ms"], MINUTE);
    assert!(series["kept_from_ms"].as_u64().unwrap() <= before);
    for (member, expect) in [
        ("invocations", 3),
        ("errors", 0),
        ("throttles", 0),
        ("cold_starts", 1),
    ] {
        assert_eq!(total(&series, member), expect, "{member}: {series}");
    }
    // The three may lie on both sides of a minute; together they are one point of three hours.
    let series = metrics(&world, "f", "from=0&step=10800000").await;
    let points = series["points"].as_array().unwrap();
    let point = points
        .iter()
        .find(|point| point["invocations"] != 0)
        .unwrap();
    assert_eq!(point["concurrency_max"], 1);
    let duration = |member: &str| point["duration_ms"][member].as_f64().unwrap();
    assert!(duration("min") > 0.0 && duration("min") <= duration("p50"));
    assert!(duration("p50") <= duration("p90") && duration("p90") <= duration("p99"));
    assert!(duration("p99") <= duration("max") && duration("max") <= duration("sum"));

    let idle = metrics(&world, "idle", "").await;
    assert_eq!(
        (total(&idle, "invocations"), total(&idle, "concurrency_max")),
        (0, 0)
    );
    assert_eq!(idle["points"][0]["duration_ms"], Value::Null);
}

#[tokio::test]
async fn metrics_are_documented_member_by_member() {
    let world = World::new().await;
    world.created("f").await;
    world.invoke("f", &[], "{}").await.expect(200);
    let series = metrics(&world, "f", "step=10800000").await;
    let document = include_str!("../../../../docs/openapi.yaml");
    let part = document.split("    FunctionMetrics:\n").nth(1).unwrap();
    let part = part.split("    Error:\n").next().unwrap();
    let point = series["points"].as_array().unwrap().last().unwrap();
    for object in [&series, point, &point["duration_ms"]] {
        for member in object.as_object().unwrap().keys() {
            let line = |rest| format!("        {member}:{rest}");
            assert!(
                part.contains(&line(" { ")) || part.contains(&line("\n")),
                "{member} is not documented"
            );
        }
    }
    let documented = part.lines().filter(|line| {
        line.starts_with("        ") && !line.starts_with("         ") && !line.contains("- ")
    });
    let sizes = [&series, point, &point["duration_ms"]];
    let members: usize = sizes
        .iter()
        .map(|object| object.as_object().unwrap().len())
        .sum();
    // The two lines more are the description's.
    assert_eq!(
        documented.count(),
        members + 2,
        "a member is documented that is not there"
    );
}

#[tokio::test]
async fn each_account_and_region_sees_its_own_function() {
    let world = World::new().await;
    world.created("f").await;
    world.invoke("f", &[], "{}").await.expect(200);
    for (account, region, status) in [
        ("000000000000", "us-east-1", 200),
        ("111122223333", "us-east-1", 404),
        ("000000000000", "eu-west-1", 404),
    ] {
        let signed = format!(
            "AWS4-HMAC-SHA256 Credential={account}/20261124/{region}/lambda/aws4_request, \
             SignedHeaders=host, Signature=0"
        );
        let path = "/bootlace/v1/functions/f/metrics";
        let headers = [("authorization", signed.as_str())];
        let answer = world.send(hyper::Method::GET, path, &headers, "").await;
        assert_eq!(answer.status, status, "{account} {region}");
    }
    for name in ["f:1", "nowhere"] {
        let path = format!("/bootlace/v1/functions/{name}/metrics");
        let (status, kind, _) = world.get(&path).await.refusal();
        assert_eq!(
            (status, kind.as_str()),
            (404, "ResourceNotFoundException"),
            "{name}"
        );
    }
    let by_arn = metrics(&world, &arn("f"), "step=10800000").await;
    assert_eq!(total(&by_arn, "invocations"), 1);
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    let world = World::new().await;
    world.created("f").await;
    let step = "step must be a multiple of 60000 up to 10800000, in milliseconds.";
    for (query, expect) in [
        ("from=x", "from must be a whole number of milliseconds."),
        ("to=-1", "to must be a whole number of milliseconds."),
        ("to=%2B1", "to must be a whole number of milliseconds."),
        ("to=", "to must be a whole number of milliseconds."),
        ("step=1.5", "step must be a whole number of milliseconds."),
        (
            "from=99999999999999999999",
            "from must be a whole number of milliseconds.",
        ),
        ("from=5&to=5", "from (5) must be before to (5)."),
        ("to=0", "from (0) must be before to (0)."),
        ("step=0", step),
        ("step=1000", step),
        ("step=10860000", step),
        ("step=18446744073709551615", step),
    ] {
        let path = format!("/bootlace/v1/functions/f/metrics?{query}");
        let (status, kind, message) = world.get(&path).await.refusal();
        assert_eq!(
            (status, kind.as_str(), message.as_str()),
            (400, "InvalidParameterValueException", expect),
            "{query}"
        );
    }
    // Whatever is asked for, the answer holds no more than what is kept.
    for query in [
        "from=0&to=18446744073709551615",
        "from=18446744073709551614&to=18446744073709551615",
    ] {
        let series = metrics(&world, "f", query).await;
        assert!(series["points"].as_array().unwrap().len() <= 180, "{query}");
    }
    assert_eq!(
        metrics(&world, "f", "from=0&to=1").await["points"],
        json!([])
    );
}
