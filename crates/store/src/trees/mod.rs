//! Extracted archives on this node, each once, under the digest of its zip. The blobs are the
//! truth: a tree that is missing, damaged or from before a restart of the machine is made anew.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bootlace_types::{Digest, limits};
use bytes::Bytes;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard as AsyncMutexGuard, Semaphore};
use tokio::task::spawn_blocking;

use crate::archive::{self, IngestError, Plan};
use crate::blobs::{is_young, sha256};
use crate::{BlobStore, StoreError, files};

mod fingerprint;

use fingerprint::fingerprint;

/// The node's extracted trees. Clones share it.
#[derive(Debug, Clone)]
pub struct TreeCache(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    blobs: BlobStore,
    /// Changes with every start of the machine. Trees are not flushed to the disk, so one from an
    /// earlier start may have lost its files' contents.
    boot: String,
    /// The trees that this process has made or looked through.
    ready: Mutex<HashSet<Digest>>,
    /// One of these is held while a tree is made or removed; which one, its digest says.
    flights: Vec<AsyncMutex<()>>,
    extractions: Semaphore,
}

/// A tree that has no name yet; it is removed unless it is published.
#[derive(Debug)]
pub(crate) struct Staged {
    path: PathBuf,
    fingerprint: Digest,
    published: bool,
}

/// Whoever holds it is the only one to make or remove trees of some digests.
#[derive(Debug)]
pub(crate) struct Flight<'a>(
    #[allow(dead_code, reason = "held, not read")] AsyncMutexGuard<'a, ()>,
);

const FLIGHTS: u8 = 64;

impl TreeCache {
    pub(crate) fn new(root: PathBuf, blobs: BlobStore) -> Self {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self(Arc::new(Inner {
            root,
            blobs,
            boot: boot.trim().to_owned(),
            ready: Mutex::default(),
            flights: (0..FLIGHTS).map(|_| AsyncMutex::new(())).collect(),
            extractions: Semaphore::new(limits::EXTRACTIONS),
        }))
    }

    /// Where the tree of a zip is, or would be.
    #[must_use]
    pub fn path_of(&self, digest: &Digest) -> PathBuf {
        self.0.root.join("sha256").join(digest.to_string())
    }

    /// The tree of a zip, extracted from its blob if need be; nobody may write to it.
    ///
    /// # Errors
    ///
    /// There is no such blob, it is damaged, or it could not be extracted.
    pub async fn tree(&self, digest: &Digest) -> Result<PathBuf, StoreError> {
        let path = self.path_of(digest);
        if self.ready().contains(digest) && path.is_dir() {
            return Ok(path);
        }
        let flight = self.flight(digest).await;
        if self.is_whole(digest).await {
            return Ok(path);
        }
        let zip = self.0.blobs.get(digest).await?;
        let zip = zip.ok_or_else(|| failed("extracting", &path, &"its blob is missing"))?;
        tracing::debug!(%digest, "extracting a tree from its blob");
        let staged = self.stage(&flight, digest, zip, None).await;
        let staged = staged.map_err(|error| match error {
            IngestError::Store(error) => error,
            other => failed("extracting", &path, &other),
        })?;
        self.publish(&flight, digest, staged).await?;
        Ok(path)
    }

