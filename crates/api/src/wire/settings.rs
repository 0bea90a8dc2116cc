use std::collections::BTreeMap;

use bootlace_control as control;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::object::Object;

/// What CreateFunction and UpdateFunctionConfiguration have in common.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Settings {
    runtime: Option<String>,
    role: Option<String>,
    handler: Option<String>,
    description: Option<String>,
    timeout: Option<i64>,
    memory_size: Option<i64>,
    vpc_config: Option<Object<VpcConfig>>,
    environment: Option<Object<Environment>>,
    dead_letter_config: Option<Object<DeadLetterConfig>>,
    #[serde(rename = "KMSKeyArn")]
    kms_key_arn: Option<String>,
    tracing_config: Option<Object<TracingConfig>>,
    layers: Option<Vec<String>>,
    ephemeral_storage: Option<Object<EphemeralStorage>>,
    snap_start: Option<Object<SnapStart>>,
    logging_config: Option<Object<LoggingConfig>>,
    file_system_configs: Option<Vec<IgnoredAny>>,
    image_config: Option<IgnoredAny>,
    tenancy_config: Option<IgnoredAny>,
    capacity_provider_config: Option<IgnoredAny>,
    durable_config: Option<IgnoredAny>,
    runtime_config: Option<IgnoredAny>,
    accelerator_config: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct VpcConfig {
    subnet_ids: Option<Vec<String>>,
    security_group_ids: Option<Vec<String>>,
    ipv6_allowed_for_dual_stack: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Environment {
    variables: Option<BTreeMap<String, String>>,
}

impl std::fmt::Debug for Environment {
    /// The values may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Environment")
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct DeadLetterConfig {
    target_arn: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct TracingConfig {
    mode: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct EphemeralStorage {
    size: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct SnapStart {
    apply_on: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct LoggingConfig {
    log_format: Option<String>,
    application_log_level: Option<String>,
    system_log_level: Option<String>,
    log_group: Option<String>,
}

impl Settings {
    pub(crate) fn settings(self) -> control::Settings {
        let not_built = self.not_built();
        control::Settings {
            runtime: self.runtime,
            role: self.role,
            handler: self.handler,
            description: self.description,
            timeout_s: self.timeout,
            memory_mb: self.memory_size,
            vpc: self.vpc_config.map(|Object(vpc)| control::VpcSettings {
                subnet_ids: vpc.subnet_ids,
                security_group_ids: vpc.security_group_ids,
                ipv6: vpc.ipv6_allowed_for_dual_stack.unwrap_or(false),
            }),
            environment: self
                .environment
                .map(|Object(environment)| control::EnvironmentSettings {
                    variables: environment.variables,
                }),
            dead_letter_target: self
                .dead_letter_config
                .and_then(|Object(config)| config.target_arn),
            kms_key_arn: self.kms_key_arn,
            tracing_mode: self.tracing_config.and_then(|Object(config)| config.mode),
            layers: self.layers,
            ephemeral_storage_mb: self
                .ephemeral_storage
                .and_then(|Object(storage)| storage.size),
            snap_start: self
                .snap_start
                .and_then(|Object(snap_start)| snap_start.apply_on),
            logging: self
                .logging_config
                .map(|Object(logging)| control::LoggingSettings {
                    format: logging.log_format,
                    group: logging.log_group,
                    application_level: logging.application_log_level,
                    system_level: logging.system_log_level,
                }),
            not_built,
        }
    }

    /// Members that would change how the function runs, and that Bootlace does not have.
    fn not_built(&self) -> Vec<&'static str> {
        let file_systems = self
            .file_system_configs
            .as_ref()
            .is_some_and(|list| !list.is_empty());
        let given = [
            ("FileSystemConfigs", file_systems),
            ("ImageConfig", self.image_config.is_some()),
            ("TenancyConfig", self.tenancy_config.is_some()),
            (
                "CapacityProviderConfig",
                self.capacity_provider_config.is_some(),
            ),
            ("DurableConfig", self.durable_config.is_some()),
            ("RuntimeConfig", self.runtime_config.is_some()),
            ("AcceleratorConfig", self.accelerator_config.is_some()),
        ];
        given
            .into_iter()
            .filter(|(_, given)| *given)
            .map(|(name, _)| name)
            .collect()
    }
}
