use std::io::Read as _;
use std::path::{Path, PathBuf};

use bootlace_types::limits;
use zip::read::{ZipFileEntry, ZipReadOptions};
use zip::{CompressionMethod, DateTime};

use super::tree::{Kind, Misplaced, NodeId, Tree};
use super::{Archive, IngestError, shown};

/// What an archive will become, checked: nothing in it can leave the directory it is put in.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(super) tree: Tree,
    /// The node of each entry, in the archive's order.
    pub(super) places: Vec<NodeId>,
    unzipped: u64,
}

const TYPE: u32 = 0o170_000;
const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;
/// Never setuid, setgid or sticky.
const PERMISSIONS: u32 = 0o777;
/// The longest name that Linux takes, bytes.
const NAME_BYTES: usize = 255;

impl Plan {
    /// How large all files are together, bytes.
    pub(crate) fn unzipped(&self) -> u64 {
        self.unzipped
    }

    /// Where a node belongs below the directory.
    pub(super) fn path(&self, below: &Path, node: NodeId) -> PathBuf {
        use std::os::unix::ffi::OsStrExt as _;
        let mut names = Vec::new();
        let mut id = node;
        while self.tree.node(id).parent != id {
            names.push(std::ffi::OsStr::from_bytes(&self.tree.node(id).name));
            id = self.tree.node(id).parent;
        }
        let mut path = below.to_path_buf();
        path.extend(names.iter().rev());
        path
    }

    pub(super) fn read(
        archive: &mut Archive,
        zip_bytes: usize,
        max_unzipped: u64,
    ) -> Result<Self, IngestError> {
        if archive.len() > limits::ZIP_ENTRIES {
            return Err(IngestError::TooManyEntries {
                limit: limits::ZIP_ENTRIES,
            });
        }
        if archive.is_empty() {
            return Err(IngestError::Empty);
        }
        let mut plan = Self {
            tree: Tree::new(),
            places: Vec::new(),
            unzipped: 0,
        };
        let mut links = Vec::new();
        let mut zipped = 0_u64;
        let zip_bytes = u64::try_from(zip_bytes).unwrap_or(u64::MAX);
        let files = archive.files().map_err(|_| IngestError::NotAZip)?;
        while let Some(entry) = files.next() {
            let entry = entry.map_err(|_| IngestError::NotAZip)?;
            plan.unzipped = plan.unzipped.saturating_add(entry.size());
            if plan.unzipped > max_unzipped {
                return Err(IngestError::UnzippedTooLarge {
                    limit: max_unzipped,
                });
            }
            // Entries that share their bytes make a small archive cost as much as a large one.
            zipped = zipped.saturating_add(entry.compressed_size());
            if zipped > zip_bytes {
                return Err(unsafe_entry(&entry, "it overlaps with other files"));
            }
            let name = entry.name_raw().to_vec();
            let path = parts(&entry)?;
            let mut kind = kind(&entry)?;
            let is_link = matches!(kind, Kind::Link { .. });
            if is_link {
                kind = Kind::Link {
                    target: read_target(entry, files.reader_mut())?,
                };
            }
            let place = plan
                .tree
                .place(&path.iter().map(|part| &**part).collect::<Vec<_>>(), kind);
            let place = place.map_err(|misplaced| match misplaced {
                Misplaced::TooMany => IngestError::TooManyEntries {
                    limit: limits::ZIP_ENTRIES,
                },
                Misplaced::Unsafe(why) => IngestError::Unsafe {
                    path: shown(&name),
                    why,
                },
            })?;
            if is_link {
                links.push((place, name));
            }
            plan.places.push(place);
        }
        for (link, name) in links {
            let checked = plan.tree.check_link(link);
            checked.map_err(|why| IngestError::Unsafe {
                path: shown(&name),
                why,
            })?;
        }
        Ok(plan)
    }
}

