//! The constraint table: every constrained member of the operations that are built, as the service
//! model of 2026-11-17 has it. [`super::check`] reads it; nothing else decides about constraints.

use super::pattern::{self, Pattern};
use super::shape::{ANY, Member, Shape};

const fn text(min: usize, max: usize, pattern: &'static Pattern) -> Shape {
    Shape::Text {
        min,
        max,
        pattern: Some(pattern),
    }
}

const fn required(path: &'static str, shape: &'static Shape) -> Member {
    Member {
        path,
        shape,
        required: true,
    }
}

const fn member(path: &'static str, shape: &'static Shape) -> Member {
    Member {
        path,
        shape,
        required: false,
    }
}

/// Of CreateFunction and the operations that change a function.
static FUNCTION_NAME: Shape = text(1, 140, &pattern::FUNCTION_NAME);
/// Of the operations on a function that exists.
static NAMESPACED_FUNCTION_NAME: Shape = text(1, 256, &pattern::NAMESPACED_FUNCTION_NAME);
static QUALIFIER: Shape = text(1, 128, &pattern::QUALIFIER);
static ROLE: Shape = text(0, 10_000, &pattern::ROLE_ARN);
static HANDLER: Shape = text(0, 128, &pattern::HANDLER);
static DESCRIPTION: Shape = Shape::Text {
    min: 0,
    max: 256,
    pattern: None,
};
static TIMEOUT: Shape = Shape::Int { min: 1, max: 5400 };
static MEMORY_SIZE: Shape = Shape::Int {
    min: 128,
    max: 32_768,
};
static EPHEMERAL_STORAGE: Shape = Shape::Int {
    min: 512,
    max: 32_768,
};
static PACKAGE_TYPE: Shape = Shape::Enum(&["Zip", "Image"]);
static PUBLISH_TO: Shape = Shape::Enum(&["LATEST_PUBLISHED"]);
static ARCHITECTURE: Shape = Shape::Enum(&["x86_64", "arm64"]);
static ARCHITECTURES: Shape = Shape::List {
    min: 1,
    max: 1,
    element: &ARCHITECTURE,
    not_null: true,
};
static KMS_KEY_ARN: Shape = text(0, 10_000, &pattern::KMS_KEY_ARN);
static TARGET_ARN: Shape = text(0, ANY, &pattern::TARGET_ARN);
static TRACING_MODE: Shape = Shape::Enum(&["Active", "PassThrough"]);
static SNAP_START: Shape = Shape::Enum(&["PublishedVersions", "None"]);
static LOG_FORMAT: Shape = Shape::Enum(&["JSON", "Text"]);
static APPLICATION_LOG_LEVEL: Shape =
    Shape::Enum(&["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"]);
static SYSTEM_LOG_LEVEL: Shape = Shape::Enum(&["DEBUG", "INFO", "WARN"]);
static LOG_GROUP: Shape = text(1, 512, &pattern::LOG_GROUP);
static SUBNETS: Shape = Shape::List {
    min: 0,
    max: 16,
    element: &text(0, 1024, &pattern::SUBNET_ID),
    not_null: false,
};
static SECURITY_GROUPS: Shape = Shape::List {
    min: 0,
    max: 5,
    element: &text(0, 1024, &pattern::SECURITY_GROUP_ID),
    not_null: false,
};
static LAYERS: Shape = Shape::List {
    min: 0,
    max: ANY,
    element: &text(1, 2048, &pattern::LAYER_VERSION_ARN),
    not_null: true,
};
/// Secret: a refusal does not repeat the values.
static ENVIRONMENT: Shape = Shape::Map {
    key: &text(0, ANY, &pattern::ENVIRONMENT_KEY),
    value: &Shape::Text {
        min: 0,
        max: ANY,
        pattern: None,
    },
    secret: true,
};
static TAGS: Shape = Shape::Map {
    key: &text(1, 128, &pattern::TAG_TEXT),
    value: &text(0, 256, &pattern::TAG_TEXT),
    secret: false,
};
static S3_BUCKET: Shape = text(3, 63, &pattern::S3_BUCKET);
static S3_KEY: Shape = text(1, 1024, &pattern::S3_KEY);
static S3_STORAGE_MODE: Shape = Shape::Enum(&["COPY", "REFERENCE"]);
static CODE_SIGNING_CONFIG_ARN: Shape = text(0, 200, &pattern::CODE_SIGNING_CONFIG_ARN);
static LAYER_NAME: Shape = text(1, 2048, &pattern::LAYER_NAME_OR_ARN);
static LAYER_VERSION_ARN: Shape = text(1, 2048, &pattern::LAYER_VERSION_ARN);
static LICENSE_INFO: Shape = Shape::Text {
    min: 0,
    max: 512,
    pattern: None,
};
static RUNTIME: Shape = Shape::Enum(super::RUNTIME_IDS);
static COMPATIBLE_RUNTIMES: Shape = Shape::List {
    min: 0,
    max: 15,
    element: &RUNTIME,
    not_null: true,
};
static COMPATIBLE_ARCHITECTURES: Shape = Shape::List {
    min: 0,
    max: 2,
    element: &ARCHITECTURE,
    not_null: true,
};

