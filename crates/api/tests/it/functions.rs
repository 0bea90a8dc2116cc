use base64::Engine as _;
use hyper::Method;
use serde_json::{Value, json};

use crate::world::{FUNCTIONS, World, arn, base64, zip};

/// Replaces what differs from run to run.
fn redacted(mut shown: Value) -> Value {
    for member in ["LastModified", "RevisionId", "CodeSha256", "CodeSize"] {
        let present = shown.get(member).is_some_and(|value| !value.is_null());
        assert!(present, "{member} is missing in {shown}");
        shown[member] = json!(format!("[{member}]"));
    }
    shown
}

#[tokio::test]
async fn a_new_function_has_every_default() {
    let world = World::new().await;
    let created = world.create("f", json!({})).await.expect(201);
    assert_eq!(created.header("content-type"), "application/json");
    insta::assert_json_snapshot!("created", redacted(created.json()));
    insta::assert_json_snapshot!("active", redacted(world.settled("f").await));
}

#[tokio::test]
async fn every_setting_is_stored_and_shown() {
    let world = World::new().await;
    let layer = world.publish("l", json!({})).await.expect(201).json();
    let settings = json!({
        "Runtime": "python3.13",
        "Description": "words",
        "Timeout": 900,
        "MemorySize": 10240,
        "Environment": {"Variables": {"KEY": "value"}},
        "VpcConfig": {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
        "DeadLetterConfig": {"TargetArn": "arn:aws:sqs:us-east-1:000000000000:q"},
        "KMSKeyArn": "arn:aws:kms:us-east-1:000000000000:key/k",
        "TracingConfig": {"Mode": "Active"},
        "Layers": [layer["LayerVersionArn"]],
        "EphemeralStorage": {"Size": 10240},
        "SnapStart": {"ApplyOn": "PublishedVersions"},
        "LoggingConfig": {"LogFormat": "JSON", "LogGroup": "/own/group"},
        "Architectures": ["arm64"],
        "PackageType": "Zip",
        "Publish": false,
        "Tags": {"team": "a"},
        "Unknown": {"member": 1},
    });
    world.create("f", settings).await.expect(201);
    let mut shown = redacted(world.settled("f").await);
    shown["Layers"][0]["CodeSize"] = json!("[CodeSize]");
    insta::assert_json_snapshot!("every_setting", shown);
    let whole = world
        .get(&format!("{FUNCTIONS}/f"))
        .await
        .expect(200)
        .json();
    assert_eq!(whole["Tags"], json!({"team": "a"}));
    assert_eq!(whole["Code"]["RepositoryType"], "S3");
    assert_eq!(whole.get("Concurrency"), None);

    // Each is removed in the way that deployment tools remove it.
    let nothing = json!({
        "Environment": {"Variables": {}},
        "VpcConfig": {"SubnetIds": [], "SecurityGroupIds": []},
        "DeadLetterConfig": {"TargetArn": ""},
        "KMSKeyArn": "",
        "Layers": [],
        "LoggingConfig": {"LogFormat": "Text"},
    });
    world
        .put(&format!("{FUNCTIONS}/f/configuration"), &nothing)
        .await
        .expect(200);
    let shown = world.settled("f").await;
    for gone in ["VpcConfig", "DeadLetterConfig", "KMSKeyArn", "Layers"] {
        assert_eq!(shown.get(gone), None, "{gone}");
    }
    assert_eq!(shown["Environment"], json!({"Variables": {}}));
    assert_eq!(
        shown["LoggingConfig"],
        json!({"LogFormat": "Text", "LogGroup": "/own/group"})
    );
    assert_eq!(shown["MemorySize"], 10240);
}

#[tokio::test]
async fn code_is_downloaded_where_get_function_says() {
    let world = World::new().await;
    let code = zip(&[("bootstrap", b"#!/bin/sh\necho hello\n")]);
    world
        .create("f", json!({"Code": {"ZipFile": base64(&code)}}))
        .await
        .expect(201);
    let whole = world
        .get(&format!("{FUNCTIONS}/f"))
        .await
        .expect(200)
        .json();
    let location = whole["Code"]["Location"].as_str().unwrap();
    let path = location
        .strip_prefix(&format!("http://{}", world.address))
        .unwrap();
    let download = world.get(path).await.expect(200);
    assert_eq!(download.header("content-type"), "application/zip");
    assert_eq!(download.header("content-length"), code.len().to_string());
    assert_eq!(download.body, code);
    let sha256 = bootlace_store::sha256(&code).0;
    let sha256 = base64::engine::general_purpose::STANDARD.encode(sha256);
    assert_eq!(whole["Configuration"]["CodeSha256"], sha256);
    for bad in [
        path.replace("signature=", "signature=0"),
        path.replace("expires=", "expires=9"),
        path.split('?').next().unwrap().to_owned(),
        path.replacen("content/", "content/0", 1),
    ] {
        assert_eq!(
            world.get(&bad).await.expect(403).refusal().1,
            "AccessDeniedException"
        );
    }
}

#[tokio::test]
async fn code_is_updated_or_only_tried() {
    let world = World::new().await;
    let before = world.created("f").await;
    let code = base64(&zip(&[("bootstrap", b"other")]));
    let path = format!("{FUNCTIONS}/f/code");
    let tried = world
        .put(&path, &json!({"ZipFile": code, "DryRun": true}))
        .await
        .expect(200);
    assert_ne!(tried.json()["CodeSha256"], before["CodeSha256"]);
    assert_eq!(world.settled("f").await, before);

    let updated = world
        .put(&path, &json!({"ZipFile": code}))
        .await
        .expect(200)
        .json();
    assert_eq!(updated["CodeSha256"], tried.json()["CodeSha256"]);
    assert_eq!(updated["State"], "Active");
    assert_eq!(updated["LastUpdateStatus"], "InProgress");
    assert_eq!(
        updated["LastUpdateStatusReason"],
        "The function is being created."
    );
    assert_eq!(updated["LastUpdateStatusReasonCode"], "Creating");
    let after = world.settled("f").await;
    assert_eq!(after["CodeSha256"], updated["CodeSha256"]);
    assert_ne!(after["RevisionId"], updated["RevisionId"]);
    assert_eq!(after.get("LastUpdateStatusReason"), None);
}

#[tokio::test]
async fn of_concurrent_updates_with_one_revision_exactly_one_wins() {
    let world = World::new().await;
    let revision = world.created("f").await["RevisionId"].clone();
    let path = format!("{FUNCTIONS}/f/configuration");
    let updates = (0..20).map(|n| {
        let change = json!({"RevisionId": revision, "Description": format!("by {n}")});
        let (world, path) = (&world, &path);
        async move { world.put(path, &change).await }
    });
    let answers = futures_util::future::join_all(updates).await;
    let won: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 200)
        .collect();
    assert_eq!(won.len(), 1);
    for lost in answers.iter().filter(|answer| answer.status != 200) {
        let (status, kind, message) = lost.refusal();
        match status {
            412 => {
                assert_eq!(kind, "PreconditionFailedException");
                assert_eq!(
                    message,
                    "The Revision Id provided does not match the latest Revision Id. Call the \
                     GetFunction/GetAlias API to retrieve the latest Revision Id"
                );
            }
            409 => {
                assert_eq!(kind, "ResourceConflictException");
                let text = "The operation cannot be performed at this time. An update is in \
                            progress for resource: ";
                assert_eq!(message, format!("{text}{}", arn("f")));
            }
            _ => panic!("{status} {message}"),
        }
    }
    assert_eq!(
        world.settled("f").await["Description"],
        won[0].json()["Description"]
    );
}

