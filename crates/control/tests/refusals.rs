//! Every text with which AWS refuses a request to the operations that are built, as tables.

#![allow(clippy::unwrap_used, reason = "a surprise ends a test")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;

use bootlace_control::{
    CodeSource, ControlError, ControlOptions, ControlPlane, CreateFunction, EnvironmentSettings,
    FunctionQuery, InvokeQuery, LayerQuery, ListFunctions, LoggingSettings, PublishLayerVersion,
    S3Object, Settings, UpdateFunctionCode, UpdateFunctionConfiguration, VpcSettings, check_invoke,
};
use bootlace_store::Store;
use bootlace_types::{Runtime, Scope};
use bytes::Bytes;

const ROLE_PATTERN: &str = r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+";
const FUNCTION_NAME: &str = r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?";
const NAMESPACED: &str = r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?";
const LAYER_VERSION_ARN: &str = r"(arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+)|(arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+)";
const LAYER_NAME: &str = r"(arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:layer:[a-zA-Z0-9-_]{1,140}|[a-zA-Z0-9-_]{1,140})";

struct World {
    plane: Arc<ControlPlane>,
    scope: Scope,
    _temp: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let plane = ControlPlane::new(Store::memory(temp.path()), ControlOptions::default());
        Self {
            plane,
            scope: Scope::default(),
            _temp: temp,
        }
    }

    async fn create(&self, change: impl FnOnce(&mut CreateFunction)) -> ControlError {
        let mut command = good();
        change(&mut command);
        self.plane
            .create_function(&self.scope, command)
            .await
            .map(drop)
            .unwrap_err()
    }

    async fn update(&self, settings: Settings) -> ControlError {
        let function_name = "f".into();
        let command = UpdateFunctionConfiguration {
            function_name,
            settings,
            revision_id: None,
        };
        let updated = self
            .plane
            .update_function_configuration(&self.scope, command)
            .await;
        updated.map(drop).unwrap_err()
    }
}

/// A CreateFunction that nothing is wrong with.
fn good() -> CreateFunction {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer
        .start_file("bootstrap", zip::write::SimpleFileOptions::default())
        .unwrap();
    writer.write_all(b"x").unwrap();
    let zip = Bytes::from(writer.finish().unwrap().into_inner());
    CreateFunction {
        function_name: Some("f".into()),
        code: Some(CodeSource {
            zip_file: Some(zip),
            ..CodeSource::default()
        }),
        settings: Settings {
            runtime: Some("provided.al2023".into()),
            role: Some("arn:aws:iam::000000000000:role/lambda".into()),
            handler: Some("h".into()),
            ..Settings::default()
        },
        ..CreateFunction::default()
    }
}

fn text(length: usize) -> Option<String> {
    Some("x".repeat(length))
}

/// The text of a `ValidationException` with one item.
#[track_caller]
fn violation(error: &ControlError, value: &str, path: &str, rule: &str) {
    assert!(matches!(error, ControlError::Validation(_)), "{error}");
    let expect = format!(
        "1 validation error detected: {value} at '{path}' failed to satisfy constraint: {rule}"
    );
    assert_eq!(error.to_string(), expect);
}

