use std::collections::BTreeMap;

use bootlace_control::{ControlError, EnvironmentSettings, LoggingSettings, Settings, VpcSettings};

use crate::world::{
    LAYER_VERSION_ARN, ROLE_PATTERN, World, at_most, members, pattern, text, violation,
};

/// One member out of its constraint: where, how, how it is printed, and the rule.
type Case = (&'static str, fn(&mut Settings), String, String);

/// Settings of CreateFunction and UpdateFunctionConfiguration alike.
fn settings_cases() -> Vec<Case> {
    let quoted = |text: &str| format!("Value '{text}'");
    let x = |length: usize| format!("Value '{}'", "x".repeat(length));
    let element = |max: u32, min: u32, text: &str| {
        format!(
            "Member must satisfy constraint: [Member must have length less than or equal to \
             {max}, Member must have length greater than or equal to {min}, {}]",
            pattern(text)
        )
    };
    let kms = r"(arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()";
    let no_version = "arn:aws:lambda:us-east-1:000000000000:layer:l";
    let layers = format!(
        "Member must satisfy constraint: [Member must have length less than or equal to 2048, \
         Member must have length greater than or equal to 1, {}, Member must not be null]",
        pattern(LAYER_VERSION_ARN)
    );
    vec![
        (
            "role",
            |s| s.role = Some("r".into()),
            quoted("r"),
            pattern(ROLE_PATTERN),
        ),
        (
            "handler",
            |s| s.handler = Some("a b".into()),
            quoted("a b"),
            pattern(r"[^\s]+"),
        ),
        ("handler", |s| s.handler = text(129), x(129), at_most(128)),
        (
            "description",
            |s| s.description = text(257),
            x(257),
            at_most(256),
        ),
        (
            "timeout",
            |s| s.timeout_s = Some(0),
            quoted("0"),
            "Member must have value greater than or equal to 1".into(),
        ),
        (
            "timeout",
            |s| s.timeout_s = Some(5401),
            quoted("5401"),
            "Member must have value less than or equal to 5400".into(),
        ),
        (
            "memorySize",
            |s| s.memory_mb = Some(127),
            quoted("127"),
            "Member must have value greater than or equal to 128".into(),
        ),
        (
            "memorySize",
            |s| s.memory_mb = Some(32769),
            quoted("32769"),
            "Member must have value less than or equal to 32768".into(),
        ),
        (
            "ephemeralStorage.size",
            |s| s.ephemeral_storage_mb = Some(511),
            quoted("511"),
            "Member must have value greater than or equal to 512".into(),
        ),
        (
            "vpcConfig.subnetIds",
            |s| {
                let subnet_ids = Some(vec!["subnet-1".into(), "bad".into()]);
                s.vpc = Some(VpcSettings {
                    subnet_ids,
                    ..VpcSettings::default()
                });
            },
            quoted("[subnet-1, bad]"),
            element(1024, 0, "subnet-[0-9a-z]*"),
        ),
        (
            "vpcConfig.securityGroupIds",
            |s| {
                let security_group_ids = Some(vec!["sg-1".to_owned(); 6]);
                s.vpc = Some(VpcSettings {
                    security_group_ids,
                    ..VpcSettings::default()
                });
            },
            quoted("[sg-1, sg-1, sg-1, sg-1, sg-1, sg-1]"),
            at_most(5),
        ),
        (
            "environment.variables",
            |s| {
                let variables = BTreeMap::from([("1".to_owned(), "secret".to_owned())]);
                s.environment = Some(EnvironmentSettings {
                    variables: Some(variables),
                });
            },
            "Value".into(),
            format!(
                "Map keys must satisfy constraint: [{}]",
                pattern("[a-zA-Z]([a-zA-Z0-9_])+")
            ),
        ),
        (
            "deadLetterConfig.targetArn",
            |s| s.dead_letter_target = Some("q".into()),
            quoted("q"),
            pattern(kms),
        ),
        (
            "kMSKeyArn",
            |s| s.kms_key_arn = Some("k".into()),
            quoted("k"),
            pattern(kms),
        ),
        (
            "tracingConfig.mode",
            |s| s.tracing_mode = Some("On".into()),
            quoted("On"),
            members("Active, PassThrough"),
        ),
        (
            "layers",
            |s| s.layers = Some(vec![String::new()]),
            quoted("[]"),
            layers.clone(),
        ),
        (
            "layers",
            |s| s.layers = Some(vec!["arn:aws:lambda:us-east-1:000000000000:layer:l".into()]),
            quoted(&format!("[{no_version}]")),
            layers,
        ),
        (
            "snapStart.applyOn",
            |s| s.snap_start = Some("All".into()),
            quoted("All"),
            members("PublishedVersions, None"),
        ),
        (
            "loggingConfig.logFormat",
            |s| {
                s.logging = Some(LoggingSettings {
                    format: Some("XML".into()),
                    ..Default::default()
                })
            },
            quoted("XML"),
            members("JSON, Text"),
        ),
        (
            "loggingConfig.logGroup",
            |s| {
                s.logging = Some(LoggingSettings {
                    group: Some("a b".into()),
                    ..Default::default()
                })
            },
            quoted("a b"),
            pattern(r"[\.\-_/#A-Za-z0-9]+"),
        ),
        (
            "loggingConfig.systemLogLevel",
            |s| {
                let system_level = Some("LOUD".into());
                s.logging = Some(LoggingSettings {
                    system_level,
                    ..Default::default()
                });
            },
            quoted("LOUD"),
            members("DEBUG, INFO, WARN"),
        ),
        (
            "loggingConfig.applicationLogLevel",
            |s| {
                let application_level = Some("LOUD".into());
                s.logging = Some(LoggingSettings {
                    application_level,
                    ..Default::default()
                });
            },
            quoted("LOUD"),
            members("TRACE, DEBUG, INFO, WARN, ERROR, FATAL"),
        ),
    ]
}

#[tokio::test]
async fn settings_out_of_their_constraints() {
    let world = World::new();
    for (path, change, value, rule) in settings_cases() {
        let error = world.create(|command| change(&mut command.settings)).await;
        violation(&error, &value, path, &rule);
        let mut settings = Settings::default();
        change(&mut settings);
        violation(&world.update(settings).await, &value, path, &rule);
    }
}

/// Such a text cannot be in a process's environment, where the handler goes, and the pattern of
/// handlers lets it through.
#[tokio::test]
async fn a_handler_with_a_null_character() {
    let world = World::new();
    let handler = || Some("a\0b".to_owned());
    let created = world.create(|command| command.settings.handler = handler());
    let text = "The handler contains a null character.";
    let error = created.await;
    assert!(
        matches!(error, ControlError::InvalidParameter(_)),
        "{error}"
    );
    assert_eq!(error.to_string(), text);

    let command = crate::world::good();
    let made = world.plane.create_function(&world.scope, command).await;
    made.unwrap();
    let settings = Settings {
        handler: handler(),
        ..Settings::default()
    };
    let mut error = world.update(settings.clone()).await;
    for _ in 0..1_000 {
        if !matches!(error, ControlError::Conflict(_)) {
            break;
        }
        tokio::task::yield_now().await;
        error = world.update(settings.clone()).await;
    }
    assert_eq!(error.to_string(), text);
}