    pub(crate) async fn flight(&self, digest: &Digest) -> Flight<'_> {
        Flight(
            self.0.flights[usize::from(digest.0[0] % FLIGHTS)]
                .lock()
                .await,
        )
    }

    /// Whether the tree is there and as it was made.
    pub(crate) async fn is_whole(&self, digest: &Digest) -> bool {
        let (path, check) = (self.path_of(digest), self.check_of(digest));
        if self.ready().contains(digest) && path.is_dir() {
            return true;
        }
        let boot = self.0.boot.clone();
        let look = move || -> io::Result<bool> {
            let noted = fs::read_to_string(check)?;
            Ok(noted == note(&boot, &fingerprint(&path)?))
        };
        let whole = spawn_blocking(look)
            .await
            .is_ok_and(|looked| looked.unwrap_or(false));
        if whole {
            self.ready().insert(*digest);
        }
        whole
    }

    /// Extracts a zip beside the trees. Without a plan the zip comes from the blob store, and is
    /// looked at first.
    pub(crate) async fn stage(
        &self,
        _: &Flight<'_>,
        digest: &Digest,
        zip: Bytes,
        plan: Option<Plan>,
    ) -> Result<Staged, IngestError> {
        let path = self.unnamed();
        let wrong =
            |error: &dyn std::fmt::Display| failed("extracting", &self.path_of(digest), error);
        let _place = self
            .0
            .extractions
            .acquire()
            .await
            .map_err(|error| wrong(&error))?;
        let (digest, sha) = (*digest, "its blob is damaged");
        let stage = move || -> Result<Staged, IngestError> {
            let plan = match plan {
                Some(plan) => plan,
                None if sha256(&zip) != digest => {
                    return Err(failed("extracting", &path, &sha).into());
                }
                None => archive::check(&zip, u64::MAX)?,
            };
            let mut staged = Staged {
                path,
                fingerprint: digest,
                published: false,
            };
            match staged.fill(&zip, &plan) {
                Ok(()) => Ok(staged),
                Err(error) => {
                    staged.remove();
                    Err(error)
                }
            }
        };
        spawn_blocking(stage).await.map_err(|error| wrong(&error))?
    }

    /// Gives a staged tree its name; a damaged one that has it goes.
    pub(crate) async fn publish(
        &self,
        _: &Flight<'_>,
        digest: &Digest,
        mut staged: Staged,
    ) -> Result<(), StoreError> {
        let (path, check, old) = (self.path_of(digest), self.check_of(digest), self.unnamed());
        let boot = self.0.boot.clone();
        let shown = path.clone();
        let publish = move || -> io::Result<()> {
            if let Some(above) = path.parent() {
                fs::create_dir_all(above)?;
            }
            move_away(&path, &old)?;
            fs::rename(&staged.path, &path)?;
            staged.published = true;
            let temporary = old.with_extension("check");
            fs::write(&temporary, note(&boot, &staged.fingerprint))?;
            fs::rename(&temporary, &check)?;
            files::remove_tree(&old)
        };
        let published = spawn_blocking(publish).await;
        let wrong = |error: &dyn std::fmt::Display| failed("naming", &shown, error);
        published
            .map_err(|error| wrong(&error))?
            .map_err(|error| wrong(&error))?;
        self.ready().insert(*digest);
        Ok(())
    }

    /// Removes the trees that have not been referenced for the length of `grace`. Gives how many.
    pub(crate) async fn sweep(
        &self,
        referenced: &HashSet<Digest>,
        grace: Duration,
    ) -> Result<u64, StoreError> {
        let root = self.0.root.join("sha256");
        let listed = root.clone();
        let list = move || -> io::Result<Vec<Digest>> {
            let mut found = Vec::new();
            for entry in fs::read_dir(listed)? {
                let name = entry?.file_name();
                found.extend(name.to_str().and_then(|name| name.parse::<Digest>().ok()));
            }
            Ok(found)
        };
        let wrong = |error: &dyn std::fmt::Display| failed("sweeping", &root, error);
        let found = match spawn_blocking(list).await.map_err(|error| wrong(&error))? {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            found => found.map_err(|error| wrong(&error))?,
        };
        let mut removed = 0;
        for digest in found {
            let _flight = self.flight(&digest).await;
            let (path, check, old) = (
                self.path_of(&digest),
                self.check_of(&digest),
                self.unnamed(),
            );
            let keep = referenced.contains(&digest);
            let ready = Arc::clone(&self.0);
            let look = move || -> io::Result<bool> {
                if keep {
                    // The grace begins when it is last seen referenced.
                    fs::File::open(&check)?.set_modified(bootlace_types::clock::wall())?;
                    return Ok(false);
                }
                let seen = fs::metadata(&check).and_then(|found| found.modified());
                if seen.is_ok_and(|seen| is_young(seen, grace)) {
                    return Ok(false);
                }
                ready.ready().remove(&digest);
                files::remove_tree(&check)?;
                move_away(&path, &old)?;
                files::remove_tree(&old)?;
                Ok(true)
            };
            match spawn_blocking(look).await.map_err(|error| wrong(&error))? {
                Ok(gone) => removed += u64::from(gone),
                // It is disposable: a tree without its note is made anew when it is next needed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(wrong(&error)),
            }
        }
        Ok(removed)
    }

    fn ready(&self) -> MutexGuard<'_, HashSet<Digest>> {
        self.0.ready()
    }

    /// A new path on the same file system, which a start of the server empties.
    fn unnamed(&self) -> PathBuf {
        self.0
            .root
            .join("staging")
            .join(uuid::Uuid::new_v4().to_string())
    }

    /// Beside the tree: in which life of the machine it was made, and what it looked like.
    fn check_of(&self, digest: &Digest) -> PathBuf {
        self.path_of(digest).with_extension("check")
    }
}

impl Inner {
    fn ready(&self) -> MutexGuard<'_, HashSet<Digest>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Staged {
    fn fill(&mut self, zip: &Bytes, plan: &Plan) -> Result<(), IngestError> {
        let above = self.path.parent().unwrap_or(&self.path);
        fs::create_dir_all(above).map_err(|error| failed("making", above, &error))?;
        archive::extract(zip, plan, &self.path)?;
        let print = fingerprint(&self.path);
        self.fingerprint = print.map_err(|error| failed("reading", &self.path, &error))?;
        Ok(())
    }

    /// Blocks.
    fn remove(&mut self) {
        self.published = true;
        if let Err(error) = files::remove_tree(&self.path) {
            let path = self.path.display();
            tracing::warn!(%error, %path, "a staged tree stays until the next start");
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if self.published {
            return;
        }
        let path = std::mem::take(&mut self.path);
        let mut rest = Self {
            path,
            fingerprint: self.fingerprint,
            published: true,
        };
        // A tree may be large; a dropped request must not hold up the runtime.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || rest.remove())),
            Err(_) => rest.remove(),
        }
    }
}

fn note(boot: &str, fingerprint: &Digest) -> String {
    format!("{boot} {fingerprint}\n")
}

/// Renames, so that a tree is whole or not there at all under its name.
fn move_away(path: &Path, to: &Path) -> io::Result<()> {
    if let Some(above) = to.parent() {
        fs::create_dir_all(above)?;
    }
    match fs::rename(path, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn failed(doing: &str, path: &Path, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::new(format!("{doing} {}", path.display()), error)
}
