//! Bad input has a clear error and loses nothing.

use hyper::Method;
use serde_json::{Value, json};

use crate::world::{FUNCTIONS, World, base64, zeros, zip};

const INVALID: &str = "InvalidParameterValueException";
const NO_ZIP: &str =
    "Could not unzip uploaded file. Please check your file, then try to upload again.";
const TOO_LARGE: &str = "Unzipped size must be smaller than 262144000 bytes";

/// Sends code as a new function, as new code and as a layer; gives the three refusals.
async fn everywhere(world: &World, code: &[u8]) -> [(u16, String, String); 3] {
    let code = base64(code);
    let path = format!("{FUNCTIONS}/unharmed/code");
    [
        world
            .create("x", json!({"Code": {"ZipFile": code}}))
            .await
            .refusal(),
        world.put(&path, &json!({"ZipFile": code})).await.refusal(),
        world
            .publish("x", json!({"Content": {"ZipFile": code}}))
            .await
            .refusal(),
    ]
}

/// After whatever happened: one function, as it was, and it runs.
async fn assert_unharmed(world: &World, before: &Value) {
    let listed = world.get(FUNCTIONS).await.expect(200).json();
    assert_eq!(listed["Functions"].as_array().unwrap().len(), 1);
    assert_eq!(world.settled("unharmed").await, *before);
    world.invoke("unharmed", &[], "{}").await.expect(200);
    let layers = world.get("/2018-10-31/layers").await.expect(200).json();
    assert_eq!(layers["Layers"], json!([]));
}

#[tokio::test]
async fn what_is_no_good_zip_is_refused() {
    let world = World::new().await;
    let before = world.created("unharmed").await;
    let good = zip(&[("bootstrap", &[b'x'; 5000])]);
    let mut corrupt = zip(&[("a", b"0123456789")]);
    corrupt[35] ^= 0xff;
    for (what, code) in [
        ("empty", Vec::new()),
        ("text", b"this is no zip".to_vec()),
        ("truncated", good[..good.len() / 2].to_vec()),
        ("corrupt", corrupt),
        ("parent", zip(&[("../../escaped", b"x")])),
        ("absolute", zip(&[("/tmp/escaped", b"x")])),
    ] {
        for (status, kind, message) in everywhere(&world, &code).await {
            assert_eq!((status, kind.as_str()), (400, INVALID), "{what}");
            assert!(message.starts_with(NO_ZIP), "{what}: {message}");
        }
    }
    let (status, _, message) = everywhere(&world, &zip(&[]))
        .await
        .into_iter()
        .next()
        .unwrap();
    assert_eq!(
        (status, message.as_str()),
        (400, "Uploaded file must be a non-empty zip")
    );
    assert_unharmed(&world, &before).await;
}

#[tokio::test]
async fn bombs_are_refused_before_they_unpack() {
    let world = World::new().await;
    let before = world.created("unharmed").await;
    for refusal in everywhere(&world, &zeros(262_144_001)).await {
        assert_eq!(refusal, (400, INVALID.to_owned(), TOO_LARGE.to_owned()));
    }
    assert_unharmed(&world, &before).await;
}

#[tokio::test]
async fn layers_count_towards_the_unzipped_size() {
    let world = World::new().await;
    let large = json!({"Content": {"ZipFile": base64(&zeros(200 << 20))}});
    let layer = world.publish("large", large).await.expect(201).json();
    let arn = &layer["LayerVersionArn"];
    let code = base64(&zeros(60 << 20));
    let refusal = world
        .create("f", json!({"Code": {"ZipFile": code}, "Layers": [arn]}))
        .await;
    assert_eq!(
        refusal.refusal(),
        (400, INVALID.to_owned(), TOO_LARGE.to_owned())
    );
    world
        .create("f", json!({"Code": {"ZipFile": code}}))
        .await
        .expect(201);
    world.settled("f").await;
    let path = format!("{FUNCTIONS}/f/configuration");
    let refusal = world.put(&path, &json!({"Layers": [arn]})).await.refusal();
    assert_eq!(refusal, (400, INVALID.to_owned(), TOO_LARGE.to_owned()));
}

