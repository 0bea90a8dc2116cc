use bootlace_store::record::{LayerVersionRecord, layer_version_key};
use bootlace_types::{LayerVersionArn, Scope};

use super::LayerVersionView;
use crate::names::no_such_resource;
use crate::validation::{Given, check, table};
use crate::{ControlError, ControlPlane, names};

impl ControlPlane {
    /// GetLayerVersion.
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub async fn get_layer_version(
        &self,
        scope: &Scope,
        layer_name: &str,
        version: i64,
    ) -> Result<LayerVersionView, ControlError> {
        let arn = find_arn(scope, "GetLayerVersion", layer_name, version)?;
        self.layer_version(arn).await
    }

    /// GetLayerVersionByArn.
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub async fn get_layer_version_by_arn(
        &self,
        scope: &Scope,
        arn: Option<&str>,
    ) -> Result<LayerVersionView, ControlError> {
        check(&[table::LAYER_VERSION_BY_ARN], |_| {
            arn.map_or(Given::Absent, Given::Text)
        })?;
        let text = arn.unwrap_or_default();
        // What the pattern lets through beside layer versions are layers of AWS's own.
        let arn: LayerVersionArn = text.parse().map_err(|_| no_such_resource())?;
        names::own_layer(scope, "GetLayerVersion", &arn.layer, text)?;
        self.layer_version(arn).await
    }

    async fn layer_version(&self, arn: LayerVersionArn) -> Result<LayerVersionView, ControlError> {
        let found = self
            .read::<LayerVersionRecord>(&layer_version_key(&arn))
            .await?;
        let (record, _) = found.ok_or_else(no_such_resource)?;
        Ok(LayerVersionView { arn, record })
    }
}

/// The layer version that a name and a number mean.
pub(super) fn find_arn(
    scope: &Scope,
    operation: &str,
    layer_name: &str,
    version: i64,
) -> Result<LayerVersionArn, ControlError> {
    check(&[table::EXISTING_LAYER], |_| Given::Text(layer_name))?;
    let layer = names::layer(scope, operation, layer_name)?;
    match u64::try_from(version) {
        Ok(version) if version >= 1 => Ok(layer.version(version)),
        _ => Err(ControlError::InvalidParameter(
            "Layer Version Cannot be less than 1".into(),
        )),
    }
}
