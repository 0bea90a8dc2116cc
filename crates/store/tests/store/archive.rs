//! Zip archives from strangers: what is taken becomes exactly its tree, and what is refused leaves
//! nothing, inside the directory or out of it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::support::{EXECUTABLE, Entry, FILE, FOLDER, LINK, entry, file, link, zip};
use bootlace_store::{IngestError, Store};
use bootlace_types::limits;
use bytes::Bytes;

const MAX: u64 = 1 << 20;

/// A store in a directory of its own, with something beside it that nobody may touch.
struct Place {
    temp: tempfile::TempDir,
    store: Store,
}

impl Place {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("outside"), "untouched").unwrap();
        fs::create_dir(temp.path().join("data")).unwrap();
        let store = Store::memory(&temp.path().join("data"));
        Self { temp, store }
    }

    /// Ingests, and checks that nothing but the tree came of it.
    async fn ingest(&self, zip: Bytes) -> Result<PathBuf, IngestError> {
        let done = self.store.ingest_zip(zip, MAX).await;
        assert_eq!(
            fs::read(self.temp.path().join("outside")).unwrap(),
            b"untouched"
        );
        assert_eq!(
            names(self.temp.path()),
            ["data", "outside"].map(PathBuf::from)
        );
        let data = self.temp.path().join("data");
        assert!(
            names(&data.join("trees/staging")).is_empty(),
            "nothing half done"
        );
        match done {
            Ok(code) => {
                assert!(self.store.blobs.exists(&code.digest).await.unwrap());
                Ok(self.store.trees.path_of(&code.digest))
            }
            Err(error) => {
                assert!(
                    names(&data.join("trees/sha256")).is_empty(),
                    "no tree of a refused zip"
                );
                use futures_util::TryStreamExt as _;
                let blobs: Vec<_> = self.store.blobs.list().try_collect().await.unwrap();
                assert!(blobs.is_empty(), "no blob of a refused zip");
                Err(error)
            }
        }
    }
}

fn names(path: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = match fs::read_dir(path) {
        Ok(entries) => entries
            .map(|entry| entry.unwrap().file_name().into())
            .collect(),
        Err(_) => Vec::new(),
    };
    found.sort();
    found
}

/// What is in a tree: the mode and the contents, or where a link leads.
fn tree(root: &Path) -> BTreeMap<String, (u32, String)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let what = if meta.is_symlink() {
                fs::read_link(&path).unwrap().to_str().unwrap().to_owned()
            } else if meta.is_dir() {
                folders.push(path.clone());
                "/".to_owned()
            } else {
                fs::read_to_string(&path).unwrap()
            };
            let name = path
                .strip_prefix(root)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            found.insert(name, (meta.permissions().mode() & 0o7777, what));
        }
    }
    found
}

async fn taken(entries: &[Entry]) -> BTreeMap<String, (u32, String)> {
    let place = Place::new();
    tree(&place.ingest(zip(entries)).await.unwrap())
}

async fn refused(entries: &[Entry]) -> IngestError {
    Place::new().ingest(zip(entries)).await.unwrap_err()
}

async fn check_unsafe(entries: &[Entry], expected: &str) {
    let error = refused(entries).await;
    assert!(matches!(error, IngestError::Unsafe { .. }), "{error:?}");
    assert!(
        error.to_string().contains(expected),
        "{error} does not say: {expected}"
    );
}

fn with(mut entry: Entry, change: impl FnOnce(&mut Entry)) -> Entry {
    change(&mut entry);
    entry
}

#[tokio::test]
async fn a_tree_is_what_the_archive_says() {
    let found = taken(&[
        entry("bootstrap", EXECUTABLE, "#!/bin/sh"),
        entry("lib/", FOLDER, ""),
        entry("lib/deep/er/x.txt", FILE, "x"),
        file("./dotted//y.txt", "y"),
        link("lib/link", "deep/er/x.txt"),
        link("up", "lib/../bootstrap"),
        link("nowhere", "not/there"),
        file("..almost", "dots"),
        file("back\\slash", "one name"),
    ])
    .await;
    let is = |mode, what: &str| (mode, what.to_owned());
    let expected = BTreeMap::from(
        [
            ("bootstrap", is(0o755, "#!/bin/sh")),
            ("lib", is(0o755, "/")),
            ("lib/deep", is(0o755, "/")),
            ("lib/deep/er", is(0o755, "/")),
            ("lib/deep/er/x.txt", is(0o644, "x")),
            ("dotted", is(0o755, "/")),
            ("dotted/y.txt", is(0o644, "y")),
            ("lib/link", is(0o777, "deep/er/x.txt")),
            ("up", is(0o777, "lib/../bootstrap")),
            ("nowhere", is(0o777, "not/there")),
            ("..almost", is(0o644, "dots")),
            ("back\\slash", is(0o644, "one name")),
        ]
        .map(|(name, what)| (name.to_owned(), what)),
    );
    assert_eq!(found, expected);
}