/// One member out of its constraint: where, how, how it is printed, and the rule.
type Case = (&'static str, fn(&mut Settings), String, String);
type Change = fn(&mut CreateFunction);
type CreateCase = (&'static str, Change, String, String);

fn at_most(limit: u32) -> String {
    format!("Member must have length less than or equal to {limit}")
}

fn pattern(pattern: &str) -> String {
    format!("Member must satisfy regular expression pattern: {pattern}")
}

fn members(set: &str) -> String {
    format!("Member must satisfy enum value set: [{set}]")
}

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

#[tokio::test]
async fn members_of_create_function_out_of_their_constraints() {
    let world = World::new();
    let architectures = "Member must satisfy constraint: [Member must satisfy enum value set: \
                         [x86_64, arm64], Member must not be null]";
    let cases: Vec<CreateCase> = vec![
        (
            "functionName",
            |c| c.function_name = None,
            "Value null".into(),
            "Member must not be null".into(),
        ),
        (
            "role",
            |c| c.settings.role = None,
            "Value null".into(),
            "Member must not be null".into(),
        ),
        (
            "code",
            |c| c.code = None,
            "Value null".into(),
            "Member must not be null".into(),
        ),
        (
            "functionName",
            |c| c.function_name = Some("f!".into()),
            "Value 'f!'".into(),
            pattern(FUNCTION_NAME),
        ),
        (
            "functionName",
            |c| c.function_name = Some("f:invalid!".into()),
            "Value 'f:invalid!'".into(),
            pattern(FUNCTION_NAME),
        ),
        (
            "functionName",
            |c| c.function_name = Some("f.g".into()),
            "Value 'f.g'".into(),
            pattern(FUNCTION_NAME),
        ),
        (
            "functionName",
            |c| c.function_name = Some("f:1".into()),
            "Value 'f:1'".into(),
            pattern(FUNCTION_NAME),
        ),
        (
            "functionName",
            |c| c.function_name = text(141),
            format!("Value '{}'", "x".repeat(141)),
            at_most(140),
        ),
        (
            "packageType",
            |c| c.package_type = Some("Tar".into()),
            "Value 'Tar'".into(),
            members("Zip, Image"),
        ),
        (
            "architectures",
            |c| c.architectures = Some(vec!["X86_64".into()]),
            "Value '[X86_64]'".into(),
            architectures.into(),
        ),
        (
            "architectures",
            |c| c.architectures = Some(vec!["x86_64".into(), "arm64".into()]),
            "Value '[x86_64, arm64]'".into(),
            at_most(1),
        ),
        (
            "architectures",
            |c| c.architectures = Some(vec![]),
            "Value '[]'".into(),
            "Member must have length greater than or equal to 1".into(),
        ),
        (
            "publishTo",
            |c| c.publish_to = Some("LATEST".into()),
            "Value 'LATEST'".into(),
            members("LATEST_PUBLISHED"),
        ),
        (
            "codeSigningConfigArn",
            |c| c.code_signing_config_arn = Some("c".into()),
            "Value 'c'".into(),
            pattern(
                r"arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:code-signing-config:csc-[a-z0-9]{17}",
            ),
        ),
        (
            "tags",
            |c| c.tags = Some(BTreeMap::from([("a*".into(), "v".into())])),
            "Value '{a*=v}'".into(),
            format!(
                "Map keys must satisfy constraint: [Member must have length less than or equal to \
                 128, Member must have length greater than or equal to 1, {}]",
                pattern(r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)")
            ),
        ),
        (
            "code.s3Bucket",
            |c| {
                c.code = Some(CodeSource {
                    s3: S3Object {
                        bucket: Some("ab.".into()),
                        ..Default::default()
                    },
                    ..Default::default()
                })
            },
            "Value 'ab.'".into(),
            pattern(r"[0-9A-Za-z\.\-_]*(?<!\.)"),
        ),
        (
            "code.s3Key",
            |c| {
                c.code = Some(CodeSource {
                    s3: S3Object {
                        key: Some(String::new()),
                        ..Default::default()
                    },
                    ..Default::default()
                })
            },
            "Value ''".into(),
            "Member must have length greater than or equal to 1".into(),
        ),
    ];
    for (path, change, value, rule) in cases {
        violation(&world.create(change).await, &value, path, &rule);
    }
}

#[tokio::test]
async fn several_violations_are_told_together() {
    let world = World::new();
    let error = world
        .create(|command| {
            command.function_name = Some("!".repeat(141));
            command.settings.timeout_s = Some(0);
        })
        .await;
    let long = "!".repeat(141);
    let at = format!("Value '{long}' at 'functionName' failed to satisfy constraint:");
    assert_eq!(
        error.to_string(),
        format!(
            "3 validation errors detected: {at} {}; {at} {}; Value '0' at 'timeout' failed to \
             satisfy constraint: Member must have value greater than or equal to 1",
            at_most(140),
            pattern(FUNCTION_NAME)
        )
    );
}

#[tokio::test]
async fn rules_between_members_of_create_function() {
    let world = World::new();
    let supported: Vec<&str> = Runtime::ALL
        .iter()
        .filter(|r| r.is_supported())
        .map(|r| r.as_str())
        .collect();
    let mandatory = "Runtime and Handler are mandatory parameters for functions created with deployment packages.";
    let unable = "Lambda was unable to configure your environment variables because the \
                  environment variables you have provided";
    let measured = format!("{{\"BIG\":\"{}\"}}", "x".repeat(4096));
    let long = "n".repeat(65);
    let cases: Vec<(Change, String)> =
        vec![
        (
            |c| c.settings.runtime = Some("PYTHON3.9".into()),
            format!(
                "Value PYTHON3.9 at 'runtime' failed to satisfy constraint: Member must satisfy \
                 enum value set: [{}] or be a valid ARN",
                supported.join(", ")
            ),
        ),
        (
            |c| c.settings.runtime = Some("python3.8".into()),
            "The runtime parameter of python3.8 is no longer supported for creating or updating \
             AWS Lambda functions. We recommend you use a supported runtime while creating or \
             updating functions."
                .into(),
        ),
        (|c| c.settings.runtime = None, mandatory.into()),
        (|c| c.settings.handler = None, mandatory.into()),
        (
            |c| c.function_name = Some("n".repeat(65)),
            format!(
                "1 validation error detected: Value '{long}' at 'functionName' failed to satisfy \
                 constraint: Member must have length less than or equal to 64"
            ),
        ),
        (
            |c| {
                let variables = BTreeMap::from([("BIG".to_owned(), "x".repeat(4096))]);
                c.settings.environment = Some(EnvironmentSettings { variables: Some(variables) });
            },
            format!("{unable} exceeded the 4KB limit. String measured: {measured}"),
        ),
        (
            |c| {
                let names = ["AWS_REGION", "LAMBDA_TASK_ROOT", "OTHER"];
                let variables = names.map(|name| (name.to_owned(), String::new())).into();
                c.settings.environment = Some(EnvironmentSettings { variables: Some(variables) });
            },
            format!(
                "{unable} contains reserved keys that are currently not supported for \
                 modification. Reserved keys used in this request: AWS_REGION, LAMBDA_TASK_ROOT"
            ),
        ),
        (
            |c| {
                let application_level = Some("INFO".into());
                let logging = LoggingSettings { application_level, ..Default::default() };
                c.settings.logging = Some(logging);
            },
            "LogLevel is not supported when LogFormat is set to \"Text\". Remove LogLevel from \
             your request or change the LogFormat to \"JSON\" and try again."
                .into(),
        ),
        (
            |c| {
                let tag = |n: u32| (n.to_string(), String::new());
                c.tags = Some((0..51).map(tag).collect());
            },
            "Number of tags exceeds resource tag limit.".into(),
        ),
        (
            |c| c.settings.memory_mb = Some(10_241),
            "'MemorySize' value failed to satisfy constraint: Member must have value less than or \
             equal to 10240"
                .into(),
        ),
        (
            |c| c.settings.timeout_s = Some(901),
            "'Timeout' value failed to satisfy constraint: Member must have value less than or \
             equal to 900"
                .into(),
        ),
        (
            |c| c.settings.snap_start = Some("PublishedVersions".into()),
            "provided.al2023 is not supported for SnapStart enabled functions.".into(),
        ),
        (
            |c| c.code = Some(CodeSource::default()),
            "Please provide a source for function code.".into(),
        ),
        (
            |c| c.code.as_mut().unwrap().s3.bucket = Some("bucket".into()),
            "Please do not provide other FunctionCode parameters when providing a ZipFile.".into(),
        ),
    ];
    for (change, text) in cases {
        let error = world.create(change).await;
        assert!(
            matches!(error, ControlError::InvalidParameter(_)),
            "{error}"
        );
        assert_eq!(error.to_string(), text);
    }
    let config = "arn:aws:lambda:us-east-1:000000000000:code-signing-config:csc-00000000000000000";
    let error = world
        .create(|c| c.code_signing_config_arn = Some(config.into()))
        .await;
    assert_eq!(
        error.to_string(),
        format!(
            "The code signing configuration cannot be found. Check that the provided \
             configuration is not deleted: {config}."
        )
    );
}

#[tokio::test]
async fn names_and_queries_out_of_their_constraints() {
    let World {
        plane,
        scope,
        _temp,
    } = World::new();
    let query = |name: &str, qualifier: Option<&str>| FunctionQuery {
        function_name: name.into(),
        qualifier: qualifier.map(Into::into),
    };
    for bad in [
        "*",
        "my-function!",
        "invalid-account:function:f",
        "f:1:2",
        "f:$LATES",
        "arn:aws:lambda:us-east-11:000000000000:function:f",
        "arn:aws:lambda:us-east-1:function:f",
        "arn:aws:lambda:000000000000:function:f",
        "arn:aws:s3:us-east-1:000000000000:function:f",
    ] {
        let value = format!("Value '{bad}'");
        let error = plane
            .get_function(&scope, &query(bad, None))
            .await
            .unwrap_err();
        violation(&error, &value, "functionName", &pattern(NAMESPACED));
        let error = plane
            .delete_function(&scope, &query(bad, None))
            .await
            .unwrap_err();
        violation(&error, &value, "functionName", &pattern(NAMESPACED));
        let invoke = InvokeQuery {
            function_name: bad,
            qualifier: None,
            invocation_type: None,
            log_type: None,
        };
        let error = check_invoke(&scope, invoke).unwrap_err();
        violation(&error, &value, "functionName", &pattern(NAMESPACED));
        let command = UpdateFunctionCode {
            function_name: bad.into(),
            ..Default::default()
        };
        let error = plane
            .update_function_code(&scope, command)
            .await
            .unwrap_err();
        violation(&error, &value, "functionName", &pattern(FUNCTION_NAME));
    }
    let long = "x".repeat(257);
    let error = plane
        .get_function(&scope, &query(&long, None))
        .await
        .unwrap_err();
    violation(
        &error,
        &format!("Value '{long}'"),
        "functionName",
        &at_most(256),
    );
    let error = plane
        .get_function(&scope, &query("f", Some("invalid!")))
        .await
        .unwrap_err();
    let qualifier = pattern(r"\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+");
    violation(&error, "Value 'invalid!'", "qualifier", &qualifier);
    let long = "q".repeat(129);
    let error = plane
        .get_function(&scope, &query("f", Some(&long)))
        .await
        .unwrap_err();
    violation(
        &error,
        &format!("Value '{long}'"),
        "qualifier",
        &at_most(128),
    );

    let list = |change: fn(&mut ListFunctions)| {
        let mut query = ListFunctions::default();
        change(&mut query);
        query
    };
    for (query, value, path, rule) in [
        (
            list(|q| q.max_items = Some(0)),
            "0",
            "maxItems",
            "Member must have value greater than or equal to 1".to_owned(),
        ),
        (
            list(|q| q.max_items = Some(10_001)),
            "10001",
            "maxItems",
            "Member must have value less than or equal to 10000".to_owned(),
        ),
        (
            list(|q| q.function_version = Some("SOME".into())),
            "SOME",
            "functionVersion",
            members("ALL"),
        ),
        (
            list(|q| q.master_region = Some("here".into())),
            "here",
            "masterRegion",
            pattern(r"ALL|(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}"),
        ),
    ] {
        let error = plane.list_functions(&scope, &query).await.unwrap_err();
        violation(&error, &format!("Value '{value}'"), path, &rule);
    }
}

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