/// What CreateFunction and UpdateFunctionConfiguration share.
pub(crate) static SETTINGS: &[Member] = &[
    member("handler", &HANDLER),
    member("description", &DESCRIPTION),
    member("timeout", &TIMEOUT),
    member("memorySize", &MEMORY_SIZE),
    member("vpcConfig.subnetIds", &SUBNETS),
    member("vpcConfig.securityGroupIds", &SECURITY_GROUPS),
    member("environment.variables", &ENVIRONMENT),
    member("deadLetterConfig.targetArn", &TARGET_ARN),
    member("kMSKeyArn", &KMS_KEY_ARN),
    member("tracingConfig.mode", &TRACING_MODE),
    member("layers", &LAYERS),
    member("ephemeralStorage.size", &EPHEMERAL_STORAGE),
    member("snapStart.applyOn", &SNAP_START),
    member("loggingConfig.logFormat", &LOG_FORMAT),
    member("loggingConfig.applicationLogLevel", &APPLICATION_LOG_LEVEL),
    member("loggingConfig.systemLogLevel", &SYSTEM_LOG_LEVEL),
    member("loggingConfig.logGroup", &LOG_GROUP),
];

pub(crate) static CREATE_FUNCTION: &[Member] = &[
    required("functionName", &FUNCTION_NAME),
    required("role", &ROLE),
    required("code", &Shape::Any),
    member("packageType", &PACKAGE_TYPE),
    member("architectures", &ARCHITECTURES),
    member("publishTo", &PUBLISH_TO),
    member("tags", &TAGS),
    member("codeSigningConfigArn", &CODE_SIGNING_CONFIG_ARN),
];

pub(crate) static UPDATE_FUNCTION_CONFIGURATION: &[Member] = &[
    required("functionName", &FUNCTION_NAME),
    member("role", &ROLE),
];

pub(crate) static UPDATE_FUNCTION_CODE: &[Member] = &[
    required("functionName", &FUNCTION_NAME),
    member("architectures", &ARCHITECTURES),
    member("publishTo", &PUBLISH_TO),
];

/// Code by address, as CreateFunction nests it.
pub(crate) static FUNCTION_CODE: &[Member] = &[
    member("code.s3Bucket", &S3_BUCKET),
    member("code.s3Key", &S3_KEY),
    member("code.s3ObjectVersion", &S3_KEY),
    member("code.s3ObjectStorageMode", &S3_STORAGE_MODE),
    member("code.sourceKMSKeyArn", &KMS_KEY_ARN),
];

/// Code by address, as UpdateFunctionCode has it.
pub(crate) static FLAT_CODE: &[Member] = &[
    member("s3Bucket", &S3_BUCKET),
    member("s3Key", &S3_KEY),
    member("s3ObjectVersion", &S3_KEY),
    member("s3ObjectStorageMode", &S3_STORAGE_MODE),
    member("sourceKMSKeyArn", &KMS_KEY_ARN),
];

/// Code by address, as PublishLayerVersion nests it.
pub(crate) static LAYER_CONTENT: &[Member] = &[
    member("content.s3Bucket", &S3_BUCKET),
    member("content.s3Key", &S3_KEY),
    member("content.s3ObjectVersion", &S3_KEY),
    member("content.s3ObjectStorageMode", &S3_STORAGE_MODE),
];

/// GetFunction, GetFunctionConfiguration, DeleteFunction, Invoke.
pub(crate) static EXISTING_FUNCTION: &[Member] = &[
    required("functionName", &NAMESPACED_FUNCTION_NAME),
    member("qualifier", &QUALIFIER),
];

pub(crate) static INVOKE: &[Member] = &[
    required("functionName", &NAMESPACED_FUNCTION_NAME),
    member("qualifier", &QUALIFIER),
    member(
        "invocationType",
        &Shape::Enum(&["Event", "RequestResponse", "DryRun"]),
    ),
    member("logType", &Shape::Enum(&["None", "Tail"])),
];

pub(crate) static INVOKE_WITH_RESPONSE_STREAM: &[Member] = &[
    required("functionName", &NAMESPACED_FUNCTION_NAME),
    member("qualifier", &QUALIFIER),
    member(
        "invocationType",
        &Shape::Enum(&["RequestResponse", "DryRun"]),
    ),
    member("logType", &Shape::Enum(&["None", "Tail"])),
];

pub(crate) static LIST_FUNCTIONS: &[Member] = &[
    member("masterRegion", &text(1, 50, &pattern::MASTER_REGION)),
    member("functionVersion", &Shape::Enum(&["ALL"])),
    member(
        "maxItems",
        &Shape::Int {
            min: 1,
            max: 10_000,
        },
    ),
];

pub(crate) static PUBLISH_LAYER_VERSION: &[Member] = &[
    required("layerName", &LAYER_NAME),
    member("description", &DESCRIPTION),
    required("content", &Shape::Any),
    member("compatibleArchitectures", &COMPATIBLE_ARCHITECTURES),
    member("compatibleRuntimes", &COMPATIBLE_RUNTIMES),
    member("licenseInfo", &LICENSE_INFO),
];

pub(crate) static EXISTING_LAYER: &[Member] = &[required("layerName", &LAYER_NAME)];

pub(crate) static LAYER_VERSION_BY_ARN: &[Member] = &[required("arn", &LAYER_VERSION_ARN)];

/// ListLayers, and with a name ListLayerVersions.
pub(crate) static LIST_LAYERS: &[Member] = &[
    member("layerName", &LAYER_NAME),
    member("compatibleArchitecture", &ARCHITECTURE),
    member("compatibleRuntime", &RUNTIME),
    member("maxItems", &Shape::Int { min: 1, max: 50 }),
];
