//! A deployment package from what the user names: a zip file as it is, or a directory, zipped.

use std::fs;
use std::io::{Cursor, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, bail};
use bootlace_types::limits;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// Reads a zip file, or zips a directory: entries sorted, Unix modes and links kept, times left
/// out, so that equal directories give equal packages.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let shown = path.display();
    let kind = fs::metadata(path).with_context(|| format!("cannot read {shown}"))?;
    if kind.is_dir() {
        return zip_directory(path).with_context(|| format!("cannot zip the directory {shown}"));
    }
    let file = fs::File::open(path).with_context(|| format!("cannot read {shown}"))?;
    read_all(file).with_context(|| format!("cannot read {shown}"))
}

/// Reads a file, a device or a pipe to its end, which has to come. Whatever is larger cannot be
/// sent at all; what is smaller the server judges.
pub(crate) fn read_all(from: impl Read) -> anyhow::Result<Vec<u8>> {
    let limit = u64::try_from(limits::REQUEST_BYTES).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    let read = from.take(limit + 1).read_to_end(&mut bytes)?;
    if read > limits::REQUEST_BYTES {
        bail!("it has more than {limit} bytes, which is more than a request may have");
    }
    Ok(bytes)
}

/// Zips files that are given as name, mode and content.
pub(crate) fn zip_files(files: &[(&str, u32, &str)]) -> anyhow::Result<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, mode, content) in files {
        zip.start_file(*name, options(*mode))?;
        zip.write_all(content.as_bytes())?;
    }
    Ok(zip.finish()?.into_inner())
}

fn zip_directory(root: &Path) -> anyhow::Result<Vec<u8>> {
    let mut packer = Packer {
        zip: ZipWriter::new(Cursor::new(Vec::new())),
        left: limits::UNZIPPED_BYTES,
        entries: 0,
    };
    packer.add_entries_of(root, "")?;
    Ok(packer.zip.finish()?.into_inner())
}

fn options(mode: u32) -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default())
        .unix_permissions(mode & 0o777)
}

struct Packer {
    zip: ZipWriter<Cursor<Vec<u8>>>,
    /// Bytes that may still be added.
    left: u64,
    entries: usize,
}

impl Packer {
    fn add_entries_of(&mut self, directory: &Path, prefix: &str) -> anyhow::Result<()> {
        let mut entries = fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let name = entry.file_name();
            let name = name
                .to_str()
                .with_context(|| format!("{} is no UTF-8 name", path.display()))?;
            self.entries += 1;
            if self.entries > limits::ZIP_ENTRIES {
                bail!("more than {} files", limits::ZIP_ENTRIES);
            }
            self.add(&path, &format!("{prefix}{name}"))
                .with_context(|| format!("cannot add {}", path.display()))?;
        }
        Ok(())
    }

    fn add(&mut self, path: &Path, name: &str) -> anyhow::Result<()> {
        let metadata = fs::symlink_metadata(path)?;
        let options = options(metadata.permissions().mode());
        if metadata.is_symlink() {
            let target = fs::read_link(path)?;
            let target = target
                .to_str()
                .context("the link's target is no UTF-8 name")?;
            self.zip.add_symlink(name, target, options)?;
        } else if metadata.is_dir() {
            self.zip.add_directory(name, options)?;
            self.add_entries_of(path, &format!("{name}/"))?;
        } else if metadata.is_file() {
            self.zip.start_file(name, options)?;
            let copied = std::io::copy(
                &mut fs::File::open(path)?.take(self.left + 1),
                &mut self.zip,
            )?;
            self.left = self.left.checked_sub(copied).with_context(|| {
                format!(
                    "the directory holds more than {} bytes",
                    limits::UNZIPPED_BYTES
                )
            })?;
        } else {
            bail!("it is neither file, directory nor link");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_directory_keeps_modes_and_links_and_is_always_the_same_zip() {
        let root = tempfile::tempdir().expect("a directory");
        fs::create_dir(root.path().join("bin")).expect("a directory");
        let program = root.path().join("bin/run");
        fs::write(&program, "#!/bin/sh\n").expect("a file");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a mode");
        fs::write(root.path().join("data"), "x").expect("a file");
        symlink("bin/run", root.path().join("bootstrap")).expect("a link");

        let zip = read(root.path()).expect("zipped");
        let mut archive = zip::ZipArchive::new(Cursor::new(zip.clone())).expect("a zip");
        let names: Vec<String> = archive
            .file_names()
            .map(|name| name.expect("a name").into_owned())
            .collect();
        assert_eq!(names, ["bin/", "bin/run", "bootstrap", "data"]);
        let mode = |archive: &mut zip::ZipArchive<_>, name| {
            archive
                .by_name(name)
                .expect("an entry")
                .unix_mode()
                .expect("a mode")
        };
        assert_eq!(mode(&mut archive, "bin/run") & 0o777, 0o755);
        assert!(archive.by_name("bootstrap").expect("an entry").is_symlink());

        fs::File::open(&program)
            .expect("a file")
            .set_modified(std::time::UNIX_EPOCH)
            .expect("a time");
        assert_eq!(read(root.path()).expect("zipped"), zip);
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let root = tempfile::tempdir().expect("a directory");
        let _socket =
            std::os::unix::net::UnixListener::bind(root.path().join("s")).expect("a socket");
        let error = format!("{:#}", read(root.path()).expect_err("refused"));
        assert!(
            error.contains("neither file, directory nor link"),
            "{error}"
        );
        let error = format!(
            "{:#}",
            read(&root.path().join("absent")).expect_err("refused")
        );
        assert!(error.contains("cannot read"), "{error}");
    }

    #[test]
    fn what_has_no_end_is_refused() {
        let error = format!("{:#}", read(Path::new("/dev/zero")).expect_err("refused"));
        assert!(error.contains("more than 70167211 bytes"), "{error}");
    }
}
