use std::collections::BTreeMap;

use bytes::Bytes;

/// Where code comes from, as a caller gives it: nothing, several or the wrong one included.
#[derive(Debug, Clone, Default)]
pub struct CodeSource {
    /// A zip archive.
    pub zip_file: Option<Bytes>,
    pub s3: S3Object,
    pub image_uri: Option<String>,
    pub source_kms_key_arn: Option<String>,
}

/// An object in S3, as far as it is named.
#[derive(Debug, Clone, Default)]
pub struct S3Object {
    pub bucket: Option<String>,
    pub key: Option<String>,
    pub version: Option<String>,
    pub storage_mode: Option<String>,
}

/// What CreateFunction and UpdateFunctionConfiguration have in common; `None` is "not given".
#[derive(Debug, Clone, Default)]
pub struct Settings {
    pub runtime: Option<String>,
    pub role: Option<String>,
    pub handler: Option<String>,
    pub description: Option<String>,
    pub timeout_s: Option<i64>,
    pub memory_mb: Option<i64>,
    pub vpc: Option<VpcSettings>,
    pub environment: Option<EnvironmentSettings>,
    /// Empty text removes it.
    pub dead_letter_target: Option<String>,
    /// Empty text removes it.
    pub kms_key_arn: Option<String>,
    pub tracing_mode: Option<String>,
    pub layers: Option<Vec<String>>,
    pub ephemeral_storage_mb: Option<i64>,
    pub snap_start: Option<String>,
    pub logging: Option<LoggingSettings>,
    /// Members that were given and that Bootlace does not have yet, by AWS's name.
    pub not_built: Vec<&'static str>,
}

/// `VpcConfig`; empty lists remove it.
#[derive(Debug, Clone, Default)]
pub struct VpcSettings {
    pub subnet_ids: Option<Vec<String>>,
    pub security_group_ids: Option<Vec<String>>,
    pub ipv6: bool,
}

/// `Environment`.
#[derive(Clone, Default)]
pub struct EnvironmentSettings {
    pub variables: Option<BTreeMap<String, String>>,
}

impl std::fmt::Debug for EnvironmentSettings {
    /// Names only: the values may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.variables.iter().flat_map(BTreeMap::keys);
        f.debug_set().entries(names).finish()
    }
}

/// `LoggingConfig`.
#[derive(Debug, Clone, Default)]
pub struct LoggingSettings {
    pub format: Option<String>,
    pub group: Option<String>,
    pub application_level: Option<String>,
    pub system_level: Option<String>,
}

/// CreateFunction.
#[derive(Debug, Clone, Default)]
pub struct CreateFunction {
    pub function_name: Option<String>,
    pub code: Option<CodeSource>,
    pub settings: Settings,
    pub package_type: Option<String>,
    pub architectures: Option<Vec<String>>,
    pub publish: bool,
    pub publish_to: Option<String>,
    pub tags: Option<BTreeMap<String, String>>,
    pub code_signing_config_arn: Option<String>,
}

/// UpdateFunctionCode.
#[derive(Debug, Clone, Default)]
pub struct UpdateFunctionCode {
    pub function_name: String,
    pub code: CodeSource,
    pub architectures: Option<Vec<String>>,
    pub publish: bool,
    pub publish_to: Option<String>,
    pub dry_run: bool,
    pub revision_id: Option<String>,
}

/// UpdateFunctionConfiguration.
#[derive(Debug, Clone, Default)]
pub struct UpdateFunctionConfiguration {
    pub function_name: String,
    pub settings: Settings,
    pub revision_id: Option<String>,
}

/// A function that should exist: its name in any form, and the `Qualifier` parameter.
#[derive(Debug, Clone, Default)]
pub struct FunctionQuery {
    pub function_name: String,
    pub qualifier: Option<String>,
}

/// ListFunctions.
#[derive(Debug, Clone, Default)]
pub struct ListFunctions {
    pub master_region: Option<String>,
    pub function_version: Option<String>,
    pub marker: Option<String>,
    pub max_items: Option<i64>,
}

/// PublishLayerVersion.
#[derive(Debug, Clone, Default)]
pub struct PublishLayerVersion {
    pub layer_name: String,
    pub description: Option<String>,
    pub content: Option<CodeSource>,
    pub compatible_architectures: Option<Vec<String>>,
    pub compatible_runtimes: Option<Vec<String>>,
    pub license_info: Option<String>,
}

/// ListLayers and ListLayerVersions.
#[derive(Debug, Clone, Default)]
pub struct LayerQuery {
    pub compatible_architecture: Option<String>,
    pub compatible_runtime: Option<String>,
    pub marker: Option<String>,
    pub max_items: Option<i64>,
}
