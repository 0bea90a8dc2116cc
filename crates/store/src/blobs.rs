use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bootlace_types::{Digest, clock};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path as Name;
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode};
use sha2::{Digest as _, Sha256};
use tokio::sync::RwLock;

use crate::{StoreError, files};

/// Bytes under the name of their digest. Clones share it.
#[derive(Debug, Clone)]
pub struct BlobStore {
    inner: Arc<dyn ObjectStore>,
    /// The directory, when the blobs are files.
    root: Option<Arc<Path>>,
    /// A put and the sweep of garbage exclude each other: a blob that a put found present must not
    /// be swept before anything names it.
    gate: Arc<RwLock<()>>,
}

/// A blob as the listing tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobInfo {
    pub digest: Digest,
    pub bytes: u64,
    /// When it was last put, be it present already.
    pub modified: SystemTime,
}

/// The digest of some bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

impl BlobStore {
    /// Blobs as files, each on the disk before its put returns.
    ///
    /// # Errors
    ///
    /// The directory does not exist.
    pub fn local(root: &Path) -> Result<Self, StoreError> {
        let failed = |error| StoreError::new(format!("opening {}", root.display()), error);
        let files = LocalFileSystem::new_with_prefix(root)
            .map_err(failed)?
            .with_fsync(true);
        Ok(Self {
            inner: Arc::new(files),
            root: Some(root.into()),
            gate: Arc::default(),
        })
    }

    /// Blobs in memory, for tests.
    #[must_use]
    pub fn memory() -> Self {
        Self {
            inner: Arc::new(InMemory::new()),
            root: None,
            gate: Arc::default(),
        }
    }

    /// Stores bytes whose digest the caller has told; durable when it returns. Whether somebody
    /// stored the same before makes no difference.
    ///
    /// # Errors
    ///
    /// The bytes have another digest, or could not be stored.
    pub async fn put_if_absent(&self, digest: &Digest, bytes: Bytes) -> Result<(), StoreError> {
        let hashed = bytes.clone();
        let found = tokio::task::spawn_blocking(move || sha256(&hashed)).await;
        let found = found.map_err(|error| failed("storing", digest, &error))?;
        if found != *digest {
            return Err(failed(
                "storing",
                digest,
                &format_args!("the bytes have digest {found}"),
            ));
        }
        self.put_verified(digest, bytes).await
    }

    /// Stores bytes whose digest has just been computed.
    pub(crate) async fn put_verified(
        &self,
        digest: &Digest,
        bytes: Bytes,
    ) -> Result<(), StoreError> {
        let failed = |error: &dyn std::fmt::Display| failed("storing", digest, error);
        let _gate = self.gate.read().await;
        let name = name_of(digest);
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        match self
            .inner
            .put_opts(&name, bytes.clone().into(), PutMode::Create.into())
            .await
        {
            Ok(_) => {}
            Err(Error::AlreadyExists { .. }) => {
                let present = self
                    .inner
                    .head(&name)
                    .await
                    .map_err(|error| failed(&error))?;
                if present.size != length || self.root.is_none() {
                    // Damaged (or in memory, where this is how it becomes young again).
                    let put = self.inner.put(&name, bytes.into()).await;
                    put.map_err(|error| failed(&error))?;
                }
            }
            Err(error) => return Err(failed(&error)),
        }
        self.settle(digest).await.map_err(|error| failed(&error))
    }

    /// The whole blob.
    ///
    /// # Errors
    ///
    /// It could not be read.
    pub async fn get(&self, digest: &Digest) -> Result<Option<Bytes>, StoreError> {
        let found = present(self.inner.get(&name_of(digest)).await);
        let Some(found) = found.map_err(|error| failed("reading", digest, &error))? else {
            return Ok(None);
        };
        found
            .bytes()
            .await
            .map(Some)
            .map_err(|error| failed("reading", digest, &error))
    }

    /// The length of the blob, and its bytes piece by piece.
    ///
    /// # Errors
    ///
    /// It could not be read.
    pub async fn get_stream(
        &self,
        digest: &Digest,
    ) -> Result<Option<(u64, BoxStream<'static, Result<Bytes, StoreError>>)>, StoreError> {
        let digest = *digest;
        let wrong = move |error: Error| failed("reading", &digest, &error);
        let found = present(self.inner.get(&name_of(&digest)).await).map_err(wrong)?;
        Ok(found.map(|found| (found.meta.size, found.into_stream().map_err(wrong).boxed())))
    }