/// The parts of an entry's path, without what means nothing.
fn parts(entry: &ZipFileEntry<'_>) -> Result<Vec<Box<[u8]>>, IngestError> {
    let name = entry.name_raw();
    if name.len() > limits::ZIP_PATH_BYTES {
        let limit = limits::ZIP_PATH_BYTES;
        return Err(IngestError::PathTooLong {
            path: shown(name),
            limit,
        });
    }
    if name.is_empty() {
        return Err(unsafe_entry(entry, "it has no name"));
    }
    if name.contains(&0) {
        return Err(unsafe_entry(entry, "its name contains a NUL"));
    }
    if name.starts_with(b"/") {
        return Err(unsafe_entry(entry, "its path is absolute"));
    }
    let mut parts = Vec::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(unsafe_entry(entry, "its path leaves the archive")),
            _ if part.len() > NAME_BYTES => {
                return Err(IngestError::PathTooLong {
                    path: shown(part),
                    limit: NAME_BYTES,
                });
            }
            _ => parts.push(part.into()),
        }
    }
    Ok(parts)
}

fn kind(entry: &ZipFileEntry<'_>) -> Result<Kind, IngestError> {
    if entry.encrypted() {
        return Err(unsafe_entry(entry, "it is encrypted"));
    }
    if !matches!(
        entry.compression(),
        CompressionMethod::Stored | CompressionMethod::Deflated
    ) {
        return Err(unsafe_entry(
            entry,
            "its compression method is not supported",
        ));
    }
    // The upper half holds the Unix mode, whichever system the archive says it is from.
    let mode = entry.external_attributes() >> 16;
    let modified_s = entry.last_modified().and_then(epoch_s);
    let named_folder = entry.name_raw().ends_with(b"/");
    match mode & TYPE {
        FOLDER | FILE | 0 if named_folder || mode & TYPE == FOLDER => {
            // AWS's folders can always be entered and read.
            Ok(Kind::Folder {
                mode: 0o755 | mode & PERMISSIONS,
                modified_s,
            })
        }
        LINK if !named_folder => Ok(Kind::Link {
            target: Box::default(),
        }),
        FILE | 0 => {
            let permissions = if mode & PERMISSIONS == 0 {
                0o644
            } else {
                mode & PERMISSIONS
            };
            Ok(Kind::File {
                mode: 0o444 | permissions,
                modified_s,
                bytes: entry.size(),
            })
        }
        _ => Err(unsafe_entry(
            entry,
            "it is neither a file, a folder nor a link",
        )),
    }
}

fn read_target(
    entry: ZipFileEntry<'_>,
    reader: &mut std::io::Cursor<bytes::Bytes>,
) -> Result<Box<[u8]>, IngestError> {
    let (path, size) = (shown(entry.name_raw()), entry.size());
    if size > limits::ZIP_PATH_BYTES as u64 {
        return Err(unsafe_entry(&entry, "the link's target is too long"));
    }
    let mut target = Vec::new();
    let read = entry
        .with_reader(reader, ZipReadOptions::new())
        .is_ok_and(|file| {
            // One byte more than there may be, so that the end, and with it the checksum, is reached.
            file.take(size + 1).read_to_end(&mut target).is_ok()
        });
    if !read || target.len() as u64 != size {
        return Err(IngestError::Corrupt { path });
    }
    let why = match target.first() {
        None => "the link has no target",
        Some(b'/') => "the link's target is absolute",
        Some(_) if target.contains(&0) => "the link's target contains a NUL",
        Some(_) => return Ok(target.into()),
    };
    Err(IngestError::Unsafe { path, why })
}

/// The archive has no time zone; UTC is what a sandbox has.
fn epoch_s(time: DateTime) -> Option<i64> {
    let date = chrono::NaiveDate::from_ymd_opt(
        i32::from(time.year()),
        u32::from(time.month()),
        u32::from(time.day()),
    )?;
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    let time = date.and_hms_opt(u32::from(hour), u32::from(minute), u32::from(second))?;
    Some(time.and_utc().timestamp())
}

fn unsafe_entry(entry: &ZipFileEntry<'_>, why: &'static str) -> IngestError {
    IngestError::Unsafe {
        path: shown(entry.name_raw()),
        why,
    }
}
