use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bootlace_store::record::{
    FUNCTIONS, FunctionRecord, LAYER_VERSIONS, LayerVersionRecord, function_of_key,
};
use bootlace_store::{Entry, Key, Store};
use bootlace_types::{AccountId, Region, Scope, limits};

use crate::ControlError;
use crate::plane::decode;

/// What one account uses in one region.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) code_bytes: u64,
    pub(crate) functions: u64,
}

/// The stored code of every account and region: counted once at start-up, and from then on changed
/// with every commit, whose compare-and-swap says exactly what it replaced.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    scopes: Mutex<HashMap<Scope, Used>>,
}

impl Usage {
    pub(crate) fn of(&self, scope: &Scope) -> Used {
        let scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        scopes.get(scope).copied().unwrap_or_default()
    }

    /// Code was added, replaced or removed.
    pub(crate) fn code(&self, scope: &Scope, added_bytes: u64, removed_bytes: u64) {
        self.change(scope, |used| {
            used.code_bytes = (used.code_bytes + added_bytes).saturating_sub(removed_bytes);
        });
    }

    pub(crate) fn function_made(&self, scope: &Scope) {
        self.change(scope, |used| used.functions += 1);
    }

    pub(crate) fn function_deleted(&self, scope: &Scope) {
        self.change(scope, |used| {
            used.functions = used.functions.saturating_sub(1)
        });
    }

    pub(crate) fn clear(&self) {
        self.scopes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    fn change(&self, scope: &Scope, change: impl FnOnce(&mut Used)) {
        let mut scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(used) = scopes.get_mut(scope) {
            return change(used);
        }
        change(scopes.entry(scope.clone()).or_default());
    }

    pub(crate) async fn count(&self, store: &Store) -> Result<(), ControlError> {
        self.clear();
        for_each(store, FUNCTIONS, |entry| {
            let record: FunctionRecord = decode(entry)?;
            if let Some(function) = function_of_key(&entry.key) {
                self.code(&function.scope, record.latest.code.zip_bytes, 0);
                self.function_made(&function.scope);
            }
            Ok(())
        })
        .await?;
        for_each(store, LAYER_VERSIONS, |entry| {
            let record: LayerVersionRecord = decode(entry)?;
            if let Some(scope) = scope_of(&entry.key) {
                self.code(&scope, record.code.zip_bytes, 0);
            }
            Ok(())
        })
        .await
    }
}

/// `layer-version/<account>/<region>/…`
fn scope_of(key: &Key) -> Option<Scope> {
    let mut parts = key.as_str().strip_prefix(LAYER_VERSIONS)?.split('/');
    let account: AccountId = parts.next()?.parse().ok()?;
    let region: Region = parts.next()?.parse().ok()?;
    Some(Scope { account, region })
}

/// Calls `visit` for every document under a prefix, a page at a time.
pub(crate) async fn for_each(
    store: &Store,
    prefix: &str,
    mut visit: impl FnMut(&Entry) -> Result<(), ControlError>,
) -> Result<(), ControlError> {
    let mut after: Option<Key> = None;
    loop {
        let limit = limits::SCAN_PAGE_ENTRIES;
        let page = store.kv.scan(prefix, after.as_ref(), limit).await?;
        for entry in &page.entries {
            visit(entry)?;
        }
        if !page.more {
            return Ok(());
        }
        after = page.entries.last().map(|entry| entry.key.clone());
    }
}
