use std::sync::Arc;

use bootlace_store::record::{LayerRecord, LayerVersionRecord, layer_key, layer_version_key};
use bootlace_store::{Expect, Rev, Txn};
use bootlace_types::{LayerArn, Scope, clock, limits};

use super::LayerVersionView;
use crate::code::{Source, check_direct_size};
use crate::function::to_the_end;
use crate::plane::{ATTEMPTS, encode};
use crate::validation::{Given, check, rules, table};
use crate::{Committed, ControlError, ControlPlane, PublishLayerVersion, names};

impl ControlPlane {
    /// PublishLayerVersion: the next version of a layer, which never changes again.
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub async fn publish_layer_version(
        self: &Arc<Self>,
        scope: &Scope,
        command: PublishLayerVersion,
    ) -> Result<Committed<LayerVersionView>, ControlError> {
        check_request(&command)?;
        let arn = names::layer(scope, "PublishLayerVersion", &command.layer_name)?;
        let source = Source::choose(command.content.unwrap_or_default(), "the layer's content")?;
        check_direct_size(&source)?;
        let code = self.ingest(source, limits::UNZIPPED_BYTES).await?;
        self.check_storage(scope, &code, 0)?;
        let runtimes = command.compatible_runtimes.unwrap_or_default();
        let architectures = command.compatible_architectures.unwrap_or_default();
        let record = LayerVersionRecord {
            description: command.description.unwrap_or_default(),
            license_info: command.license_info,
            compatible_runtimes: rules::known_runtimes(&runtimes),
            compatible_architectures: rules::known_architectures(&architectures),
            created_ms: clock::epoch_ms(clock::wall()),
            code,
        };
        let plane = Arc::clone(self);
        to_the_end(async move { plane.number(arn, record).await }).await
    }

    /// Gives a version its number and commits it with the layer's head.
    async fn number(
        &self,
        layer: LayerArn,
        record: LayerVersionRecord,
    ) -> Result<Committed<LayerVersionView>, ControlError> {
        let head_key = layer_key(&layer);
        for _ in 0..ATTEMPTS {
            let found = self.read::<LayerRecord>(&head_key).await?;
            let (mut head, expect) = match found {
                Some((head, rev)) => (head, Expect::Rev(rev)),
                None => (
                    LayerRecord {
                        last_version: 0,
                        versions: Vec::new(),
                    },
                    Expect::Absent,
                ),
            };
            head.last_version += 1;
            head.versions.push(head.last_version);
            let arn = layer.clone().version(head.last_version);
            let key = layer_version_key(&arn);
            let txn = Txn {
                checks: vec![(head_key.clone(), expect), (key.clone(), Expect::Absent)],
                puts: vec![(head_key.clone(), encode(&head)?), (key, encode(&record)?)],
                ..Txn::default()
            };
            if let Some(rev) = self.commit(txn).await? {
                self.usage.code(&arn.layer.scope, record.code.zip_bytes, 0);
                return Ok(Committed {
                    value: LayerVersionView { arn, record },
                    rev,
                });
            }
        }
        Err(ControlError::TooManyWriters)
    }

    /// DeleteLayerVersion; that there is none is fine. Functions that use it go on.
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub async fn delete_layer_version(
        self: &Arc<Self>,
        scope: &Scope,
        layer_name: &str,
        version: i64,
    ) -> Result<Option<Rev>, ControlError> {
        let arn = super::version::find_arn(scope, "DeleteLayerVersion", layer_name, version)?;
        let plane = Arc::clone(self);
        to_the_end(async move {
            let (head_key, key) = (layer_key(&arn.layer), layer_version_key(&arn));
            for _ in 0..ATTEMPTS {
                let Some((mut head, head_rev)) = plane.read::<LayerRecord>(&head_key).await? else {
                    return Ok(None);
                };
                let Some((record, rev)) = plane.read::<LayerVersionRecord>(&key).await? else {
                    return Ok(None);
                };
                // The head stays, empty or not: a number is never given twice.
                head.versions.retain(|version| *version != arn.version);
                let txn = Txn {
                    checks: vec![
                        (head_key.clone(), Expect::Rev(head_rev)),
                        (key.clone(), Expect::Rev(rev)),
                    ],
                    puts: vec![(head_key.clone(), encode(&head)?)],
                    deletes: vec![key.clone()],
                    ..Txn::default()
                };
                if let Some(rev) = plane.commit(txn).await? {
                    plane.usage.code(&arn.layer.scope, 0, record.code.zip_bytes);
                    return Ok(Some(rev));
                }
            }
            Err(ControlError::TooManyWriters)
        })
        .await
    }
}

fn check_request(command: &PublishLayerVersion) -> Result<(), ControlError> {
    let content = command.content.as_ref();
    let given = |path| match path {
        "layerName" => Given::Text(&command.layer_name),
        "description" => command.description.as_ref().into(),
        "content" => content.map_or(Given::Absent, |_| Given::Present),
        "compatibleArchitectures" => command.compatible_architectures.as_ref().into(),
        "compatibleRuntimes" => command.compatible_runtimes.as_ref().into(),
        "licenseInfo" => command.license_info.as_ref().into(),
        "content.s3Bucket" => content.and_then(|code| code.s3.bucket.as_ref()).into(),
        "content.s3Key" => content.and_then(|code| code.s3.key.as_ref()).into(),
        "content.s3ObjectVersion" => content.and_then(|code| code.s3.version.as_ref()).into(),
        "content.s3ObjectStorageMode" => content
            .and_then(|code| code.s3.storage_mode.as_ref())
            .into(),
        _ => Given::Absent,
    };
    check(&[table::PUBLISH_LAYER_VERSION, table::LAYER_CONTENT], given)
}
