//! Where log files are: in a directory, or in memory for tests.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};

use crate::files;

/// A directory of log files, or none.
#[derive(Debug, Clone)]
pub(super) enum Place {
    Directory(PathBuf),
    Memory,
}

/// One log file. Read from anywhere, appended to by one writer.
#[derive(Debug)]
pub(super) enum Media {
    File(File),
    Memory(RwLock<Vec<u8>>),
}

impl Place {
    /// Opens a file, or makes it.
    pub(super) fn open(&self, name: &str) -> io::Result<Media> {
        match self {
            Self::Memory => Ok(Media::Memory(RwLock::default())),
            Self::Directory(path) => {
                let mut options = OpenOptions::new();
                options.read(true).write(true).create(true).truncate(false);
                Ok(Media::File(options.mode(0o600).open(path.join(name))?))
            }
        }
    }

    /// Replaces a file at once; memory has no use for it.
    pub(super) fn replace(&self, name: &str, contents: &[u8]) -> io::Result<()> {
        match self {
            Self::Memory => Ok(()),
            Self::Directory(path) => files::write_durably(&path.join(name), contents),
        }
    }

    /// Writes a file of which a start makes sure that it is whole.
    pub(super) fn write(&self, name: &str, contents: &[u8]) -> io::Result<()> {
        match self {
            Self::Memory => Ok(()),
            Self::Directory(path) => {
                let mut options = OpenOptions::new();
                options.write(true).create(true).truncate(true).mode(0o600);
                options.open(path.join(name))?.write_all(contents)
            }
        }
    }

    /// The whole of a file that may not be there.
    pub(super) fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let Self::Directory(path) = self else {
            return Ok(None);
        };
        match std::fs::read(path.join(name)) {
            Ok(contents) => Ok(Some(contents)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes a file; whoever reads it goes on.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match self {
            Self::Memory => Ok(()),
            Self::Directory(path) => files::remove_tree(&path.join(name)),
        }
    }

    /// The names of all files.
    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        let Self::Directory(path) = self else {
            return Ok(Vec::new());
        };
        let entries = std::fs::read_dir(path)?;
        let name = |entry: io::Result<std::fs::DirEntry>| {
            Ok(entry?.file_name().to_string_lossy().into_owned())
        };
        entries.map(name).collect()
    }
}

impl Media {
    /// Writes behind `at`, which is the end as far as readers know.
    pub(super) fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.write_all_at(bytes, at),
            Self::Memory(contents) => {
                let mut contents = contents.write().unwrap_or_else(PoisonError::into_inner);
                contents.truncate(usize::try_from(at).unwrap_or(usize::MAX));
                contents.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// Reads up to `length` bytes; fewer when the file is shorter.
    pub(super) fn read(&self, at: u64, length: usize) -> io::Result<Vec<u8>> {
        match self {
            Self::File(file) => {
                let mut bytes = vec![0; length];
                let mut count = 0;
                while count < length {
                    let from = at.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
                    match file.read_at(&mut bytes[count..], from) {
                        Ok(0) => break,
                        Ok(more) => count += more,
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(error),
                    }
                }
                bytes.truncate(count);
                Ok(bytes)
            }
            Self::Memory(contents) => {
                let contents = contents.read().unwrap_or_else(PoisonError::into_inner);
                let start = usize::try_from(at)
                    .unwrap_or(usize::MAX)
                    .min(contents.len());
                let end = start.saturating_add(length).min(contents.len());
                Ok(contents[start..end].to_vec())
            }
        }
    }

    pub(super) fn len(&self) -> io::Result<u64> {
        match self {
            Self::File(file) => Ok(file.metadata()?.len()),
            Self::Memory(contents) => {
                let contents = contents.read().unwrap_or_else(PoisonError::into_inner);
                Ok(u64::try_from(contents.len()).unwrap_or(u64::MAX))
            }
        }
    }

    /// Cuts off what follows `length`.
    pub(super) fn cut(&self, length: u64) -> io::Result<()> {
        match self {
            Self::File(file) => file.set_len(length),
            Self::Memory(contents) => {
                let mut contents = contents.write().unwrap_or_else(PoisonError::into_inner);
                contents.truncate(usize::try_from(length).unwrap_or(usize::MAX));
                Ok(())
            }
        }
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        match self {
            Self::File(file) => file.sync_data(),
            Self::Memory(_) => Ok(()),
        }
    }
}
