//! Which files are external extensions.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

const FOLDER: &str = "extensions";

/// One extension to start.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ExtensionFile {
    /// What it must call itself: the name of its file.
    pub(crate) name: Box<str>,
    /// As code inside sees it.
    pub(crate) program: PathBuf,
}

/// Lists what lies directly in `/opt/extensions` as the layers lie over each other, ordered by
/// name; folders are none. Like the bootstrap, it is decided from the host's trees without
/// following links, and whether the kernel can run what is found, it says itself.
pub(crate) fn find(layers: &[PathBuf]) -> Vec<ExtensionFile> {
    // For each name whether it is a file, as the topmost layer has it.
    let mut seen: BTreeMap<OsString, bool> = BTreeMap::new();
    for layer in layers.iter().rev() {
        let folder = layer.join(FOLDER);
        match std::fs::symlink_metadata(&folder) {
            Ok(metadata) if metadata.is_dir() => {}
            // It covers the folders below it.
            Ok(_) => break,
            Err(_) => continue,
        }
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            let is_file = entry.file_type().is_ok_and(|kind| !kind.is_dir());
            seen.entry(entry.file_name()).or_insert(is_file);
        }
    }
    let files = seen.into_iter().filter(|(_, is_file)| *is_file);
    files
        .map(|(name, _)| ExtensionFile {
            name: name.to_string_lossy().into(),
            program: Path::new("/opt").join(FOLDER).join(name),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A layer with files, and folders where the name ends in a slash.
    fn layer(root: &Path, name: &str, entries: &[&str]) -> PathBuf {
        let path = root.join(name);
        for entry in entries {
            let at = path.join(entry);
            if entry.ends_with('/') {
                std::fs::create_dir_all(at).unwrap();
            } else {
                std::fs::create_dir_all(at.parent().unwrap()).unwrap();
                std::fs::write(at, "x").unwrap();
            }
        }
        path
    }

    fn names(layers: &[PathBuf]) -> Vec<String> {
        let files = find(layers).into_iter();
        files
            .map(|file| {
                assert_eq!(file.program, Path::new("/opt/extensions").join(&*file.name));
                file.name.into()
            })
            .collect()
    }

    #[test]
    fn the_topmost_layer_wins_a_name() {
        let temp = tempfile::tempdir().unwrap();
        let make = |name: &str, entries: &[&str]| layer(temp.path(), name, entries);
        let two = make("two", &["extensions/b", "extensions/a", "extensions/sub/c"]);
        let folder = make("folder", &["extensions/a/", "extensions/d"]);
        let file = make("file", &["extensions"]);
        let other = make("other", &["lib/extensions/x"]);
        std::os::unix::fs::symlink("/opt/bin/l", two.join("extensions/link")).unwrap();
        assert_eq!(names(&[]), [""; 0]);
        assert_eq!(names(std::slice::from_ref(&two)), ["a", "b", "link"]);
        assert_eq!(
            names(&[two.clone(), other, folder.clone()]),
            ["b", "d", "link"]
        );
        assert_eq!(names(&[folder, two.clone()]), ["a", "b", "d", "link"]);
        assert_eq!(names(&[two, file]), [""; 0]);
    }
}
