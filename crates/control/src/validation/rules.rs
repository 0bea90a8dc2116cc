//! Rules between members, beyond the constraints of single ones.

use std::collections::BTreeMap;

use bootlace_store::record::Logging;
use bootlace_types::{Architecture, LayerVersionArn, Runtime, Scope, limits};

use super::RUNTIME_IDS;
use crate::{ControlError, LoggingSettings, Settings};

fn refuse<T>(text: impl Into<String>) -> Result<T, ControlError> {
    Err(ControlError::InvalidParameter(text.into()))
}

/// A runtime that functions may be made with.
pub(crate) fn runtime(id: &str) -> Result<Runtime, ControlError> {
    let Ok(runtime) = id.parse::<Runtime>() else {
        let supported = Runtime::ALL.iter().filter(|runtime| runtime.is_supported());
        let supported: Vec<&str> = supported.map(|runtime| runtime.as_str()).collect();
        return refuse(format!(
            "Value {id} at 'runtime' failed to satisfy constraint: Member must satisfy enum value \
             set: [{}] or be a valid ARN",
            supported.join(", ")
        ));
    };
    if runtime == Runtime::Custom {
        return Err(ControlError::NotBuilt(
            "Runtime custom (customer-managed runtimes)",
        ));
    }
    if !runtime.is_supported() {
        return refuse(format!(
            "The runtime parameter of {id} is no longer supported for creating or updating AWS \
             Lambda functions. We recommend you use a supported runtime while creating or updating \
             functions."
        ));
    }
    Ok(runtime)
}

/// Names that the environment itself sets.
const RESERVED: &[&str] = &[
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_MAX_CONCURRENCY",
    "AWS_LAMBDA_METADATA_API",
    "AWS_LAMBDA_METADATA_TOKEN",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
];

pub(crate) fn environment(variables: &BTreeMap<String, String>) -> Result<(), ControlError> {
    const UNABLE: &str = "Lambda was unable to configure your environment variables because the \
                          environment variables you have provided";
    let reserved: Vec<&str> = variables
        .keys()
        .map(String::as_str)
        .filter(|key| RESERVED.contains(key))
        .collect();
    if !reserved.is_empty() {
        return refuse(format!(
            "{UNABLE} contains reserved keys that are currently not supported for modification. \
             Reserved keys used in this request: {}",
            reserved.join(", ")
        ));
    }
    if variables.values().any(|value| value.contains('\0')) {
        return refuse(format!("{UNABLE} contains a value with a null character."));
    }
    let measured = serde_json::to_string(variables)
        .map_err(|error| ControlError::Internal(error.to_string()))?;
    if measured.len() > limits::ENVIRONMENT_BYTES {
        return refuse(format!(
            "{UNABLE} exceeded the 4KB limit. String measured: {measured}"
        ));
    }
    Ok(())
}

/// The handler goes into an environment variable; its pattern lets through what cannot go there.
pub(crate) fn handler(handler: &str) -> Result<(), ControlError> {
    if handler.contains('\0') {
        return refuse("The handler contains a null character.");
    }
    Ok(())
}

/// Limits that are tighter than the model's: the rest is for functions that Bootlace does not have.
pub(crate) fn effective_limits(settings: &Settings) -> Result<(), ControlError> {
    let over = |name: &str, given: Option<i64>, max: u32| match given {
        Some(given) if given > i64::from(max) => refuse(format!(
            "'{name}' value failed to satisfy constraint: Member must have value less than or \
             equal to {max}"
        )),
        _ => Ok(()),
    };
    over("Timeout", settings.timeout_s, *limits::TIMEOUT_S.end())?;
    over("MemorySize", settings.memory_mb, *limits::MEMORY_MB.end())?;
    let storage = *limits::EPHEMERAL_STORAGE_MB.end();
    over("EphemeralStorage", settings.ephemeral_storage_mb, storage)
}

/// What a zip package cannot do without.
pub(crate) fn runtime_and_handler(
    runtime: Option<&str>,
    handler: Option<&str>,
) -> Result<(), ControlError> {
    let given = |text: Option<&str>| text.is_some_and(|text| !text.is_empty());
    if given(runtime) && given(handler) {
        return Ok(());
    }
    refuse(
        "Runtime and Handler are mandatory parameters for functions created with deployment \
         packages.",
    )
}

