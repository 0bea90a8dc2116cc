use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bootlace_control as control;
use bootlace_control::{LayerVersionView, Listing};
use bootlace_types::{Architecture, Runtime};
use serde::{Deserialize, Serialize};

use super::code::Code;
use super::date;
use super::object::Object;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct PublishLayerVersion {
    description: Option<String>,
    content: Option<Object<Code>>,
    compatible_architectures: Option<Vec<String>>,
    compatible_runtimes: Option<Vec<String>>,
    license_info: Option<String>,
}

impl PublishLayerVersion {
    pub(crate) fn command(self, layer_name: &str) -> control::PublishLayerVersion {
        control::PublishLayerVersion {
            layer_name: layer_name.to_owned(),
            description: self.description,
            content: self.content.map(|Object(code)| code.source()),
            compatible_architectures: self.compatible_architectures,
            compatible_runtimes: self.compatible_runtimes,
            license_info: self.license_info,
        }
    }
}

/// What PublishLayerVersion and GetLayerVersion answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct LayerVersion<'a> {
    content: Content<'a>,
    layer_arn: String,
    #[serde(flatten)]
    item: LayerVersionItem<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Content<'a> {
    location: &'a str,
    code_sha256: String,
    code_size: u64,
}

/// `LayerVersionsListItem`
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct LayerVersionItem<'a> {
    layer_version_arn: String,
    version: u64,
    description: &'a str,
    created_date: String,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    compatible_runtimes: &'a [Runtime],
    #[serde(skip_serializing_if = "Option::is_none")]
    license_info: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    compatible_architectures: &'a [Architecture],
}

impl<'a> LayerVersionItem<'a> {
    fn of(view: &'a LayerVersionView) -> Self {
        let record = &view.record;
        Self {
            layer_version_arn: view.arn.to_string(),
            version: view.arn.version,
            description: &record.description,
            created_date: date(record.created_ms),
            compatible_runtimes: &record.compatible_runtimes,
            license_info: record.license_info.as_deref(),
            compatible_architectures: &record.compatible_architectures,
        }
    }
}

impl<'a> LayerVersion<'a> {
    pub(crate) fn of(view: &'a LayerVersionView, location: &'a str) -> Self {
        let code = &view.record.code;
        Self {
            content: Content {
                location,
                code_sha256: STANDARD.encode(code.digest.0),
                code_size: code.zip_bytes,
            },
            layer_arn: view.arn.layer.to_string(),
            item: LayerVersionItem::of(view),
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct LayerList<'a> {
    layers: Vec<LayerItem<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct LayerItem<'a> {
    layer_name: &'a str,
    layer_arn: String,
    latest_matching_version: LayerVersionItem<'a>,
}

impl<'a> LayerList<'a> {
    pub(crate) fn of(listing: &'a Listing<LayerVersionView>) -> Self {
        let item = |view: &'a LayerVersionView| LayerItem {
            layer_name: &view.arn.layer.name,
            layer_arn: view.arn.layer.to_string(),
            latest_matching_version: LayerVersionItem::of(view),
        };
        Self {
            layers: listing.items.iter().map(item).collect(),
            next_marker: listing.next.as_deref(),
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct LayerVersionList<'a> {
    layer_versions: Vec<LayerVersionItem<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<&'a str>,
}

impl<'a> LayerVersionList<'a> {
    pub(crate) fn of(listing: &'a Listing<LayerVersionView>) -> Self {
        Self {
            layer_versions: listing.items.iter().map(LayerVersionItem::of).collect(),
            next_marker: listing.next.as_deref(),
        }
    }
}