#[tokio::test]
async fn of_concurrent_creations_of_one_name_exactly_one_wins() {
    let world = World::new().await;
    let creations = (0..10).map(|_| world.create("f", json!({})));
    let answers = futures_util::future::join_all(creations).await;
    assert_eq!(
        answers.iter().filter(|answer| answer.status == 201).count(),
        1
    );
    for lost in answers.iter().filter(|answer| answer.status != 201) {
        let text = "Function already exist: f".to_owned();
        assert_eq!(
            lost.refusal(),
            (409, "ResourceConflictException".into(), text)
        );
    }
    let settings = world
        .get("/2016-08-19/account-settings")
        .await
        .expect(200)
        .json();
    assert_eq!(settings["AccountUsage"]["FunctionCount"], 1);
}

#[tokio::test]
async fn a_deleted_function_is_gone_and_may_come_back() {
    let world = World::new().await;
    world.created("f").await;
    let deleted = world.delete(&format!("{FUNCTIONS}/f")).await.expect(204);
    assert!(deleted.body.is_empty());
    let gone = (
        404,
        "ResourceNotFoundException".into(),
        format!("Function not found: {}", arn("f")),
    );
    assert_eq!(world.get(&format!("{FUNCTIONS}/f")).await.refusal(), gone);
    assert_eq!(
        world.delete(&format!("{FUNCTIONS}/f")).await.refusal(),
        gone
    );
    assert_eq!(world.invoke("f", &[], "{}").await.status, 404);
    world.created("f").await;
    world.invoke("f", &[], "{}").await.expect(200);
}

