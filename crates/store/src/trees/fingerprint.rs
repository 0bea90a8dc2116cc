use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use bootlace_types::Digest;

/// The digest of what a tree looks like without reading its files: names, kinds, modes, sizes and
/// where links lead. Blocks.
pub(super) fn fingerprint(tree: &Path) -> io::Result<Digest> {
    let mut hash = Sha256::new();
    let mut folders = vec![tree.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let mode = fs::symlink_metadata(&folder)?.permissions().mode();
        field(
            &mut hash,
            folder
                .as_os_str()
                .as_bytes()
                .get(tree.as_os_str().len()..)
                .unwrap_or(b""),
        );
        hash.update(mode.to_le_bytes());
        let mut entries = fs::read_dir(&folder)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_unstable_by_key(fs::DirEntry::file_name);
        for entry in entries {
            field(&mut hash, entry.file_name().as_bytes());
            let found = entry.metadata()?;
            hash.update(found.mode().to_le_bytes());
            if found.is_dir() {
                folders.push(entry.path());
            } else if found.is_symlink() {
                field(
                    &mut hash,
                    fs::read_link(entry.path())?.as_os_str().as_bytes(),
                );
            } else {
                hash.update(found.len().to_le_bytes());
            }
        }
    }
    Ok(Digest(hash.finalize().into()))
}

/// With its length, so that two different lists of fields never look the same.
fn field(hash: &mut Sha256, bytes: &[u8]) {
    hash.update(bytes.len().to_le_bytes());
    hash.update(bytes);
}
