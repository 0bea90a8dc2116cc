use std::sync::Arc;

use bootlace_store::record::{FunctionConfig, FunctionRecord, LastUpdate, State, function_key};
use bootlace_store::{Expect, Rev, Txn};
use bootlace_types::{FunctionArn, Qualifier, RevisionId, Scope, clock};

use super::{FunctionView, layers, settings, settle};
use crate::code::{Source, check_direct_size};
use crate::names::{Target, no_such_function};
use crate::plane::ATTEMPTS;
use crate::validation::{check, table};
use crate::{
    Committed, ControlError, ControlPlane, FunctionQuery, UpdateFunctionCode,
    UpdateFunctionConfiguration, names,
};

impl ControlPlane {
    /// UpdateFunctionConfiguration: changes what was given of `$LATEST`.
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub async fn update_function_configuration(
        self: &Arc<Self>,
        scope: &Scope,
        command: UpdateFunctionConfiguration,
    ) -> Result<Committed<FunctionView>, ControlError> {
        let UpdateFunctionConfiguration {
            function_name,
            settings,
            revision_id,
        } = command;
        let given = |path| match path {
            "functionName" => crate::validation::Given::Text(&function_name),
            path => settings::given(&settings, path),
        };
        check(
            &[table::UPDATE_FUNCTION_CONFIGURATION, table::SETTINGS],
            given,
        )?;
        let target = names::function(scope, "UpdateFunctionConfiguration", &function_name, None)?;
        let (record, _) = self
            .changeable(scope, &target, revision_id.as_deref())
            .await?;
        settings::check(&settings)?;
        let found = match &settings.layers {
            Some(arns) => Some(self.find_layers(scope, arns).await?),
            None => None,
        };
        // Refused before the loop, so that the loop only repeats what has passed once.
        let change = move |config: &mut FunctionConfig| {
            settings::apply(&settings, config)?;
            if let Some(found) = &found {
                found.check_architecture(config.architecture)?;
                let room = layers::room_beside(&found.uses)?;
                if config.code.unzipped_bytes > room {
                    return Err(crate::error::unzipped_too_large());
                }
                config.layers.clone_from(&found.uses);
            }
            Ok(())
        };
        change(&mut record.latest.clone())?;
        self.change(scope, target, revision_id, change).await
    }

    /// UpdateFunctionCode: replaces the code of `$LATEST`, or with `dry_run` only says what would
    /// become of it.
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub async fn update_function_code(
        self: &Arc<Self>,
        scope: &Scope,
        command: UpdateFunctionCode,
    ) -> Result<Committed<FunctionView>, ControlError> {
        let given = |path| match path {
            "functionName" => crate::validation::Given::Text(&command.function_name),
            "architectures" => command.architectures.as_ref().into(),
            "publishTo" => command.publish_to.as_ref().into(),
            "s3Bucket" => command.code.s3.bucket.as_ref().into(),
            "s3Key" => command.code.s3.key.as_ref().into(),
            "s3ObjectVersion" => command.code.s3.version.as_ref().into(),
            "s3ObjectStorageMode" => command.code.s3.storage_mode.as_ref().into(),
            "sourceKMSKeyArn" => command.code.source_kms_key_arn.as_ref().into(),
            _ => crate::validation::Given::Absent,
        };
        check(&[table::UPDATE_FUNCTION_CODE, table::FLAT_CODE], given)?;
        let target = names::function(scope, "UpdateFunctionCode", &command.function_name, None)?;
        if command.publish || command.publish_to.is_some() {
            return Err(ControlError::NotBuilt(
                "Publish (published versions of functions)",
            ));
        }
        let revision_id = command.revision_id;
        let (record, rev) = self
            .changeable(scope, &target, revision_id.as_deref())
            .await?;
        if command.code.image_uri.is_some() {
            return Err(ControlError::InvalidParameter(
                "Please don't provide ImageUri when updating a function with packageType Zip."
                    .into(),
            ));
        }
        let architecture = settings::architecture(command.architectures.as_ref())
            .unwrap_or(record.latest.architecture);
        if architecture != record.latest.architecture {
            self.check_used_layers(&record.latest.layers, architecture)
                .await?;
        }
        let source = Source::choose(command.code, "function code")?;
        check_direct_size(&source)?;
        let code = self
            .ingest(source, layers::room_beside(&record.latest.layers)?)
            .await?;
        self.check_storage(scope, &code, record.latest.code.zip_bytes)?;
        let change = move |config: &mut FunctionConfig| {
            if code.unzipped_bytes > layers::room_beside(&config.layers)? {
                return Err(crate::error::unzipped_too_large());
            }
            config.code = code;
            config.architecture = architecture;
            Ok(())
        };
        if command.dry_run {
            let mut config = record.latest;
            change(&mut config)?;
            let value = FunctionView::latest(scope, &target.name, target.qualifier, config);
            return Ok(Committed { value, rev });
        }
        self.change(scope, target, revision_id, change).await
    }