#[tokio::test]
async fn uploads_over_the_limits_are_refused_and_the_client_learns_why() {
    let world = World::new().await;
    let before = world.created("unharmed").await;
    for (status, kind, message) in everywhere(&world, &vec![b'x'; 52_428_801]).await {
        assert_eq!(
            (status, kind.as_str()),
            (413, "RequestEntityTooLargeException")
        );
        assert_eq!(message, "Zipped size must be smaller than 52428800 bytes");
    }
    let whole = "x".repeat(70_167_212);
    let paths = [
        (Method::POST, FUNCTIONS.to_owned(), "CreateFunction"),
        (
            Method::PUT,
            format!("{FUNCTIONS}/unharmed/code"),
            "UpdateFunctionCode",
        ),
        (
            Method::POST,
            "/2018-10-31/layers/x/versions".to_owned(),
            "PublishLayerVersion",
        ),
    ];
    for (method, path, operation) in paths {
        let answer = world.send(method, &path, &[], whole.clone()).await;
        let text =
            format!("Request must be smaller than 70167211 bytes for the {operation} operation");
        assert_eq!(answer.json(), json!({"message": text}));
        assert_eq!(answer.status, 413);
    }
    let path = format!("{FUNCTIONS}/unharmed/configuration");
    let refusal = world
        .send(Method::PUT, &path, &[], "x".repeat(1_048_577))
        .await
        .refusal();
    let text = "Request must be smaller than 1048576 bytes for the UpdateFunctionConfiguration \
                operation";
    assert_eq!((refusal.0, refusal.2.as_str()), (413, text));
    assert_unharmed(&world, &before).await;
}

#[tokio::test]
async fn layers_that_cannot_be_used_are_told() {
    let world = World::new().await;
    world.created("f").await;
    let mut arns = Vec::new();
    for n in 0..6 {
        let published = world
            .publish(&format!("l{n}"), json!({}))
            .await
            .expect(201)
            .json();
        arns.push(published["LayerVersionArn"].as_str().unwrap().to_owned());
    }
    let second = world.publish("l0", json!({})).await.expect(201).json();
    let second = second["LayerVersionArn"].as_str().unwrap();
    let arm = json!({"CompatibleArchitectures": ["arm64"]});
    let arm = world.publish("arm", arm).await.expect(201).json()["LayerVersionArn"].clone();
    let arm = arm.as_str().unwrap();
    let first = arns[0].as_str();
    let missing = "arn:aws:lambda:us-east-1:000000000000:layer:l0:9";
    let abroad = "arn:aws:lambda:eu-west-1:000000000000:layer:l0:1";
    let pseudo = "arn:aws:lambda:::awslayer:AmazonLinux1803";
    let two = |a: &str, b: &str| {
        format!(
            "Two different versions of the same layer are not allowed to be referenced in the \
             same function. {a} and {b} are versions of the same layer."
        )
    };
    let cases: Vec<(Value, String)> = vec![
        (json!(arns), "Cannot reference more than 5 layers.".into()),
        (json!([first, second]), two(first, second)),
        (json!([first, first]), two(first, first)),
        (
            json!([missing]),
            format!("Layer version {missing} does not exist."),
        ),
        (
            json!([pseudo]),
            format!("Layer version {pseudo} does not exist."),
        ),
        (
            json!([abroad]),
            "Layers are not in the same region as the function. Layers are expected to be in \
             region us-east-1."
                .into(),
        ),
        (
            json!([arm]),
            format!(
                "Layer version {arm} is for the architectures [arm64] and cannot be used by a \
                 function with architecture x86_64."
            ),
        ),
    ];
    for (layers, text) in cases {
        let expect = (400, INVALID.to_owned(), text);
        assert_eq!(
            world.create("x", json!({"Layers": layers})).await.refusal(),
            expect
        );
        let path = format!("{FUNCTIONS}/f/configuration");
        assert_eq!(
            world.put(&path, &json!({"Layers": layers})).await.refusal(),
            expect
        );
    }
    let foreign = json!({"Layers": ["arn:aws:lambda:us-east-1:111122223333:layer:l0:1"]});
    assert_eq!(world.create("x", foreign).await.refusal().0, 403);
    // The architecture of a function with layers is held to the same rule.
    world
        .create("a", json!({"Layers": [arm], "Architectures": ["arm64"]}))
        .await
        .expect(201);
    world.settled("a").await;
    let code = json!({"ZipFile": base64(&zip(&[("b", b"b")])), "Architectures": ["x86_64"]});
    assert_eq!(
        world
            .put(&format!("{FUNCTIONS}/a/code"), &code)
            .await
            .refusal()
            .0,
        400
    );
}

