use std::collections::BTreeMap;

use bootlace_control::{
    CodeSource, ControlError, CreateFunction, EnvironmentSettings, LoggingSettings, S3Object,
};
use bootlace_types::Runtime;

use crate::world::{FUNCTION_NAME, World, at_most, members, pattern, text, violation};

type Change = fn(&mut CreateFunction);
/// Where, how, how the value is printed, and the rule.
type CreateCase = (&'static str, Change, String, String);

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
