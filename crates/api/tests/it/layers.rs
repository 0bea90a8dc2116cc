use serde_json::{Value, json};

use crate::world::{World, base64, zip};

const LAYERS: &str = "/2018-10-31/layers";
const LAYER: &str = "arn:aws:lambda:us-east-1:000000000000:layer:l";

fn gone() -> (u16, String, String) {
    let text = "The resource you requested does not exist.";
    (404, "ResourceNotFoundException".into(), text.into())
}

#[tokio::test]
async fn a_published_version_is_read_in_every_way() {
    let world = World::new().await;
    let code = zip(&[("bin/tool", b"x")]);
    let changes = json!({
        "Description": "words",
        "Content": {"ZipFile": base64(&code)},
        "CompatibleRuntimes": ["provided", "provided.al2023"],
        "CompatibleArchitectures": ["x86_64"],
        "LicenseInfo": "Apache-2.0",
    });
    let published = world.publish("l", changes).await.expect(201).json();
    let location = published["Content"]["Location"].as_str().unwrap();
    let path = location
        .strip_prefix(&format!("http://{}", world.address))
        .unwrap();
    assert_eq!(world.get(path).await.expect(200).body, code);

    let without_location = |mut shown: Value| {
        shown["Content"]["Location"] = json!("[Location]");
        shown
    };
    let published = without_location(published);
    let encoded = LAYER.replace(':', "%3A");
    for path in [
        format!("{LAYERS}/l/versions/1"),
        format!("{LAYERS}/{encoded}/versions/1"),
        format!("{LAYERS}?find=LayerVersion&Arn={encoded}%3A1"),
        format!("{LAYERS}/?Arn={encoded}%3A1&find=LayerVersion"),
    ] {
        let read = world.get(&path).await.expect(200).json();
        assert_eq!(without_location(read), published, "{path}");
    }
    let mut shown = published;
    for member in ["CodeSha256", "CodeSize"] {
        shown["Content"][member] = json!(format!("[{member}]"));
    }
    shown["CreatedDate"] = json!("[CreatedDate]");
    insta::assert_json_snapshot!("layer_version", shown);
}

