//! Zip archives from strangers: looked at as a whole before anything of them is written, and then
//! written so that nothing can land outside the directory given.

use std::io::Cursor;
use std::path::Path;

use bytes::Bytes;
use zip::read::Config;
use zip::unstable::read::ZipIterable;

use crate::StoreError;

mod extract;
mod plan;
mod tree;

pub(crate) use plan::Plan;

/// Why a zip archive is not taken.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    #[error("the file is not a zip archive")]
    NotAZip,
    #[error("the zip archive is empty")]
    Empty,
    #[error("{path} in the zip archive is damaged")]
    Corrupt { path: String },
    #[error("{path:?} in the zip archive is refused: {why}")]
    Unsafe { path: String, why: &'static str },
    #[error("the unzipped size is over {limit} bytes")]
    UnzippedTooLarge { limit: u64 },
    #[error("the zip archive has more than {limit} files and folders")]
    TooManyEntries { limit: usize },
    #[error("the path {path:?} in the zip archive is longer than {limit} bytes")]
    PathTooLong { path: String, limit: usize },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads the archive's directory and checks all that can be checked before extraction: names,
/// kinds, links, counts, and the sizes the archive declares. Blocks.
pub(crate) fn check(zip: &Bytes, max_unzipped: u64) -> Result<Plan, IngestError> {
    Plan::read(&mut open(zip)?, zip.len(), max_unzipped)
}

/// Writes the archive's files into a new directory; no file is longer than the archive declared,
/// and every checksum is compared. Blocks.
pub(crate) fn extract(zip: &Bytes, plan: &Plan, into: &Path) -> Result<(), IngestError> {
    extract::extract(&mut open(zip)?, plan, into)
}

/// The reader that gives one entry after the other, twice the same name included; the usual one
/// first builds a map of all the entries that the archive claims to have.
type Archive = ZipIterable<Cursor<Bytes>>;

fn open(zip: &Bytes) -> Result<Archive, IngestError> {
    // The archive says how many entries it has; none is read before that number is looked at.
    ZipIterable::try_new(Cursor::new(zip.clone()), Config::default())
        .map_err(|_| IngestError::NotAZip)
}

/// A name out of an archive as it may be shown.
fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).chars().take(256).collect()
}
