use std::collections::HashSet;
use std::time::Duration;

use bootlace_types::Digest;
use futures_util::TryStreamExt as _;

use crate::{Store, StoreError};

/// What a collection removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collected {
    pub blobs: u64,
    pub blob_bytes: u64,
    pub trees: u64,
}

impl Store {
    /// Every digest that a document names, as of one revision: whatever text in it looks like a
    /// digest counts, so that a record of any shape keeps its blobs.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn referenced(&self) -> Result<HashSet<Digest>, StoreError> {
        self.kv
            .fold_values(HashSet::new(), |found, value| {
                found.extend(digests_in(value))
            })
            .await
    }

    /// Removes the blobs and trees that are not `referenced`, unless they were stored, or (trees)
    /// last seen referenced, within `grace`. The grace must be longer than the time between an
    /// upload and the commit that names it, and than the longest invocation.
    ///
    /// # Errors
    ///
    /// The store failed; what was removed until then is garbage all the same.
    pub async fn collect_garbage(
        &self,
        referenced: &HashSet<Digest>,
        grace: Duration,
    ) -> Result<Collected, StoreError> {
        let mut collected = Collected::default();
        let mut blobs = self.blobs.list();
        while let Some(blob) = blobs.try_next().await? {
            if !referenced.contains(&blob.digest) && self.blobs.sweep(&blob.digest, grace).await? {
                collected.blobs += 1;
                collected.blob_bytes += blob.bytes;
            }
        }
        collected.trees = self.trees.sweep(referenced, grace).await?;
        Ok(collected)
    }
}

/// Runs of exactly 64 lower-case hexadecimal digits.
fn digests_in(text: &[u8]) -> impl Iterator<Item = Digest> {
    let runs = text.split(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let digests = runs.filter(|run| run.len() == 64);
    digests.filter_map(|run| std::str::from_utf8(run).ok()?.parse().ok())
}