    /// DeleteFunction: the function with all that belongs to it.
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub async fn delete_function(
        self: &Arc<Self>,
        scope: &Scope,
        query: &FunctionQuery,
    ) -> Result<Committed<()>, ControlError> {
        let target = query.resolve(scope, "DeleteFunction")?;
        let refuse = |text: &str| Err(ControlError::InvalidParameter(text.into()));
        let unqualified = Target {
            name: target.name,
            qualifier: None,
        };
        match target.qualifier {
            None => {}
            Some(Qualifier::Latest) => {
                return refuse("$LATEST version cannot be deleted without deleting the function.");
            }
            Some(Qualifier::Alias(name)) if !name.contains('$') => {
                return refuse("Deletion of aliases is not currently supported.");
            }
            // No version has ever been published, so none is found.
            Some(_) => return Err(no_such_function(scope, &unqualified)),
        }
        let key = function_key(scope, &unqualified.name);
        let (plane, scope) = (Arc::clone(self), scope.clone());
        settle::to_the_end(async move {
            for _ in 0..ATTEMPTS {
                let Some((record, rev)) = plane.read::<FunctionRecord>(&key).await? else {
                    return Err(no_such_function(&scope, &unqualified));
                };
                let txn = Txn {
                    checks: vec![(key.clone(), Expect::Rev(rev))],
                    deletes: vec![key.clone()],
                    ..Txn::default()
                };
                if let Some(rev) = plane.commit(txn).await? {
                    plane.usage.code(&scope, 0, record.latest.code.zip_bytes);
                    plane.usage.function_deleted(&scope);
                    return Ok(Committed { value: (), rev });
                }
            }
            Err(ControlError::TooManyWriters)
        })
        .await
    }

    /// Reads a function that is about to be changed, and refuses when it cannot be now.
    async fn changeable(
        &self,
        scope: &Scope,
        target: &Target,
        revision_id: Option<&str>,
    ) -> Result<(FunctionRecord, Rev), ControlError> {
        let key = function_key(scope, &target.name);
        let found = self.read::<FunctionRecord>(&key).await?;
        let known = matches!(target.qualifier, None | Some(Qualifier::Latest));
        let Some((record, rev)) = found.filter(|_| known) else {
            return Err(no_such_function(scope, target));
        };
        check_changeable(scope, &target.name, &record.latest, revision_id)?;
        Ok((record, rev))
    }

    /// Changes `$LATEST` by compare-and-swap and lets the transition run.
    async fn change(
        self: &Arc<Self>,
        scope: &Scope,
        target: Target,
        revision_id: Option<String>,
        change: impl Fn(&mut FunctionConfig) -> Result<(), ControlError> + Send + Sync + 'static,
    ) -> Result<Committed<FunctionView>, ControlError> {
        let (plane, scope) = (Arc::clone(self), scope.clone());
        settle::to_the_end(async move {
            let key = function_key(&scope, &target.name);
            for _ in 0..ATTEMPTS {
                let (mut record, read) = plane
                    .changeable(&scope, &target, revision_id.as_deref())
                    .await?;
                let old_bytes = record.latest.code.zip_bytes;
                change(&mut record.latest)?;
                record.latest.revision_id = RevisionId::random();
                record.latest.last_modified_ms = clock::epoch_ms(clock::wall());
                record.latest.last_update = Some(LastUpdate::InProgress);
                if let Some(rev) = plane.put(&key, Expect::Rev(read), &record).await? {
                    plane
                        .usage
                        .code(&scope, record.latest.code.zip_bytes, old_bytes);
                    settle::later(&plane, key);
                    let config = record.latest;
                    let Target { name, qualifier } = target;
                    let value = FunctionView::latest(&scope, &name, qualifier, config);
                    return Ok(Committed { value, rev });
                }
            }
            Err(ControlError::TooManyWriters)
        })
        .await
    }
}

fn check_changeable(
    scope: &Scope,
    name: &str,
    config: &FunctionConfig,
    revision_id: Option<&str>,
) -> Result<(), ControlError> {
    let busy = config.last_update == Some(LastUpdate::InProgress);
    if config.state == State::Pending || busy {
        let arn = FunctionArn::new(scope, name, None);
        return Err(ControlError::Conflict(format!(
            "The operation cannot be performed at this time. An update is in progress for \
             resource: {arn}"
        )));
    }
    match revision_id {
        Some(given) if given != config.revision_id.to_string() => Err(ControlError::StaleRevision),
        _ => Ok(()),
    }
}
