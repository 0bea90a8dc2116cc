use bootlace_store::record::{
    LayerRecord, LayerVersionRecord, layer_key, layer_version_key, layers_of,
};
use bootlace_store::{Entry, Key};
use bootlace_types::{Architecture, LayerArn, Runtime, Scope, limits};

use super::LayerVersionView;
use crate::marker::{self, List};
use crate::plane::decode;
use crate::validation::{Given, check, table};
use crate::{ControlError, ControlPlane, LayerQuery, Listing, names};

/// Which versions a list shows.
#[derive(Debug, Clone, Copy)]
struct Filter {
    runtime: Option<Runtime>,
    architecture: Option<Architecture>,
}

impl Filter {
    fn of(query: &LayerQuery) -> Self {
        Self {
            runtime: query
                .compatible_runtime
                .as_deref()
                .and_then(|id| id.parse().ok()),
            architecture: query
                .compatible_architecture
                .as_deref()
                .and_then(|id| id.parse().ok()),
        }
    }

    fn shows(self, record: &LayerVersionRecord) -> bool {
        self.runtime
            .is_none_or(|runtime| record.compatible_runtimes.contains(&runtime))
            && self
                .architecture
                .is_none_or(|a| record.compatible_architectures.contains(&a))
    }
}

impl ControlPlane {
    /// ListLayers: by name, each by its newest version that matches.
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub async fn list_layers(
        &self,
        scope: &Scope,
        query: &LayerQuery,
    ) -> Result<Listing<LayerVersionView>, ControlError> {
        check_query(None, query)?;
        let (filter, size) = (Filter::of(query), page_size(query));
        let mut last = marker::decode(List::Layers, query.marker.as_deref())?;
        let mut items: Vec<LayerVersionView> = Vec::new();
        loop {
            let after = last.take().map(|name| layer_key(&layer(scope, &name)));
            let page = self.scan_layers(scope, after.as_ref()).await?;
            for entry in &page.entries {
                let name = entry.key.as_str().rsplit('/').next().unwrap_or_default();
                if items.len() == size {
                    let shown = items.last().map(|item| &item.arn.layer.name);
                    let next = shown.map(|name| marker::encode(List::Layers, name));
                    return Ok(Listing { items, next });
                }
                if let Some(latest) = self.newest(&layer(scope, name), entry, filter).await? {
                    items.push(latest);
                }
                last = Some(name.to_owned());
            }
            if !page.more {
                return Ok(Listing { items, next: None });
            }
        }
    }

    async fn scan_layers(
        &self,
        scope: &Scope,
        after: Option<&Key>,
    ) -> Result<bootlace_store::Page, ControlError> {
        let limit = u32::try_from(limits::LIST_PAGE).unwrap_or(u32::MAX);
        Ok(self.store.kv.scan(&layers_of(scope), after, limit).await?)
    }

    /// The newest version of a layer that the filter shows.
    async fn newest(
        &self,
        layer: &LayerArn,
        head: &Entry,
        filter: Filter,
    ) -> Result<Option<LayerVersionView>, ControlError> {
        let head: LayerRecord = decode(head)?;
        for version in head.versions.iter().rev() {
            let arn = layer.clone().version(*version);
            let found = self
                .read::<LayerVersionRecord>(&layer_version_key(&arn))
                .await?;
            if let Some((record, _)) = found.filter(|(record, _)| filter.shows(record)) {
                return Ok(Some(LayerVersionView { arn, record }));
            }
        }
        Ok(None)
    }

    /// ListLayerVersions: newest first; none for a layer that does not exist.
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub async fn list_layer_versions(
        &self,
        scope: &Scope,
        layer_name: &str,
        query: &LayerQuery,
    ) -> Result<Listing<LayerVersionView>, ControlError> {
        check_query(Some(layer_name), query)?;
        let layer = names::layer(scope, "ListLayerVersions", layer_name)?;
        let (filter, size) = (Filter::of(query), page_size(query));
        let marker = marker::decode(List::LayerVersions, query.marker.as_deref())?;
        let before = match marker.map(|text| text.parse::<u64>()) {
            Some(Ok(before)) => before,
            Some(Err(_)) => {
                return Err(ControlError::InvalidParameter(
                    "Marker is not one that this list gave".into(),
                ));
            }
            None => u64::MAX,
        };
        let found = self.read::<LayerRecord>(&layer_key(&layer)).await?;
        let versions = found.map(|(head, _)| head.versions).unwrap_or_default();
        let mut items: Vec<LayerVersionView> = Vec::new();
        for version in versions
            .into_iter()
            .rev()
            .filter(|version| *version < before)
        {
            let arn = layer.clone().version(version);
            let found = self
                .read::<LayerVersionRecord>(&layer_version_key(&arn))
                .await?;
            let Some((record, _)) = found.filter(|(record, _)| filter.shows(record)) else {
                continue;
            };
            if items.len() == size {
                let shown = items.last().map(|item| item.arn.version.to_string());
                let next = shown.map(|version| marker::encode(List::LayerVersions, &version));
                return Ok(Listing { items, next });
            }
            items.push(LayerVersionView { arn, record });
        }
        Ok(Listing { items, next: None })
    }
}

fn layer(scope: &Scope, name: &str) -> LayerArn {
    LayerArn {
        scope: scope.clone(),
        name: name.into(),
    }
}

fn page_size(query: &LayerQuery) -> usize {
    let asked = query
        .max_items
        .and_then(|items| usize::try_from(items).ok());
    asked.unwrap_or(limits::LIST_PAGE).min(limits::LIST_PAGE)
}

fn check_query(layer_name: Option<&str>, query: &LayerQuery) -> Result<(), ControlError> {
    check(&[table::LIST_LAYERS], |path| match path {
        "layerName" => layer_name.map_or(Given::Absent, Given::Text),
        "compatibleArchitecture" => query.compatible_architecture.as_ref().into(),
        "compatibleRuntime" => query.compatible_runtime.as_ref().into(),
        "maxItems" => query.max_items.into(),
        _ => Given::Absent,
    })
}
