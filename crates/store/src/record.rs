//! The shapes that are stored, as JSON documents in the [`Kv`](crate::Kv); nothing else in Bootlace
//! may give them another form. Members may be added with `#[serde(default)]`, never renamed.

use std::collections::BTreeMap;

use bootlace_types::{
    Architecture, Digest, FunctionArn, LayerArn, LayerVersionArn, RevisionId, Runtime, Scope,
};
use serde::{Deserialize, Serialize};

use crate::Key;

/// A function: all that can change of it, one document, changed by compare-and-swap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FunctionRecord {
    /// `$LATEST`.
    pub latest: FunctionConfig,
    /// The highest version number ever published (numbers are never used twice).
    #[serde(default)]
    pub last_version: u64,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    #[serde(default)]
    pub reserved_concurrency: Option<u32>,
}

/// What one version of a function is: its configuration and its code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FunctionConfig {
    pub revision_id: RevisionId,
    pub package_type: PackageType,
    /// Absent for images.
    pub runtime: Option<Runtime>,
    pub handler: Option<String>,
    pub role: String,
    pub description: String,
    pub timeout_s: u32,
    pub memory_mb: u32,
    pub ephemeral_storage_mb: u32,
    pub architecture: Architecture,
    /// `Some` of an empty map is not `None`: AWS shows the one and hides the other.
    pub environment: Option<BTreeMap<String, String>>,
    /// In the order the function lists them; later ones overlay earlier ones.
    pub layers: Vec<LayerUse>,
    pub code: CodeRef,
    /// Milliseconds since the epoch.
    pub last_modified_ms: u64,
    pub state: State,
    /// `None` while the function is being created.
    pub last_update: Option<LastUpdate>,
    pub logging: Logging,
    /// `TracingConfig.Mode`: `PassThrough` or `Active`.
    pub tracing_mode: String,
    /// `SnapStart.ApplyOn`: `None` or `PublishedVersions`.
    pub snap_start: String,
    #[serde(default)]
    pub kms_key_arn: Option<String>,
    #[serde(default)]
    pub dead_letter_target: Option<String>,
    #[serde(default)]
    pub vpc: Option<Vpc>,
    /// Members that are stored and shown but change nothing here, by their AWS name
    /// (`FileSystemConfigs`, `ImageConfig`, `TenancyConfig` …).
    #[serde(default)]
    pub shown_only: BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PackageType {
    Zip,
    Image,
}

/// A zip in the blob store, which is also a tree in the node's cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeRef {
    pub digest: Digest,
    pub zip_bytes: u64,
    pub unzipped_bytes: u64,
}

/// A layer version as a function uses it; it goes on working when the layer version is deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerUse {
    pub arn: LayerVersionArn,
    pub code: CodeRef,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    Pending,
    Active,
    Inactive,
    Failed { code: String, reason: String },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LastUpdate {
    Successful,
    InProgress,
    Failed { code: String, reason: String },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logging {
    /// `Text` or `JSON`.
    pub format: String,
    pub group: String,
    #[serde(default)]
    pub application_level: Option<String>,
    #[serde(default)]
    pub system_level: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vpc {
    pub subnet_ids: Vec<String>,
    pub security_group_ids: Vec<String>,
    #[serde(default)]
    pub ipv6: bool,
}

/// A layer: which versions exist, and the highest number ever given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRecord {
    pub last_version: u64,
    /// The versions that are not deleted, ascending.
    pub versions: Vec<u64>,
}

/// One published version of a layer; never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerVersionRecord {
    pub description: String,
    pub license_info: Option<String>,
    pub compatible_runtimes: Vec<Runtime>,
    pub compatible_architectures: Vec<Architecture>,
    /// Milliseconds since the epoch.
    pub created_ms: u64,
    pub code: CodeRef,
}

/// All functions, of every scope.
pub const FUNCTIONS: &str = "function/";
/// All layer heads, of every scope.
pub const LAYERS: &str = "layer/";
/// All layer versions, of every scope.
pub const LAYER_VERSIONS: &str = "layer-version/";

/// `function/<account>/<region>/`
#[must_use]
pub fn functions_of(scope: &Scope) -> String {
    format!("{FUNCTIONS}{}/{}/", scope.account, scope.region)
}

/// `function/<account>/<region>/<name>`
#[must_use]
pub fn function_key(scope: &Scope, name: &str) -> Key {
    Key::new(format!("{}{name}", functions_of(scope)))
}

/// `layer/<account>/<region>/`
#[must_use]
pub fn layers_of(scope: &Scope) -> String {
    format!("{LAYERS}{}/{}/", scope.account, scope.region)
}

/// `layer/<account>/<region>/<name>`
#[must_use]
pub fn layer_key(layer: &LayerArn) -> Key {
    Key::new(format!("{}{}", layers_of(&layer.scope), layer.name))
}

/// `layer-version/<account>/<region>/<name>/<version, 20 digits>`
#[must_use]
pub fn layer_version_key(arn: &LayerVersionArn) -> Key {
    let Scope { account, region } = &arn.layer.scope;
    let (name, version) = (&arn.layer.name, arn.version);
    Key::new(format!(
        "{LAYER_VERSIONS}{account}/{region}/{name}/{version:020}"
    ))
}

/// Reads the scope and name back out of a function's key.
#[must_use]
pub fn function_of_key(key: &Key) -> Option<FunctionArn> {
    let mut parts = key.as_str().strip_prefix(FUNCTIONS)?.splitn(3, '/');
    let account = parts.next()?.parse().ok()?;
    let region = parts.next()?.parse().ok()?;
    Some(FunctionArn::new(
        &Scope { account, region },
        parts.next()?,
        None,
    ))
}
