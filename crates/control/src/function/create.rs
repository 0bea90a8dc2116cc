use std::sync::Arc;

use bootlace_store::Expect;
use bootlace_store::record::{
    CodeRef, FunctionConfig, FunctionRecord, Logging, PackageType, State, function_key,
};
use bootlace_types::{Architecture, Qualifier, RevisionId, Scope, clock, limits};

use super::{FunctionView, layers, settings, settle};
use crate::code::{Source, check_direct_size};
use crate::validation::{Given, broken_pattern, check, rules, table};
use crate::{Committed, ControlError, ControlPlane, CreateFunction, names};

impl ControlPlane {
    /// CreateFunction: the function with its first code, in the state Pending.
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub async fn create_function(
        self: &Arc<Self>,
        scope: &Scope,
        command: CreateFunction,
    ) -> Result<Committed<FunctionView>, ControlError> {
        let name = check_request(scope, &command)?;
        let key = function_key(scope, &name);
        if self.read::<FunctionRecord>(&key).await?.is_some() {
            return Err(already_exists(&name));
        }
        let architecture =
            settings::architecture(command.architectures.as_ref()).unwrap_or(Architecture::X86_64);
        let arns = command.settings.layers.as_deref().unwrap_or_default();
        let found = self.find_layers(scope, arns).await?;
        found.check_architecture(architecture)?;
        let mut config = defaults(&name, architecture);
        settings::apply(&command.settings, &mut config)?;
        let source = Source::choose(command.code.unwrap_or_default(), "function code")?;
        check_direct_size(&source)?;
        config.code = self
            .ingest(source, layers::room_beside(&found.uses)?)
            .await?;
        config.layers = found.uses;
        self.check_storage(scope, &config.code, 0)?;
        let record = FunctionRecord {
            latest: config.clone(),
            last_version: 0,
            tags: command.tags.unwrap_or_default(),
            reserved_concurrency: None,
        };
        let (plane, owner) = (Arc::clone(self), scope.clone());
        let committed = settle::to_the_end(async move {
            let Some(rev) = plane.put(&key, Expect::Absent, &record).await? else {
                return Err(already_exists(&name));
            };
            plane.usage.code(&owner, config.code.zip_bytes, 0);
            plane.usage.function_made(&owner);
            let value = FunctionView::latest(&owner, &name, None, config);
            settle::later(&plane, key);
            Ok(Committed { value, rev })
        });
        committed.await
    }
}

fn already_exists(name: &str) -> ControlError {
    ControlError::Conflict(format!("Function already exist: {name}"))
}

/// All that can be said without looking at anything stored; gives the bare name.
fn check_request(scope: &Scope, command: &CreateFunction) -> Result<Box<str>, ControlError> {
    let code = command.code.as_ref();
    let given = |path| match path {
        "functionName" => command.function_name.as_ref().into(),
        "code" => code.map_or(Given::Absent, |_| Given::Present),
        "packageType" => command.package_type.as_ref().into(),
        "architectures" => command.architectures.as_ref().into(),
        "publishTo" => command.publish_to.as_ref().into(),
        "tags" => command.tags.as_ref().into(),
        "codeSigningConfigArn" => command.code_signing_config_arn.as_ref().into(),
        "code.s3Bucket" => code.and_then(|code| code.s3.bucket.as_ref()).into(),
        "code.s3Key" => code.and_then(|code| code.s3.key.as_ref()).into(),
        "code.s3ObjectVersion" => code.and_then(|code| code.s3.version.as_ref()).into(),
        "code.s3ObjectStorageMode" => code.and_then(|code| code.s3.storage_mode.as_ref()).into(),
        "code.sourceKMSKeyArn" => code
            .and_then(|code| code.source_kms_key_arn.as_ref())
            .into(),
        path => settings::given(&command.settings, path),
    };
    check(
        &[
            table::CREATE_FUNCTION,
            table::FUNCTION_CODE,
            table::SETTINGS,
        ],
        given,
    )?;

    let full = command.function_name.as_deref().unwrap_or_default();
    let target = names::function(scope, "CreateFunction", full, None)?;
    if !matches!(target.qualifier, None | Some(Qualifier::Latest)) {
        return Err(broken_pattern("functionName", full));
    }
    if target.name.len() > limits::FUNCTION_NAME_CHARS {
        return Err(ControlError::InvalidParameter(format!(
            "1 validation error detected: Value '{}' at 'functionName' failed to satisfy \
             constraint: Member must have length less than or equal to {}",
            target.name,
            limits::FUNCTION_NAME_CHARS
        )));
    }
    if command.package_type.as_deref() == Some("Image") {
        return Err(ControlError::NotBuilt(
            "PackageType Image (functions from container images)",
        ));
    }
    if command.publish || command.publish_to.is_some() {
        return Err(ControlError::NotBuilt(
            "Publish (published versions of functions)",
        ));
    }
    let settings = &command.settings;
    rules::runtime_and_handler(settings.runtime.as_deref(), settings.handler.as_deref())?;
    settings::check(settings)?;
    rules::tags(
        command
            .tags
            .as_ref()
            .unwrap_or(&std::collections::BTreeMap::new()),
    )?;
    match command.code_signing_config_arn.as_deref() {
        // None can exist yet, so none is found.
        Some(arn) if !arn.is_empty() => Err(ControlError::CodeSigningConfigNotFound(format!(
            "The code signing configuration cannot be found. Check that the provided \
             configuration is not deleted: {arn}."
        ))),
        _ => Ok(target.name),
    }
}

fn defaults(name: &str, architecture: Architecture) -> FunctionConfig {
    FunctionConfig {
        revision_id: RevisionId::random(),
        package_type: PackageType::Zip,
        runtime: None,
        handler: None,
        role: String::new(),
        description: String::new(),
        timeout_s: limits::TIMEOUT_DEFAULT_S,
        memory_mb: limits::MEMORY_DEFAULT_MB,
        ephemeral_storage_mb: limits::EPHEMERAL_STORAGE_DEFAULT_MB,
        architecture,
        environment: None,
        layers: Vec::new(),
        // Replaced by the code that the request brings.
        code: CodeRef {
            digest: bootlace_types::Digest([0; 32]),
            zip_bytes: 0,
            unzipped_bytes: 0,
        },
        last_modified_ms: clock::epoch_ms(clock::wall()),
        state: State::Pending,
        last_update: None,
        logging: Logging {
            format: "Text".into(),
            group: format!("/aws/lambda/{name}"),
            application_level: None,
            system_level: None,
        },
        tracing_mode: "PassThrough".into(),
        snap_start: "None".into(),
        kms_key_arn: None,
        dead_letter_target: None,
        vpc: None,
        shown_only: std::collections::BTreeMap::new(),
    }
}
