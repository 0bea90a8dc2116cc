use bootlace_store::record::{LayerUse, LayerVersionRecord, layer_version_key};
use bootlace_types::{Architecture, LayerVersionArn, Scope, limits};

use crate::error::unzipped_too_large;
use crate::validation::rules;
use crate::{ControlError, ControlPlane, names};

/// A function's layers, looked up.
#[derive(Debug, Clone, Default)]
pub(super) struct Layers {
    pub(super) uses: Vec<LayerUse>,
    /// Of each layer that names any.
    architectures: Vec<(LayerVersionArn, Vec<Architecture>)>,
}

impl Layers {
    pub(super) fn check_architecture(&self, function: Architecture) -> Result<(), ControlError> {
        self.architectures
            .iter()
            .try_for_each(|(arn, list)| rules::layer_architecture(arn, list, function))
    }
}

/// How much code may unpack to beside these layers; none is left when the layers alone are over.
pub(super) fn room_beside(layers: &[LayerUse]) -> Result<u64, ControlError> {
    let used: u64 = layers.iter().map(|layer| layer.code.unzipped_bytes).sum();
    limits::UNZIPPED_BYTES
        .checked_sub(used)
        .ok_or_else(unzipped_too_large)
}

impl ControlPlane {
    /// Looks up the layers that a function is to use.
    pub(super) async fn find_layers(
        &self,
        scope: &Scope,
        arns: &[String],
    ) -> Result<Layers, ControlError> {
        let mut found = Layers::default();
        for arn in rules::layers(scope, arns)? {
            let text = arn.to_string();
            names::own_layer(scope, "GetLayerVersion", &arn.layer, &text)?;
            let key = layer_version_key(&arn);
            let Some((record, _)) = self.read::<LayerVersionRecord>(&key).await? else {
                return Err(rules::no_such_layer(&text));
            };
            found
                .architectures
                .push((arn.clone(), record.compatible_architectures));
            found.uses.push(LayerUse {
                arn,
                code: record.code,
            });
        }
        Ok(found)
    }

    /// Whether the layers that a function uses already also serve another architecture. A layer
    /// version that has been deleted since says nothing any more.
    pub(super) async fn check_used_layers(
        &self,
        layers: &[LayerUse],
        function: Architecture,
    ) -> Result<(), ControlError> {
        for layer in layers {
            let key = layer_version_key(&layer.arn);
            if let Some((record, _)) = self.read::<LayerVersionRecord>(&key).await? {
                let compatible = &record.compatible_architectures;
                rules::layer_architecture(&layer.arn, compatible, function)?;
            }
        }
        Ok(())
    }
}