#[tokio::test]
async fn modes_are_tamed() {
    let found = taken(&[
        entry("setuid", 0o106_755, ""),
        entry("sticky/", 0o041_700, ""),
        entry("private", 0o100_600, ""),
        entry("unknown", 0, ""),
        entry("unknown-folder/", 0, ""),
        with(file("from-windows", ""), |entry| {
            (entry.system, entry.mode) = (0, 0)
        }),
        with(file("unix-after-all", ""), |entry| {
            (entry.system, entry.mode) = (0, EXECUTABLE);
        }),
        entry("no-permissions", 0o100_000, ""),
        entry("all", 0o100_777, ""),
    ])
    .await;
    let modes: Vec<_> = found
        .iter()
        .map(|(name, (mode, _))| (name.as_str(), *mode))
        .collect();
    assert_eq!(
        modes,
        [
            ("all", 0o777),
            ("from-windows", 0o644),
            ("no-permissions", 0o644),
            ("private", 0o644),
            ("setuid", 0o755),
            ("sticky", 0o755),
            ("unix-after-all", 0o755),
            ("unknown", 0o644),
            ("unknown-folder", 0o755),
        ]
    );
}

#[tokio::test]
async fn times_are_those_of_the_archive() {
    let place = Place::new();
    let root = place
        .ingest(zip(&[file("d/f", "x"), entry("d/", FOLDER, "")]))
        .await
        .unwrap();
    for name in ["d", "d/f"] {
        let modified = fs::metadata(root.join(name)).unwrap().modified().unwrap();
        let since = modified.duration_since(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(since.as_secs(), 1_704_110_400, "2024-01-01 12:00 UTC");
    }
}

#[tokio::test]
async fn what_is_no_zip_is_told_so() {
    let place = Place::new();
    let whole = zip(&[file("a", "aaaaaaaaaaaaaaaaaaaaaaaa"), file("b", "b")]);
    let shuffled: Vec<u8> = whole.iter().rev().copied().collect();
    for bytes in [
        Bytes::new(),
        Bytes::from("not a zip"),
        Bytes::from(vec![0; 100_000]),
        Bytes::from("PK\x03\x04"),
        whole.slice(..whole.len() - 1),
        whole.slice(..whole.len() / 2),
        shuffled.into(),
    ] {
        let error = place.ingest(bytes).await.unwrap_err();
        assert!(matches!(error, IngestError::NotAZip), "{error:?}");
    }
    assert!(matches!(
        place.ingest(zip(&[])).await.unwrap_err(),
        IngestError::Empty
    ));
}

#[tokio::test]
async fn damaged_contents_are_found() {
    for entries in [
        [with(file("a", "aaaa"), |entry| entry.crc ^= 1)],
        [with(file("a", "aaaa"), |entry| entry.method = 8)],
        [with(file("a", "aaaa"), |entry| {
            entry.claimed_size = Some(5)
        })],
        [with(file("a", "aaaa"), |entry| {
            entry.claimed_size = Some(3)
        })],
        [with(link("a", "aaaa"), |entry| entry.crc ^= 1)],
    ] {
        let error = refused(&entries).await;
        assert!(
            matches!(&error, IngestError::Corrupt { path } if path == "a"),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn paths_stay_inside() {
    for name in ["../outside", "a/../../outside", "a/..", "..", "a/b/../c"] {
        check_unsafe(&[file(name, "x")], "its path leaves the archive").await;
        check_unsafe(
            &[entry(format!("{name}/"), FOLDER, "")],
            "its path leaves the archive",
        )
        .await;
    }
    for name in ["/etc/passwd", "/", "//server/share"] {
        check_unsafe(&[file(name, "x")], "its path is absolute").await;
    }
    check_unsafe(&[file("", "x")], "it has no name").await;
    check_unsafe(&[file(".", "x")], "it has no name").await;
    check_unsafe(&[entry(b"a\0b", FILE, "x")], "NUL").await;
    let long = "n/".repeat(limits::ZIP_PATH_BYTES);
    assert!(matches!(
        refused(&[file(&long, "x")]).await,
        IngestError::PathTooLong { .. }
    ));
    let long = "n".repeat(256);
    assert!(matches!(
        refused(&[file(&long, "x")]).await,
        IngestError::PathTooLong { .. }
    ));
}

#[tokio::test]
async fn links_stay_inside() {
    for (name, target) in [
        ("a", ".."),
        ("a", "../outside"),
        ("a", "b/../../outside"),
        ("d/a", "../../outside"),
        ("d/a", "../d/../../outside"),
    ] {
        check_unsafe(&[link(name, target)], "leaves the archive").await;
    }
    check_unsafe(&[link("a", "/etc/passwd")], "absolute").await;
    check_unsafe(&[link("a", "")], "no target").await;
    check_unsafe(&[entry("a", LINK, b"x\0y")], "NUL").await;
    check_unsafe(&[link("a", &"x/".repeat(600))], "too long").await;
    check_unsafe(&[link("a", "b"), link("b", "a")], "circle").await;
    // A path that stays inside as text, and leaves once the other link is followed.
    let tricky = [link("d/e/top", "../.."), link("out", "d/e/top/../outside")];
    check_unsafe(&tricky, "leaves the archive").await;
    let reversed = [tricky[1].clone(), tricky[0].clone()];
    check_unsafe(&reversed, "leaves the archive").await;
    check_unsafe(
        &[entry("a/", LINK, "b")],
        "neither a file, a folder nor a link",
    )
    .await;
}

#[tokio::test]
async fn nothing_is_written_through_a_link() {
    let through = "written through a link";
    check_unsafe(
        &[entry("d/", FOLDER, ""), link("l", "d"), file("l/x", "")],
        through,
    )
    .await;
    check_unsafe(&[link("l", "d"), file("l/x/y", "")], through).await;
    check_unsafe(&[link("l", "."), entry("l/d/", FOLDER, "")], through).await;
    // The same the other way round: the folder is there before the link.
    check_unsafe(&[file("l/x", ""), link("l", "d")], "twice").await;
    check_unsafe(&[link("l", "x"), file("l", "")], "twice").await;
    check_unsafe(&[file("l", ""), link("l", "x")], "twice").await;
}

#[tokio::test]
async fn contradictions_are_refused() {
    check_unsafe(&[file("a", "1"), file("a", "2")], "twice").await;
    check_unsafe(&[file("a", "1"), file("./a", "2")], "twice").await;
    check_unsafe(&[file("a", "1"), entry("a/", FOLDER, "")], "twice").await;
    check_unsafe(&[entry("a/", FOLDER, ""), file("a", "1")], "twice").await;
    check_unsafe(
        &[file("a", "1"), file("a/b", "2")],
        "a file is used as a folder",
    )
    .await;
    let folders = [
        entry("a/", FOLDER, ""),
        entry("a/", 0o040_777, ""),
        file("a/b", ""),
    ];
    assert_eq!(
        taken(&folders).await["a"].0,
        0o777,
        "a folder may be named again"
    );
}

#[tokio::test]
async fn strange_kinds_are_refused() {
    for kind in [0o010_000, 0o020_000, 0o060_000, 0o140_000] {
        let strange = entry("a", kind | 0o644, "");
        check_unsafe(&[strange], "neither a file, a folder nor a link").await;
    }
    check_unsafe(
        &[with(file("a", "x"), |entry| entry.flags = 1)],
        "encrypted",
    )
    .await;
    check_unsafe(
        &[with(file("a", "x"), |entry| entry.method = 12)],
        "compression",
    )
    .await;
    check_unsafe(
        &[with(file("a", "x"), |entry| entry.method = 99)],
        "compression",
    )
    .await;
}

fn deflated(name: &str, bytes: usize) -> Vec<u8> {
    use std::io::Write as _;
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer
        .start_file(name, zip::write::SimpleFileOptions::default())
        .unwrap();
    writer.write_all(&vec![0; bytes]).unwrap();
    writer.finish().unwrap().into_inner()
}

#[tokio::test]
async fn bombs_do_not_go_off() {
    let place = Place::new();
    let limit = usize::try_from(MAX).unwrap();
    let fits = Store::memory(&place.temp.path().join("data/other"));
    let code = fits
        .ingest_zip(deflated("a", limit).into(), MAX)
        .await
        .unwrap();
    assert_eq!(code.unzipped_bytes, MAX);

    let honest = deflated("a", limit + 1);
    let error = place.ingest(honest.clone().into()).await.unwrap_err();
    assert!(
        matches!(error, IngestError::UnzippedTooLarge { limit: MAX }),
        "{error:?}"
    );

    // The same contents under headers that claim to be small.
    let mut lying = honest;
    let claimed = u32::try_from(limit + 1).unwrap().to_le_bytes();
    for at in (0..lying.len() - 4).rev() {
        if lying[at..at + 4] == claimed {
            lying[at..at + 4].copy_from_slice(&100_u32.to_le_bytes());
        }
    }
    let error = place.ingest(lying.into()).await.unwrap_err();
    assert!(matches!(error, IngestError::Corrupt { .. }), "{error:?}");

    // Many that share the bytes of one.
    let shares = |name: &str| {
        with(file(name, &"x".repeat(1_000)), |entry| {
            entry.shares = Some(0)
        })
    };
    let one = file("one", &"x".repeat(1_000));
    check_unsafe(&[one, shares("two"), shares("three")], "overlaps").await;

    let huge = with(file("a", ""), |entry| {
        entry.claimed_size = Some(u32::MAX - 1)
    });
    let error = refused(&[huge]).await;
    assert!(
        matches!(error, IngestError::UnzippedTooLarge { .. }),
        "{error:?}"
    );
}

/// An archive of empty files, with a zip64 directory as there are so many.
fn crowd(count: usize) -> Bytes {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for number in 0..count {
        writer.start_file(number.to_string(), stored).unwrap();
    }
    writer.finish().unwrap().into_inner().into()
}

#[tokio::test]
async fn crowds_are_refused() {
    let place = Place::new();
    let error = place
        .ingest(crowd(limits::ZIP_ENTRIES + 1))
        .await
        .unwrap_err();
    assert!(
        matches!(error, IngestError::TooManyEntries { .. }),
        "{error:?}"
    );
    // Few entries with deep paths would make as many folders.
    let deep: Vec<_> = (0..250)
        .map(|n| file(&format!("{n}/{}x", "d/".repeat(450)), ""))
        .collect();
    assert!(matches!(
        refused(&deep).await,
        IngestError::TooManyEntries { .. }
    ));
}

/// As deep as a path may be; taking it down again needs no more descriptors than there are.
#[tokio::test]
async fn deep_folders_come_and_go() {
    let place = Place::new();
    let deep = format!("{}x", "d/".repeat(limits::ZIP_PATH_BYTES / 2 - 1));
    let root = place.ingest(zip(&[file(&deep, "bottom")])).await.unwrap();
    assert_eq!(fs::read(root.join(&deep)).unwrap(), b"bottom");
    let swept = place
        .store
        .collect_garbage(&Default::default(), std::time::Duration::ZERO)
        .await;
    assert_eq!(swept.unwrap().trees, 1);
    assert!(!root.exists());
}

mod any_archive {
    use proptest::prelude::*;

    use super::*;

    fn name() -> impl Strategy<Value = Vec<u8>> {
        let usual = prop::sample::select(vec![&b"a"[..], b"b", b"c", b"d"]);
        let odd = prop::sample::select(vec![&b".."[..], b".", b"", b"\xff\\", b"\0"]);
        let part = prop_oneof![9 => usual, 1 => odd].prop_map(<[u8]>::to_vec);
        prop_oneof![
            9 => prop::collection::vec(part, 1..5).prop_map(|parts| parts.join(&b'/')),
            1 => prop::collection::vec(any::<u8>(), 0..12),
        ]
    }

    fn entries() -> impl Strategy<Value = Vec<Entry>> {
        let kinds = [
            FILE, EXECUTABLE, FOLDER, LINK, LINK, 0, 0o010_644, 0o107_777,
        ];
        // A link's target climbs more than a name may.
        let climb =
            (0..4_usize, name()).prop_map(|(up, name)| [&b"../".repeat(up)[..], &name].concat());
        let one = (name(), prop::sample::select(kinds.to_vec()), climb);
        let one = one.prop_map(|(name, mode, data)| entry(name, mode, data));
        prop::collection::vec(one, 1..6)
    }

    /// Follows every link of a tree as the system does, and finds all of them inside.
    fn assert_closed(root: &Path) {
        let mut folders = vec![root.to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let meta = fs::symlink_metadata(&path).unwrap();
                assert_eq!(meta.permissions().mode() & 0o7000, 0);
                if meta.is_dir() {
                    folders.push(path);
                } else if meta.is_symlink() {
                    if let Ok(target) = path.canonicalize() {
                        assert!(target.starts_with(root), "{path:?} leads to {target:?}");
                    }
                } else {
                    assert!(meta.is_file());
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 400, failure_persistence: None, ..ProptestConfig::default()
        })]

        /// Whatever the names, kinds and targets: it is refused, or becomes a closed tree.
        #[test]
        fn nothing_escapes(entries in entries()) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let place = Place::new();
                if let Ok(root) = place.ingest(zip(&entries)).await {
                    assert_closed(&root.canonicalize().unwrap());
                }
            });
        }

        /// Bytes changed at random never panic, and never leave anything behind.
        #[test]
        fn damage_is_an_error(at in any::<prop::sample::Index>(), to in any::<u8>()) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let whole = zip(&[file("d/a", "aaaa"), link("l", "d/a"), entry("e/", FOLDER, "")]);
            let mut bytes = whole.to_vec();
            let at = at.index(bytes.len());
            bytes[at] = to;
            runtime.block_on(async {
                if let Ok(root) = Place::new().ingest(bytes.into()).await {
                    drop(root);
                }
            });
        }
    }
}
