use std::sync::Arc;

use bootlace_store::record::CodeRef;
use bootlace_store::{CommitError, Entry, Expect, Key, Rev, Store, StoreError, Txn};
use bootlace_types::{Digest, Scope, limits};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use crate::error::commit_failed;
use crate::s3::S3Endpoint;
use crate::usage::Usage;
use crate::{ControlError, function};

/// How often a compare-and-swap is tried again before its caller is told that there are too many
/// writers. Each round lets one of them through, so this bounds the writers of one document.
pub(crate) const ATTEMPTS: u32 = 256;

/// What the control plane is told when it starts.
#[derive(Debug, Clone)]
pub struct ControlOptions {
    /// Where `S3Bucket` and `S3Key` are looked up; without it they are refused.
    pub s3: Option<S3Endpoint>,
    /// Code of one account and region, bytes.
    pub code_storage_bytes: u64,
    /// Concurrent executions of one account, as GetAccountSettings reports them.
    pub account_concurrency: u32,
}

impl Default for ControlOptions {
    fn default() -> Self {
        Self {
            s3: None,
            code_storage_bytes: limits::CODE_STORAGE_BYTES,
            account_concurrency: limits::ACCOUNT_CONCURRENCY,
        }
    }
}

/// The use cases. Each method is an AWS operation; `scope` is the caller's account and region.
#[derive(Debug)]
pub struct ControlPlane {
    pub(crate) store: Store,
    pub(crate) options: ControlOptions,
    pub(crate) usage: Usage,
    /// Packages from S3 are as large as unzipped code may be, and each is in memory as a whole.
    pub(crate) fetches: Semaphore,
}

/// What an operation gave, and the revision from which on everybody may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed<T> {
    pub value: T,
    pub rev: Rev,
}

/// One page of a list; `next` is the marker of the following one.
#[derive(Debug, Clone)]
pub struct Listing<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
}

/// The length of a blob, and its bytes piece by piece.
pub type BlobStream = (u64, BoxStream<'static, Result<Bytes, StoreError>>);

impl ControlPlane {
    #[must_use]
    pub fn new(store: Store, options: ControlOptions) -> Arc<Self> {
        Arc::new(Self {
            store,
            options,
            usage: Usage::default(),
            fetches: Semaphore::new(limits::S3_FETCHES),
        })
    }

    /// Finishes the transitions that a crash left open, and counts the stored code. To be called
    /// once, before the first request.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn recover(self: &Arc<Self>) -> Result<(), ControlError> {
        self.usage.count(&self.store).await?;
        function::settle_all(self).await
    }

    /// A zip that GetFunction or GetLayerVersion named by its digest.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn content(&self, digest: &Digest) -> Result<Option<BlobStream>, ControlError> {
        Ok(self.store.blobs.get_stream(digest).await?)
    }

    /// Empties the store.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn reset(&self) -> Result<Rev, ControlError> {
        let rev = self.store.reset().await?;
        self.usage.clear();
        Ok(rev)
    }

    /// Whether code may be stored, in the place of so many bytes. Uploads that run at once may
    /// each find room: the limit can be passed by what is on its way, never by more.
    pub(crate) fn check_storage(
        &self,
        scope: &Scope,
        code: &CodeRef,
        replaced_bytes: u64,
    ) -> Result<(), ControlError> {
        let used = self.usage.of(scope).code_bytes;
        let after = used
            .saturating_add(code.zip_bytes)
            .saturating_sub(replaced_bytes);
        if after > self.options.code_storage_bytes {
            return Err(ControlError::CodeStorageExceeded);
        }
        Ok(())
    }

    /// Reads one document with the revision that wrote it.
    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        key: &Key,
    ) -> Result<Option<(T, Rev)>, ControlError> {
        let entry = self.store.kv.get(key).await?;
        entry
            .map(|entry| Ok((decode(&entry)?, entry.rev)))
            .transpose()
    }

    /// Commits one document under an expectation; `None` when the expectation does not hold.
    pub(crate) async fn put<T: Serialize>(
        &self,
        key: &Key,
        expect: Expect,
        value: &T,
    ) -> Result<Option<Rev>, ControlError> {
        let txn = Txn {
            checks: vec![(key.clone(), expect)],
            puts: vec![(key.clone(), encode(value)?)],
            ..Txn::default()
        };
        self.commit(txn).await
    }

    /// Commits; `None` when something has changed since it was read, or may have.
    pub(crate) async fn commit(&self, txn: Txn) -> Result<Option<Rev>, ControlError> {
        match self.store.kv.commit(txn).await {
            Ok(rev) => Ok(Some(rev)),
            Err(CommitError::Conflict(_)) => Ok(None),
            Err(error) => Err(commit_failed(error)),
        }
    }
}

pub(crate) fn decode<T: DeserializeOwned>(entry: &Entry) -> Result<T, ControlError> {
    serde_json::from_slice(&entry.value).map_err(|error| {
        ControlError::Internal(format!(
            "the document {} cannot be read: {error}",
            entry.key
        ))
    })
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Bytes, ControlError> {
    serde_json::to_vec(value)
        .map(Bytes::from)
        .map_err(|error| ControlError::Internal(format!("a document cannot be written: {error}")))
}
