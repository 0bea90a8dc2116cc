use std::path::Path;
use std::sync::Arc;

use bootlace_types::limits;
use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::archive::{self, IngestError};
use crate::blobs::sha256;
use crate::data_dir::Lock;
use crate::logs::{LogOptions, LogStore};
use crate::record::CodeRef;
use crate::{
    AnyStore, BlobStore, DataDir, MemStore, Rev, SqlStore, StoreClock, StoreError, TreeCache, files,
};

/// All that a server remembers. Clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    pub kv: AnyStore,
    pub blobs: BlobStore,
    pub trees: TreeCache,
    pub logs: LogStore,
    ingests: Arc<Semaphore>,
    /// The data directory stays ours for as long as anything may write to it.
    _lock: Option<Arc<Lock>>,
}

impl Store {
    /// Opens the embedded store of a data directory: `bootlace.db`, `blobs/`, `trees/` and `logs/`.
    ///
    /// # Errors
    ///
    /// The database cannot be opened, or a later Bootlace has written it; or the logs cannot be.
    pub async fn open(data_dir: &DataDir, logs: LogOptions) -> Result<Self, StoreError> {
        let log_dir = data_dir.path().join("logs");
        let open_logs = move || LogStore::open(&log_dir, logs, StoreClock::wall());
        let logs = spawn_blocking(open_logs).await;
        let logs = logs.map_err(|error| StoreError::new("opening the logs", error))??;
        let path = data_dir.path().to_path_buf();
        let open = move || -> Result<SqlStore, StoreError> {
            let database = path.join("bootlace.db");
            make_private(&database)?;
            let store = SqlStore::open(&database, StoreClock::wall())?;
            let synced = files::sync_dir(&path);
            synced.map_err(|error| StoreError::new("making the database durable", error))?;
            Ok(store)
        };
        let opened = spawn_blocking(open).await;
        let kv = opened.map_err(|error| StoreError::new("opening the database", error))??;
        let blobs = BlobStore::local(&data_dir.path().join("blobs"))?;
        let trees = TreeCache::new(data_dir.trees_dir(), blobs.clone());
        Ok(Self {
            kv: AnyStore::Sql(kv),
            blobs,
            trees,
            logs,
            ingests: Arc::new(Semaphore::new(limits::INGESTS)),
            _lock: Some(data_dir.lock()),
        })
    }

    /// A store that forgets all but its trees with the process; they go below `temp`. For tests.
    #[must_use]
    pub fn memory(temp: &Path) -> Self {
        let blobs = BlobStore::memory();
        let trees = TreeCache::new(temp.join("trees"), blobs.clone());
        let kv = AnyStore::Memory(MemStore::new(StoreClock::wall()));
        Self {
            kv,
            blobs,
            trees,
            logs: LogStore::memory(LogOptions::default(), StoreClock::wall()),
            ingests: Arc::new(Semaphore::new(limits::INGESTS)),
            _lock: None,
        }
    }

    /// Finishes what was begun and closes the database, for every clone.
    pub async fn close(self) {
        self.logs.close().await;
        self.kv.close().await;
    }

    /// Deletes every document, event and log. Blobs and trees stay until garbage is collected.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn reset(&self) -> Result<Rev, StoreError> {
        let cleared = self.logs.clear().await;
        cleared.map_err(|error| StoreError::new("deleting the logs", error))?;
        self.kv.clear().await
    }

    /// Checks a zip, stores it and extracts it: when this returns, the blob is durable and its
    /// tree is there. Nothing is kept of a zip that is refused.
    ///
    /// # Errors
    ///
    /// See [`IngestError`].
    pub async fn ingest_zip(&self, zip: Bytes, max_unzipped: u64) -> Result<CodeRef, IngestError> {
        let place = self.ingests.acquire().await;
        let _place = place.map_err(|error| StoreError::new("taking a zip", error))?;
        let looked_at = zip.clone();
        let look = move || -> Result<_, IngestError> {
            let plan = archive::check(&looked_at, max_unzipped)?;
            Ok((plan, sha256(&looked_at)))
        };
        let looked = spawn_blocking(look).await;
        let (plan, digest) = looked.map_err(|error| StoreError::new("checking a zip", error))??;
        let zip_bytes = u64::try_from(zip.len()).unwrap_or(u64::MAX);
        let code = CodeRef {
            digest,
            zip_bytes,
            unzipped_bytes: plan.unzipped(),
        };

        let flight = self.trees.flight(&digest).await;
        // Extraction compares checksums, so it comes before anything lasting.
        let staged = match self.trees.is_whole(&digest).await {
            true => None,
            false => Some(
                self.trees
                    .stage(&flight, &digest, zip.clone(), Some(plan))
                    .await?,
            ),
        };
        self.blobs.put_verified(&digest, zip).await?;
        if let Some(staged) = staged {
            self.trees.publish(&flight, &digest, staged).await?;
        }
        Ok(code)
    }
}

/// The database holds the environment variables of functions; its log takes over its mode.
fn make_private(database: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    let made = options
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(database);
    made.map(drop)
        .map_err(|error| StoreError::new(format!("making {}", database.display()), error))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn more_archives_than_there_is_room_for_wait() {
        let temp = tempfile::tempdir().unwrap();
        let store = Store::memory(temp.path());
        let all = u32::try_from(limits::INGESTS).unwrap();
        let others = store.ingests.acquire_many(all).await.unwrap();
        let ingest = store.ingest_zip(Bytes::from_static(b"no zip"), u64::MAX);
        let mut ingest = std::pin::pin!(ingest);
        let waited = tokio::time::timeout(Duration::from_millis(50), ingest.as_mut()).await;
        assert!(waited.is_err(), "it was looked at");
        drop(others);
        assert!(matches!(ingest.await, Err(IngestError::NotAZip)));
    }
}