#[tokio::test]
async fn version_numbers_are_never_given_twice() {
    let world = World::new().await;
    for version in 1..=3 {
        assert_eq!(
            world.publish("l", json!({})).await.expect(201).json()["Version"],
            version
        );
    }
    world
        .delete(&format!("{LAYERS}/l/versions/3"))
        .await
        .expect(204);
    world
        .delete(&format!("{LAYERS}/l/versions/3"))
        .await
        .expect(204);
    world
        .delete(&format!("{LAYERS}/none/versions/3"))
        .await
        .expect(204);
    assert_eq!(
        world.get(&format!("{LAYERS}/l/versions/3")).await.refusal(),
        gone()
    );
    assert_eq!(
        world.publish("l", json!({})).await.expect(201).json()["Version"],
        4
    );
    let (mut versions, mut marker) = (Vec::new(), String::new());
    loop {
        let path = format!("{LAYERS}/l/versions?MaxItems=1&Marker={marker}");
        let page = world.get(&path).await.expect(200).json();
        versions.extend(
            page["LayerVersions"]
                .as_array()
                .unwrap()
                .iter()
                .map(|v| v["Version"].clone()),
        );
        match page["NextMarker"].as_str() {
            Some(next) => marker = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(versions, [json!(4), json!(2), json!(1)]);
}

#[tokio::test]
async fn concurrent_publications_get_numbers_of_their_own() {
    let world = World::new().await;
    let publications = (0..30).map(|_| world.publish("l", json!({})));
    let answers = futures_util::future::join_all(publications).await;
    let mut versions: Vec<u64> = answers
        .into_iter()
        .map(|answer| answer.expect(201).json()["Version"].as_u64().unwrap())
        .collect();
    versions.sort_unstable();
    assert_eq!(versions, (1..=30).collect::<Vec<_>>());
}

#[tokio::test]
async fn layers_are_listed_by_their_newest_matching_version() {
    let world = World::new().await;
    for name in ["one", "two", "three"] {
        world.publish(name, json!({})).await.expect(201);
        world.publish(name, json!({})).await.expect(201);
    }
    let for_arm = json!({"CompatibleArchitectures": ["arm64"], "CompatibleRuntimes": ["provided"]});
    world.publish("two", for_arm).await.expect(201);
    world.publish("two", json!({})).await.expect(201);
    let first = world
        .get(&format!("{LAYERS}?MaxItems=2"))
        .await
        .expect(200)
        .json();
    let names = |page: &Value| -> Vec<String> {
        let layers = page["Layers"].as_array().unwrap().iter();
        layers
            .map(|layer| layer["LayerName"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&first), ["one", "three"]);
    assert_eq!(first["Layers"][0]["LatestMatchingVersion"]["Version"], 2);
    let marker = first["NextMarker"].as_str().unwrap();
    let last = world
        .get(&format!("{LAYERS}?MaxItems=2&Marker={marker}"))
        .await
        .expect(200)
        .json();
    assert_eq!(
        (names(&last), last.get("NextMarker")),
        (vec!["two".to_owned()], None)
    );
    let path = format!("{LAYERS}?CompatibleArchitecture=arm64&CompatibleRuntime=provided");
    let matching = world.get(&path).await.expect(200).json();
    assert_eq!(names(&matching), ["two"]);
    assert_eq!(matching["Layers"][0]["LatestMatchingVersion"]["Version"], 3);
}

#[tokio::test]
async fn versions_that_cannot_be_are_refused() {
    let world = World::new().await;
    assert_eq!(
        world.get(&format!("{LAYERS}/l/versions/1")).await.refusal(),
        gone()
    );
    for number in ["0", "-1"] {
        let path = format!("{LAYERS}/l/versions/{number}");
        let text = "Layer Version Cannot be less than 1".to_owned();
        let refusal = (400, "InvalidParameterValueException".to_owned(), text);
        assert_eq!(world.get(&path).await.refusal(), refusal);
        assert_eq!(world.delete(&path).await.refusal(), refusal);
    }
    let path = format!("{LAYERS}/l/versions/x");
    assert_eq!(world.get(&path).await.refusal().1, "SerializationException");
    let path = format!("{LAYERS}?find=LayerVersion&Arn={LAYER}");
    let (status, kind, message) = world.get(&path).await.refusal();
    assert_eq!((status, kind.as_str()), (400, "ValidationException"));
    let start = format!(
        "1 validation error detected: Value '{LAYER}' at 'arn' failed to satisfy constraint: \
         Member must satisfy regular expression pattern: "
    );
    assert!(message.starts_with(&start), "{message}");
    let path = format!("{LAYERS}?find=LayerVersion");
    let message = world.get(&path).await.refusal().2;
    assert_eq!(
        message,
        "1 validation error detected: Value null at 'arn' failed to satisfy constraint: Member \
         must not be null"
    );
}

#[tokio::test]
async fn a_function_keeps_a_deleted_layer() {
    let world = World::new().await;
    let arn = world.publish("l", json!({})).await.expect(201).json()["LayerVersionArn"].clone();
    world
        .create("f", json!({"Layers": [arn]}))
        .await
        .expect(201);
    world
        .delete(&format!("{LAYERS}/l/versions/1"))
        .await
        .expect(204);
    assert_eq!(world.settled("f").await["Layers"][0]["Arn"], arn);
    world.invoke("f", &[], "{}").await.expect(200);
    let refused = world.create("g", json!({"Layers": [arn]})).await.refusal();
    let text = format!("Layer version {} does not exist.", arn.as_str().unwrap());
    assert_eq!(
        refused,
        (400, "InvalidParameterValueException".into(), text)
    );
}