#[tokio::test]
async fn bodies_that_are_no_json_object_are_refused() {
    let world = World::new().await;
    for body in [
        "{",
        "[]",
        "7",
        "null",
        "\u{feff}{}",
        "{\"FunctionName\": 7}",
        "{\"Timeout\": \"3\"}",
        "{\"Environment\": []}",
        "{\"Environment\": {\"Variables\": {\"KEY\": 1}}}",
        "{\"Code\": [\"UEs=\"]}",
        "{\"Code\": {\"ZipFile\": \"!\"}}",
        "{\"Publish\": \"true\"}",
        "{\"Timeout\": 99999999999999999999}",
    ] {
        let (status, kind, message) = world
            .send(Method::POST, FUNCTIONS, &[], body)
            .await
            .refusal();
        assert_eq!(
            (status, kind.as_str()),
            (400, "SerializationException"),
            "{body}"
        );
        assert!(
            message.starts_with("Could not parse request body into json: "),
            "{message}"
        );
    }
    let bytes = world
        .send(Method::POST, FUNCTIONS, &[], &b"\xff\xfe"[..])
        .await
        .refusal();
    assert_eq!(bytes.1, "SerializationException");
    let deep = format!(
        "{{\"Unknown\": {}1{}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert_eq!(
        world.send(Method::POST, FUNCTIONS, &[], deep).await.status,
        400
    );
    let empty = world.send(Method::POST, FUNCTIONS, &[], "").await.refusal();
    assert_eq!(
        empty.2,
        "3 validation errors detected: Value null at 'functionName' failed to satisfy constraint: \
         Member must not be null; Value null at 'role' failed to satisfy constraint: Member must \
         not be null; Value null at 'code' failed to satisfy constraint: Member must not be null"
    );
}

#[tokio::test]
async fn what_is_not_built_is_told_by_name() {
    let world = World::new().await;
    world.created("f").await;
    for (changes, name) in [
        (json!({"Publish": true}), "Publish"),
        (json!({"PackageType": "Image"}), "PackageType Image"),
        (json!({"Code": {"ImageUri": "x"}}), "ImageUri"),
        (json!({"FileSystemConfigs": [{}]}), "FileSystemConfigs"),
        (json!({"DurableConfig": {}}), "DurableConfig"),
        (json!({"Runtime": "custom"}), "Runtime custom"),
    ] {
        let (status, kind, message) = world.create("x", changes).await.refusal();
        assert_eq!(
            (status, kind.as_str()),
            (501, "NotImplementedException"),
            "{message}"
        );
        assert!(message.starts_with(name), "{message}");
    }
    let publish = json!({"ZipFile": base64(&zip(&[("b", b"b")])), "Publish": true});
    let path = format!("{FUNCTIONS}/f/code");
    assert_eq!(world.put(&path, &publish).await.refusal().0, 501);
    let image = world.put(&path, &json!({"ImageUri": "x"})).await.refusal();
    let text = "Please don't provide ImageUri when updating a function with packageType Zip.";
    assert_eq!((image.0, image.2.as_str()), (400, text));
    for operation in bootlace_api::operations().filter(|operation| !operation.works) {
        let mut path = String::new();
        for (index, part) in operation.path.split(['{', '}']).enumerate() {
            path.push_str(if index % 2 == 0 { part } else { "x" });
        }
        let method = operation.method.parse().unwrap();
        let answer = world.send(method, &path, &[], "{}").await.expect(501);
        assert_eq!(answer.header("x-amzn-errortype"), "NotImplementedException");
        let text = format!("{} is not built yet in Bootlace", operation.name);
        assert_eq!(answer.json(), json!({"Type": "User", "message": text}));
    }
}

#[tokio::test]
async fn paths_that_no_operation_has_are_unknown() {
    let world = World::new().await;
    for path in [
        "/",
        "/2015-03-31",
        "/2015-03-31/functions/f/nothing",
        "/%ff",
        "/bootlace/v1/x",
    ] {
        let (status, kind, _) = world.get(path).await.expect(404).refusal();
        assert_eq!(
            (status, kind.as_str()),
            (404, "UnknownOperationException"),
            "{path}"
        );
    }
    world.get("/2015-03-31/functions/%00").await.expect(400);
    world.get("/2015-03-31/functions/%ff").await.expect(404);
    world
        .send(Method::PATCH, FUNCTIONS, &[], "")
        .await
        .expect(404);
}
