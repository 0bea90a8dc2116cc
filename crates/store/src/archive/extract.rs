use std::fs::{self, File, FileTimes, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, CWD, OFlags, Timespec, Timestamps, utimensat};
use zip::read::{ZipFileEntry, ZipReadOptions};

use super::plan::Plan;
use super::tree::Kind;
use super::{Archive, IngestError, shown};
use crate::StoreError;

/// Folders first, then files, links last: while a file is written there is no link that its path
/// could lead through, whatever the archive says.
pub(super) fn extract(archive: &mut Archive, plan: &Plan, into: &Path) -> Result<(), IngestError> {
    let failed =
        |error: io::Error| StoreError::new(format!("extracting into {}", into.display()), error);
    for (id, node) in plan.tree.nodes() {
        if matches!(node.kind, Kind::Folder { .. }) {
            fs::create_dir(plan.path(into, id)).map_err(failed)?;
        }
    }
    write_files(archive, plan, into)?;
    for (id, node) in plan.tree.nodes() {
        if let Kind::Link { target } = &node.kind {
            let target = std::ffi::OsStr::from_bytes(target);
            std::os::unix::fs::symlink(target, plan.path(into, id)).map_err(failed)?;
        }
    }
    // From the leaves up, because what is put into a folder changes its time.
    for (id, node) in plan.tree.nodes().rev() {
        if let Kind::Folder { mode, modified_s } = node.kind {
            let path = plan.path(into, id);
            fs::set_permissions(&path, Permissions::from_mode(mode)).map_err(failed)?;
            if let Some(modified_s) = modified_s {
                let time = Timespec {
                    tv_sec: modified_s,
                    tv_nsec: 0,
                };
                let times = Timestamps {
                    last_access: time,
                    last_modification: time,
                };
                let set = utimensat(CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW);
                set.map_err(|error| failed(error.into()))?;
            }
        }
    }
    Ok(())
}

fn write_files(archive: &mut Archive, plan: &Plan, into: &Path) -> Result<(), IngestError> {
    let mut buffer = vec![0; 64 * 1_024];
    let files = archive.files().map_err(|_| IngestError::NotAZip)?;
    for place in &plan.places {
        let entry = files
            .next()
            .ok_or(IngestError::NotAZip)?
            .map_err(|_| IngestError::NotAZip)?;
        let Kind::File {
            mode,
            modified_s,
            bytes,
        } = plan.tree.node(*place).kind
        else {
            continue;
        };
        let path = plan.path(into, *place);
        let name = entry.name_raw().to_vec();
        let failed = |error: io::Error| {
            StoreError::new(
                format!("extracting {} into {}", shown(&name), into.display()),
                error,
            )
        };
        let mut file = create(&path).map_err(failed)?;
        copy(entry, files.reader_mut(), bytes, &mut file, &mut buffer)?.map_err(failed)?;
        if let Some(modified) = modified_s.and_then(system_time) {
            let times = FileTimes::new()
                .set_accessed(modified)
                .set_modified(modified);
            file.set_times(times).map_err(failed)?;
        }
        file.set_permissions(Permissions::from_mode(mode))
            .map_err(failed)?;
    }
    Ok(())
}

/// A new file, and nothing but a new file: what is there already, or a link, is an error.
fn create(path: &Path) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0);
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(flags)
        .open(path)
}

/// Unzips one file. The outer error is the archive's, the inner one the disk's.
fn copy(
    entry: ZipFileEntry<'_>,
    reader: &mut io::Cursor<bytes::Bytes>,
    bytes: u64,
    to: &mut File,
    buffer: &mut [u8],
) -> Result<io::Result<()>, IngestError> {
    let name = entry.name_raw().to_vec();
    let damaged = || IngestError::Corrupt { path: shown(&name) };
    let mut from = entry
        .with_reader(reader, ZipReadOptions::new())
        .map_err(|_| damaged())?;
    let mut left = bytes;
    loop {
        // At the end of the file the checksum is compared.
        let count = from.read(buffer).map_err(|_| damaged())?;
        if count == 0 {
            return if left == 0 {
                Ok(Ok(()))
            } else {
                Err(damaged())
            };
        }
        // More than was declared, and counted against the limit, is never written.
        left = left.checked_sub(count as u64).ok_or_else(damaged)?;
        if let Err(error) = to.write_all(&buffer[..count]) {
            return Ok(Err(error));
        }
    }
}

fn system_time(epoch_s: i64) -> Option<SystemTime> {
    let since = Duration::from_secs(u64::try_from(epoch_s).ok()?);
    SystemTime::UNIX_EPOCH.checked_add(since)
}
