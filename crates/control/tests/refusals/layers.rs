use bootlace_control::{LayerQuery, PublishLayerVersion};
use bootlace_types::Runtime;

use crate::world::{LAYER_NAME, World, at_most, good, members, pattern, text, violation};

#[tokio::test]
async fn members_of_layer_operations_out_of_their_constraints() {
    let World {
        plane,
        scope,
        _temp,
    } = World::new();
    let zip = good().code.unwrap();
    let publish = |change: fn(&mut PublishLayerVersion)| {
        let mut command = PublishLayerVersion {
            layer_name: "l".into(),
            content: Some(zip.clone()),
            ..Default::default()
        };
        change(&mut command);
        command
    };
    let runtimes: Vec<&str> = Runtime::ALL
        .iter()
        .map(|runtime| runtime.as_str())
        .collect();
    let element = |set: &str| {
        format!(
            "Member must satisfy constraint: [{}, Member must not be null]",
            members(set)
        )
    };
    for (command, value, path, rule) in [
        (
            publish(|c| c.layer_name = "l!".into()),
            "Value 'l!'".to_owned(),
            "layerName",
            pattern(LAYER_NAME),
        ),
        (
            publish(|c| c.content = None),
            "Value null".into(),
            "content",
            "Member must not be null".into(),
        ),
        (
            publish(|c| c.description = text(257)),
            format!("Value '{}'", "x".repeat(257)),
            "description",
            at_most(256),
        ),
        (
            publish(|c| c.license_info = text(513)),
            format!("Value '{}'", "x".repeat(513)),
            "licenseInfo",
            at_most(512),
        ),
        (
            publish(|c| c.compatible_architectures = Some(vec!["arm".into()])),
            "Value '[arm]'".into(),
            "compatibleArchitectures",
            element("x86_64, arm64"),
        ),
        (
            publish(|c| c.compatible_runtimes = Some(vec!["go".into()])),
            "Value '[go]'".into(),
            "compatibleRuntimes",
            element(&runtimes.join(", ")),
        ),
        (
            publish(|c| c.compatible_runtimes = Some(vec!["java21".into(); 16])),
            format!("Value '[{}]'", vec!["java21"; 16].join(", ")),
            "compatibleRuntimes",
            at_most(15),
        ),
    ] {
        let error = plane
            .publish_layer_version(&scope, command)
            .await
            .unwrap_err();
        violation(&error, &value, path, &rule);
    }
    let query = LayerQuery {
        max_items: Some(51),
        ..Default::default()
    };
    let error = plane.list_layers(&scope, &query).await.unwrap_err();
    let rule = "Member must have value less than or equal to 50";
    violation(&error, "Value '51'", "maxItems", rule);
    let query = LayerQuery {
        compatible_architecture: Some("arm".into()),
        ..Default::default()
    };
    let error = plane
        .list_layer_versions(&scope, "l", &query)
        .await
        .unwrap_err();
    violation(
        &error,
        "Value 'arm'",
        "compatibleArchitecture",
        &members("x86_64, arm64"),
    );
    let error = plane.get_layer_version(&scope, "l", 0).await.unwrap_err();
    assert_eq!(error.to_string(), "Layer Version Cannot be less than 1");
}
