use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bootlace_control as control;
use bootlace_control::{
    FunctionConfig, FunctionDetails, FunctionView, LastUpdate, Listing, PackageType, State,
};
use bootlace_types::{Region, Runtime};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::code::Code;
use super::date;
use super::object::Object;
use super::settings::Settings;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct CreateFunction {
    function_name: Option<String>,
    code: Option<Object<Code>>,
    #[serde(flatten)]
    settings: Settings,
    package_type: Option<String>,
    architectures: Option<Vec<String>>,
    publish: Option<bool>,
    publish_to: Option<String>,
    tags: Option<BTreeMap<String, String>>,
    code_signing_config_arn: Option<String>,
}

impl CreateFunction {
    pub(crate) fn command(self) -> control::CreateFunction {
        control::CreateFunction {
            function_name: self.function_name,
            code: self.code.map(|Object(code)| code.source()),
            settings: self.settings.settings(),
            package_type: self.package_type,
            architectures: self.architectures,
            publish: self.publish.unwrap_or(false),
            publish_to: self.publish_to,
            tags: self.tags,
            code_signing_config_arn: self.code_signing_config_arn,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct UpdateFunctionCode {
    #[serde(flatten)]
    code: Code,
    architectures: Option<Vec<String>>,
    publish: Option<bool>,
    publish_to: Option<String>,
    dry_run: Option<bool>,
    revision_id: Option<String>,
}

impl UpdateFunctionCode {
    pub(crate) fn command(self, function_name: &str) -> control::UpdateFunctionCode {
        control::UpdateFunctionCode {
            function_name: function_name.to_owned(),
            code: self.code.source(),
            architectures: self.architectures,
            publish: self.publish.unwrap_or(false),
            publish_to: self.publish_to,
            dry_run: self.dry_run.unwrap_or(false),
            revision_id: self.revision_id,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct UpdateFunctionConfiguration {
    #[serde(flatten)]
    settings: Settings,
    revision_id: Option<String>,
}

impl UpdateFunctionConfiguration {
    pub(crate) fn command(self, function_name: &str) -> control::UpdateFunctionConfiguration {
        control::UpdateFunctionConfiguration {
            function_name: function_name.to_owned(),
            settings: self.settings.settings(),
            revision_id: self.revision_id,
        }
    }
}

/// `FunctionConfiguration`, in the model's order; what AWS leaves out is left out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Configuration<'a> {
    function_name: &'a str,
    function_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    runtime: Option<Runtime>,
    role: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    handler: Option<&'a str>,
    code_size: u64,
    description: &'a str,
    timeout: u32,
    memory_size: u32,
    last_modified: String,
    code_sha256: String,
    version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    vpc_config: Option<VpcConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_letter_config: Option<DeadLetterConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<Environment<'a>>,
    #[serde(rename = "KMSKeyArn", skip_serializing_if = "Option::is_none")]
    kms_key_arn: Option<&'a str>,
    tracing_config: TracingConfig<'a>,
    revision_id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    layers: Vec<Layer>,
    #[serde(flatten)]
    status: Option<Status<'a>>,
    package_type: &'static str,
    architectures: [&'static str; 1],
    ephemeral_storage: EphemeralStorage,
    snap_start: SnapStart<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    runtime_version_config: Option<RuntimeVersionConfig>,
    logging_config: LoggingConfig<'a>,
}

/// What lists leave out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Status<'a> {
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_reason_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_update_status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_update_status_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_update_status_reason_code: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct VpcConfig<'a> {
    subnet_ids: &'a [String],
    security_group_ids: &'a [String],
    vpc_id: &'static str,
    ipv6_allowed_for_dual_stack: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct DeadLetterConfig<'a> {
    target_arn: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Environment<'a> {
    variables: &'a BTreeMap<String, String>,
}

impl std::fmt::Debug for Environment<'_> {
    /// The values may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Environment")
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct TracingConfig<'a> {
    mode: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Layer {
    arn: String,
    code_size: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct EphemeralStorage {
    size: u32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct SnapStart<'a> {
    apply_on: &'a str,
    optimization_status: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct RuntimeVersionConfig {
    runtime_version_arn: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct LoggingConfig<'a> {
    log_format: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    application_log_level: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_log_level: Option<&'a str>,
    log_group: &'a str,
}

/// AWS gives a function that changes the reason of one that is made.
const BEING_CREATED: (&str, &str) = ("The function is being created.", "Creating");

impl<'a> Configuration<'a> {
    pub(crate) fn of(view: &'a FunctionView) -> Self {
        let config = &view.config;
        Self {
            status: Some(Status::of(config)),
            runtime_version_config: config
                .runtime
                .map(|runtime| RuntimeVersionConfig::of(runtime, &view.arn.scope.region)),
            ..Self::listed(view)
        }
    }

    /// As lists show it: without states and runtime version.
    fn listed(view: &'a FunctionView) -> Self {
        let config = &view.config;
        Self {
            function_name: &view.arn.name,
            function_arn: view.arn.to_string(),
            runtime: config.runtime,
            role: &config.role,
            handler: config.handler.as_deref(),
            code_size: config.code.zip_bytes,
            description: &config.description,
            timeout: config.timeout_s,
            memory_size: config.memory_mb,
            last_modified: date(config.last_modified_ms),
            code_sha256: STANDARD.encode(config.code.digest.0),
            version: &view.version,
            vpc_config: config.vpc.as_ref().map(|vpc| VpcConfig {
                subnet_ids: &vpc.subnet_ids,
                security_group_ids: &vpc.security_group_ids,
                vpc_id: "",
                ipv6_allowed_for_dual_stack: vpc.ipv6,
            }),
            dead_letter_config: config
                .dead_letter_target
                .as_deref()
                .map(|target_arn| DeadLetterConfig { target_arn }),
            environment: config
                .environment
                .as_ref()
                .map(|variables| Environment { variables }),
            kms_key_arn: config.kms_key_arn.as_deref(),
            tracing_config: TracingConfig {
                mode: &config.tracing_mode,
            },
            revision_id: config.revision_id.to_string(),
            layers: config
                .layers
                .iter()
                .map(|layer| Layer {
                    arn: layer.arn.to_string(),
                    code_size: layer.code.zip_bytes,
                })
                .collect(),
            status: None,
            package_type: match config.package_type {
                PackageType::Zip => "Zip",
                PackageType::Image => "Image",
            },
            architectures: [config.architecture.as_str()],
            ephemeral_storage: EphemeralStorage {
                size: config.ephemeral_storage_mb,
            },
            snap_start: SnapStart {
                apply_on: &config.snap_start,
                optimization_status: "Off",
            },
            runtime_version_config: None,
            logging_config: LoggingConfig {
                log_format: &config.logging.format,
                application_log_level: config.logging.application_level.as_deref(),
                system_log_level: config.logging.system_level.as_deref(),
                log_group: &config.logging.group,
            },
        }
    }
}

impl<'a> Status<'a> {
    fn of(config: &'a FunctionConfig) -> Self {
        let (state, reason) = match &config.state {
            State::Pending => ("Pending", Some(BEING_CREATED)),
            State::Active => ("Active", None),
            State::Inactive => ("Inactive", None),
            State::Failed { code, reason } => ("Failed", Some((reason.as_str(), code.as_str()))),
        };
        let update = match &config.last_update {
            None => None,
            Some(LastUpdate::Successful) => Some(("Successful", None)),
            Some(LastUpdate::InProgress) => Some(("InProgress", Some(BEING_CREATED))),
            Some(LastUpdate::Failed { code, reason }) => {
                Some(("Failed", Some((reason.as_str(), code.as_str()))))
            }
        };
        let update_reason = update.and_then(|(_, reason)| reason);
        Self {
            state,
            state_reason: reason.map(|(reason, _)| reason),
            state_reason_code: reason.map(|(_, code)| code),
            last_update_status: update.map(|(status, _)| status),
            last_update_status_reason: update_reason.map(|(reason, _)| reason),
            last_update_status_reason_code: update_reason.map(|(_, code)| code),
        }
    }
}

impl RuntimeVersionConfig {
    /// AWS names the version of a runtime by a digest; ours is of the runtime's name, so that it
    /// stays the same.
    fn of(runtime: Runtime, region: &Region) -> Self {
        let digest = bootlace_types::Digest(Sha256::digest(runtime.as_str()).into());
        Self {
            runtime_version_arn: format!("arn:aws:lambda:{region}::runtime:{digest}"),
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetFunction<'a> {
    configuration: Configuration<'a>,
    code: CodeLocation<'a>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrency: Option<Concurrency>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct CodeLocation<'a> {
    repository_type: &'static str,
    location: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Concurrency {
    reserved_concurrent_executions: u32,
}

impl<'a> GetFunction<'a> {
    pub(crate) fn of(details: &'a FunctionDetails, location: &'a str) -> Self {
        let reserved = details.reserved_concurrency;
        Self {
            configuration: Configuration::of(&details.function),
            code: CodeLocation {
                repository_type: "S3",
                location,
            },
            tags: &details.tags,
            concurrency: reserved.map(|reserved| Concurrency {
                reserved_concurrent_executions: reserved,
            }),
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct FunctionList<'a> {
    functions: Vec<Configuration<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<&'a str>,
}

impl<'a> FunctionList<'a> {
    pub(crate) fn of(listing: &'a Listing<FunctionView>) -> Self {
        Self {
            functions: listing.items.iter().map(Configuration::listed).collect(),
            next_marker: listing.next.as_deref(),
        }
    }
}