    /// Some of the blob.
    ///
    /// # Errors
    ///
    /// It could not be read, or the range lies outside.
    pub async fn get_range(
        &self,
        digest: &Digest,
        range: Range<u64>,
    ) -> Result<Option<Bytes>, StoreError> {
        let found = self.inner.get_range(&name_of(digest), range).await;
        present(found).map_err(|error| failed("reading", digest, &error))
    }

    /// # Errors
    ///
    /// The store could not be asked.
    pub async fn exists(&self, digest: &Digest) -> Result<bool, StoreError> {
        let found = present(self.inner.head(&name_of(digest)).await);
        Ok(found
            .map_err(|error| failed("finding", digest, &error))?
            .is_some())
    }

    /// That there was none is fine.
    ///
    /// # Errors
    ///
    /// It could not be deleted.
    pub async fn delete(&self, digest: &Digest) -> Result<(), StoreError> {
        let deleted = present(self.inner.delete(&name_of(digest)).await);
        deleted
            .map(|_| ())
            .map_err(|error| failed("deleting", digest, &error))
    }

    /// All blobs, in no order.
    pub fn list(&self) -> BoxStream<'static, Result<BlobInfo, StoreError>> {
        let listed = self.inner.list(Some(&Name::from("sha256")));
        let listed = listed.map_err(|error| StoreError::new("listing blobs", error));
        // What is not named by a digest is not ours.
        listed.try_filter_map(async |meta| Ok(info(&meta))).boxed()
    }

    /// Deletes a blob unless it has been put within `grace`. Says whether it did.
    pub(crate) async fn sweep(&self, digest: &Digest, grace: Duration) -> Result<bool, StoreError> {
        let _gate = self.gate.write().await;
        let found = present(self.inner.head(&name_of(digest)).await);
        let found = found.map_err(|error| failed("finding", digest, &error))?;
        let young = |meta: &ObjectMeta| is_young(meta.last_modified.into(), grace);
        if found.as_ref().is_none_or(young) {
            return Ok(false);
        }
        self.delete(digest).await.map(|()| true)
    }

    /// Makes a file that is present young, and its name durable even when another put, which may
    /// not have got as far, has made it.
    async fn settle(&self, digest: &Digest) -> std::io::Result<()> {
        let Some(root) = self.root.clone() else {
            return Ok(());
        };
        let path = root.join(name_of(digest).as_ref());
        let settle = move || -> std::io::Result<()> {
            File::open(&path)?.set_modified(clock::wall())?;
            let shard = path.parent().unwrap_or(&root);
            files::sync_dir(shard)?;
            files::sync_dir(&root.join("sha256"))?;
            files::sync_dir(&root)
        };
        tokio::task::spawn_blocking(settle)
            .await
            .map_err(std::io::Error::other)?
    }
}

/// Whether something touched at `modified` is still within its grace; the future is young too.
pub(crate) fn is_young(modified: SystemTime, grace: Duration) -> bool {
    clock::wall()
        .duration_since(modified)
        .map_or(true, |age| age < grace)
}

fn name_of(digest: &Digest) -> Name {
    let text = digest.to_string();
    Name::from_iter(["sha256", &text[..2], &text])
}

fn info(meta: &ObjectMeta) -> Option<BlobInfo> {
    let digest = meta.location.filename()?.parse().ok()?;
    Some(BlobInfo {
        digest,
        bytes: meta.size,
        modified: meta.last_modified.into(),
    })
}

fn present<T>(found: Result<T, Error>) -> Result<Option<T>, Error> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn failed(doing: &str, digest: &Digest, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::new(format!("{doing} blob {digest}"), error)
}

/// Where a blob's file is, for tests that damage it.
#[doc(hidden)]
#[must_use]
pub fn blob_file(data_dir: &Path, digest: &Digest) -> PathBuf {
    data_dir.join("blobs").join(name_of(digest).as_ref())
}
