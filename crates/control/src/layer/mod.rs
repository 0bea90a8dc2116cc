//! The operations on layers.

mod list;
mod publish;
mod version;

use bootlace_store::record::LayerVersionRecord;
use bootlace_types::LayerVersionArn;

/// One version of a layer as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerVersionView {
    pub arn: LayerVersionArn,
    pub record: LayerVersionRecord,
}
