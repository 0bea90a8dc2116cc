use bootlace_store::record::{FunctionRecord, function_key, functions_of};
use bootlace_types::{Qualifier, Scope, limits};

use super::FunctionView;
use crate::marker::{self, List};
use crate::plane::decode;
use crate::validation::{Given, check, table};
use crate::{ControlError, ControlPlane, ListFunctions, Listing};

impl ControlPlane {
    /// ListFunctions: by name, 50 on a page at most whatever was asked for.
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub async fn list_functions(
        &self,
        scope: &Scope,
        query: &ListFunctions,
    ) -> Result<Listing<FunctionView>, ControlError> {
        let given = |path| match path {
            "masterRegion" => query.master_region.as_ref().into(),
            "functionVersion" => query.function_version.as_ref().into(),
            "maxItems" => query.max_items.into(),
            _ => Given::Absent,
        };
        check(&[table::LIST_FUNCTIONS], given)?;
        let after = marker::decode(List::Functions, query.marker.as_deref())?;
        if query
            .master_region
            .as_deref()
            .is_some_and(|region| region != "ALL")
        {
            // Asks for replicas of edge functions, and there are none.
            return Ok(Listing {
                items: Vec::new(),
                next: None,
            });
        }
        let size = query
            .max_items
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(usize::MAX);
        let size = u32::try_from(size.min(limits::LIST_PAGE)).unwrap_or(u32::MAX);
        let prefix = functions_of(scope);
        let after = after.map(|name| function_key(scope, &name));
        let page = self.store.kv.scan(&prefix, after.as_ref(), size).await?;
        // With the versions, `$LATEST` is shown as one of them.
        let qualifier = query.function_version.as_ref().map(|_| Qualifier::Latest);
        let mut items = Vec::with_capacity(page.entries.len());
        for entry in &page.entries {
            let name = entry.key.as_str().strip_prefix(&prefix).unwrap_or_default();
            let record: FunctionRecord = decode(entry)?;
            items.push(FunctionView::latest(
                scope,
                name,
                qualifier.clone(),
                record.latest,
            ));
        }
        let last = items.last().filter(|_| page.more);
        let next = last.map(|view| marker::encode(List::Functions, &view.arn.name));
        Ok(Listing { items, next })
    }
}