/// SnapStart is for some managed runtimes only.
pub(crate) fn snap_start(runtime: Option<Runtime>, apply_on: &str) -> Result<(), ControlError> {
    let Some(runtime) = runtime.filter(|_| apply_on == "PublishedVersions") else {
        return Ok(());
    };
    let id = runtime.as_str();
    let newer_python = matches!(
        runtime,
        Runtime::Python312 | Runtime::Python313 | Runtime::Python314 | Runtime::Python315
    );
    let java = id.starts_with("java") && !id.starts_with("java8");
    let dotnet = matches!(runtime, Runtime::Dotnet8 | Runtime::Dotnet10);
    if newer_python || java || dotnet {
        return Ok(());
    }
    refuse(format!(
        "{id} is not supported for SnapStart enabled functions."
    ))
}

/// The logging configuration after a change; levels exist for JSON only.
pub(crate) fn logging(current: &Logging, given: &LoggingSettings) -> Result<Logging, ControlError> {
    let format = given
        .format
        .clone()
        .unwrap_or_else(|| current.format.clone());
    let group = given.group.clone().unwrap_or_else(|| current.group.clone());
    if format == "Text" {
        if given.application_level.is_some() || given.system_level.is_some() {
            return refuse(
                "LogLevel is not supported when LogFormat is set to \"Text\". Remove LogLevel from \
                 your request or change the LogFormat to \"JSON\" and try again.",
            );
        }
        return Ok(Logging {
            format,
            group,
            application_level: None,
            system_level: None,
        });
    }
    let level = |given: &Option<String>, current: &Option<String>| {
        Some(
            given
                .clone()
                .or_else(|| current.clone())
                .unwrap_or_else(|| "INFO".into()),
        )
    };
    let application_level = level(&given.application_level, &current.application_level);
    let system_level = level(&given.system_level, &current.system_level);
    Ok(Logging {
        format,
        group,
        application_level,
        system_level,
    })
}

/// The layers of a function by ARN: not too many, of its region, none twice.
pub(crate) fn layers(scope: &Scope, arns: &[String]) -> Result<Vec<LayerVersionArn>, ControlError> {
    if arns.len() > limits::LAYERS {
        return refuse("Cannot reference more than 5 layers.");
    }
    let mut layers: Vec<LayerVersionArn> = Vec::new();
    for text in arns {
        // The constraint table has let only these and AWS's own pseudo layers pass.
        let Ok(arn) = text.parse::<LayerVersionArn>() else {
            return Err(no_such_layer(text));
        };
        if arn.layer.scope.region != scope.region {
            return refuse(format!(
                "Layers are not in the same region as the function. Layers are expected to be in \
                 region {}.",
                scope.region
            ));
        }
        if let Some(other) = layers.iter().find(|other| other.layer == arn.layer) {
            return refuse(format!(
                "Two different versions of the same layer are not allowed to be referenced in the \
                 same function. {other} and {arn} are versions of the same layer."
            ));
        }
        layers.push(arn);
    }
    Ok(layers)
}

pub(crate) fn no_such_layer(arn: &str) -> ControlError {
    ControlError::InvalidParameter(format!("Layer version {arn} does not exist."))
}

/// A layer that names architectures serves only those.
pub(crate) fn layer_architecture(
    arn: &LayerVersionArn,
    compatible: &[Architecture],
    function: Architecture,
) -> Result<(), ControlError> {
    if compatible.is_empty() || compatible.contains(&function) {
        return Ok(());
    }
    let compatible: Vec<&str> = compatible.iter().map(|a| a.as_str()).collect();
    refuse(format!(
        "Layer version {arn} is for the architectures [{}] and cannot be used by a function with \
         architecture {function}.",
        compatible.join(", ")
    ))
}

pub(crate) fn tags(tags: &BTreeMap<String, String>) -> Result<(), ControlError> {
    if tags.len() > limits::TAGS {
        return refuse("Number of tags exceeds resource tag limit.");
    }
    Ok(())
}

/// Runtimes that a layer names; the constraint table has let only known ones pass.
pub(crate) fn known_runtimes(ids: &[String]) -> Vec<Runtime> {
    debug_assert!(ids.iter().all(|id| RUNTIME_IDS.contains(&id.as_str())));
    ids.iter().filter_map(|id| id.parse().ok()).collect()
}

/// Architectures; the constraint table has let only known ones pass.
pub(crate) fn known_architectures(ids: &[String]) -> Vec<Architecture> {
    ids.iter().filter_map(|id| id.parse().ok()).collect()
}