#[tokio::test]
async fn functions_are_listed_by_pages() {
    let world = World::new().await;
    for n in 0..53 {
        world
            .create(&format!("f{n:02}"), json!({}))
            .await
            .expect(201);
    }
    let first = world
        .get(&format!("{FUNCTIONS}/?MaxItems=10000"))
        .await
        .expect(200)
        .json();
    assert_eq!(first["Functions"].as_array().unwrap().len(), 50);
    let marker = first["NextMarker"].as_str().unwrap();
    let last = world
        .get(&format!("{FUNCTIONS}?Marker={marker}"))
        .await
        .expect(200)
        .json();
    assert_eq!(last["Functions"].as_array().unwrap().len(), 3);
    assert_eq!(last.get("NextMarker"), None);

    let (mut names, mut marker) = (Vec::new(), String::new());
    loop {
        let path = format!("{FUNCTIONS}?MaxItems=7&Marker={marker}");
        let page = world.get(&path).await.expect(200).json();
        let functions = page["Functions"].as_array().unwrap();
        names.extend(
            functions
                .iter()
                .map(|f| f["FunctionName"].as_str().unwrap().to_owned()),
        );
        match page["NextMarker"].as_str() {
            Some(next) => marker = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(
        names,
        (0..53).map(|n| format!("f{n:02}")).collect::<Vec<_>>()
    );
    let listed = &first["Functions"][0];
    for absent in ["State", "LastUpdateStatus", "RuntimeVersionConfig"] {
        assert_eq!(listed.get(absent), None, "{absent}");
    }
    let all = world
        .get(&format!("{FUNCTIONS}?FunctionVersion=ALL&MaxItems=1"))
        .await;
    let all = all.expect(200).json();
    assert_eq!(
        all["Functions"][0]["FunctionArn"],
        format!("{}:$LATEST", arn("f00"))
    );
    let refused = world
        .get(&format!("{FUNCTIONS}?Marker=nonsense"))
        .await
        .expect(400);
    assert_eq!(refused.refusal().1, "InvalidParameterValueException");
}

#[tokio::test]
async fn account_settings_count_functions_and_code() {
    let world = World::new().await;
    let shown = world.created("f").await;
    let settings = world
        .get("/2016-08-19/account-settings/")
        .await
        .expect(200)
        .json();
    let expect = json!({
        "AccountLimit": {
            "TotalCodeSize": 322_122_547_200_u64,
            "CodeSizeUnzipped": 262_144_000,
            "CodeSizeZipped": 52_428_800,
            "ConcurrentExecutions": 1000,
            "UnreservedConcurrentExecutions": 1000,
        },
        "AccountUsage": {"TotalCodeSize": shown["CodeSize"], "FunctionCount": 1},
    });
    assert_eq!(settings, expect);
    world.delete(&format!("{FUNCTIONS}/f")).await.expect(204);
    let settings = world
        .get("/2016-08-19/account-settings")
        .await
        .expect(200)
        .json();
    assert_eq!(
        settings["AccountUsage"],
        json!({"TotalCodeSize": 0, "FunctionCount": 0})
    );
}

#[tokio::test]
async fn accounts_and_regions_are_apart() {
    let world = World::new().await;
    world.created("f").await;
    let path = format!("{FUNCTIONS}/f");
    for (key, region, status) in [
        ("test", "us-east-1", 200),
        ("000000000000", "us-east-1", 200),
        ("111111111111", "us-east-1", 404),
        ("test", "eu-west-1", 404),
    ] {
        let scope = format!(
            "AWS4-HMAC-SHA256 Credential={key}/20261124/{region}/lambda/aws4_request, \
             SignedHeaders=host, Signature=0"
        );
        let headers = [("authorization", scope.as_str())];
        world
            .send(Method::GET, &path, &headers, "")
            .await
            .expect(status);
    }
}

/// What is signed for a region that cannot be must not act in another.
#[tokio::test]
async fn a_region_that_cannot_be_is_refused() {
    let world = World::new().await;
    world.created("f").await;
    let path = format!("{FUNCTIONS}/f");
    let invoke = format!("{path}/invocations");
    for region in ["eu-west1", "US-EAST-1", "local", "us_east_1"] {
        let scope = format!(
            "AWS4-HMAC-SHA256 Credential=test/20261124/{region}/lambda/aws4_request, \
             SignedHeaders=host, Signature=0"
        );
        let headers = [("authorization", scope.as_str())];
        for (method, path) in [(Method::DELETE, &path), (Method::POST, &invoke)] {
            let refusal = world.send(method, path, &headers, "").await.refusal();
            let text = format!("Credential should be scoped to a valid region, not '{region}'.");
            let expect = (403, "InvalidSignatureException".to_owned(), text);
            assert_eq!(refusal, expect);
        }
        let health = "/bootlace/v1/health";
        world
            .send(Method::GET, health, &headers, "")
            .await
            .expect(200);
    }
    world.get(&path).await.expect(200);
}
