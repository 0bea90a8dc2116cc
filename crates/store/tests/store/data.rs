//! The data directory, blobs, trees and garbage, on a real file system.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use crate::support::{EXECUTABLE, entry, file, link, zip};
use bootlace_store::logs::LogOptions;
use bootlace_store::{AnyStore, BlobStore, DataDir, Key, Store, Txn, blob_file, sha256};
use bytes::Bytes;
use futures_util::TryStreamExt as _;

const MAX: u64 = 1 << 20;
const NO_GRACE: Duration = Duration::ZERO;
const HOUR: Duration = Duration::from_secs(3_600);

async fn open(path: &Path) -> (DataDir, Store) {
    let data_dir = DataDir::open(path).unwrap();
    let store = Store::open(&data_dir, LogOptions::default()).await.unwrap();
    (data_dir, store)
}

fn code() -> Bytes {
    zip(&[
        entry("bootstrap", EXECUTABLE, "#!/bin/sh"),
        file("lib/x", "x"),
        link("l", "lib/x"),
    ])
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn a_data_dir_is_private_and_locked() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("new/data");
    let (data_dir, store) = open(&path).await;
    assert_eq!(data_dir.path(), path.canonicalize().unwrap());
    let digest = sha256(data_dir.path().as_os_str().as_encoded_bytes()).to_string();
    assert_eq!(data_dir.instance(), format!("bootlace-{}", &digest[..12]));
    for part in ["", "blobs", "trees", "trees/sha256", "logs", "run"] {
        assert_eq!(mode(&path.join(part)), 0o700, "{part}");
    }
    store.kv.commit(put("a", "1")).await.unwrap();
    for part in [
        "bootlace.db",
        "bootlace.db-wal",
        "bootlace.db-shm",
        "run/lock",
    ] {
        assert_eq!(mode(&path.join(part)), 0o600, "{part}");
    }

    let refused = DataDir::open(&path).unwrap_err().to_string();
    assert!(
        refused.contains(&format!("process {}", std::process::id())),
        "{refused}"
    );
    // Another way to the same place.
    std::os::unix::fs::symlink(&path, temp.path().join("alias")).unwrap();
    DataDir::open(&temp.path().join("alias")).unwrap_err();
    // The store holds the lock too: it still writes.
    drop(data_dir);
    DataDir::open(&path).unwrap_err();
    store.close().await;
    let again = DataDir::open(&path).unwrap();
    assert_eq!(again.instance(), format!("bootlace-{}", &digest[..12]));
}

#[tokio::test]
async fn a_later_format_is_refused_and_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    drop(DataDir::open(temp.path()).unwrap());
    fs::write(temp.path().join("format"), "2\n").unwrap();
    let leftover = temp.path().join("trees/staging/x");
    fs::write(&leftover, "").unwrap();
    let refused = DataDir::open(temp.path()).unwrap_err().to_string();
    assert!(
        refused.contains("format 2") && refused.contains("up to 1"),
        "{refused}"
    );
    assert!(leftover.exists());
    fs::write(temp.path().join("format"), "x").unwrap();
    DataDir::open(temp.path()).unwrap_err();
    fs::write(temp.path().join("format"), "1\n").unwrap();
    DataDir::open(temp.path()).unwrap();
}

#[tokio::test]
async fn opening_sweeps_what_a_crash_left() {
    let temp = tempfile::tempdir().unwrap();
    let (data_dir, store) = open(temp.path()).await;
    let code = store.ingest_zip(code(), MAX).await.unwrap();
    store.close().await;
    drop(data_dir);
    let half_blob = format!("{}#1", blob_file(temp.path(), &code.digest).display());
    let half_tree = temp.path().join("trees/staging/half");
    fs::create_dir_all(half_tree.join("d/e")).unwrap();
    fs::write(half_tree.join("d/f"), "x").unwrap();
    fs::write(&half_blob, "half").unwrap();
    fs::write(temp.path().join("format.tmp"), "1").unwrap();
    let (_data_dir, store) = open(temp.path()).await;
    assert!(!half_tree.exists() && !Path::new(&half_blob).exists());
    assert!(!temp.path().join("format.tmp").exists());
    assert!(store.blobs.exists(&code.digest).await.unwrap());
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let temp = tempfile::tempdir().unwrap();
    let (data_dir, store) = open(temp.path()).await;
    store.kv.commit(put("a", "1")).await.unwrap();
    let first = store.ingest_zip(code(), MAX).await.unwrap();
    assert_eq!(
        (first.digest, first.unzipped_bytes),
        (sha256(&code()), 9 + 1 + 5)
    );
    store.close().await;
    drop(data_dir);
    let (_data_dir, store) = open(temp.path()).await;
    assert_eq!(
        &store
            .kv
            .get(&Key::new("a".into()))
            .await
            .unwrap()
            .unwrap()
            .value[..],
        b"1"
    );
    assert_eq!(
        store.blobs.get(&first.digest).await.unwrap().unwrap(),
        code()
    );
    assert_eq!(store.ingest_zip(code(), MAX).await.unwrap(), first);
    let tree = store.trees.tree(&first.digest).await.unwrap();
    assert_eq!(fs::read(tree.join("l")).unwrap(), b"x");
}

#[tokio::test]
async fn blobs_are_what_their_digest_says() {
    let temp = tempfile::tempdir().unwrap();
    for blobs in [BlobStore::memory(), BlobStore::local(temp.path()).unwrap()] {
        let bytes = Bytes::from("some bytes");
        let digest = sha256(&bytes);
        assert_eq!(blobs.get(&digest).await.unwrap(), None);
        blobs
            .put_if_absent(&digest, Bytes::from("other bytes"))
            .await
            .unwrap_err();
        assert!(!blobs.exists(&digest).await.unwrap());
        let puts = (0..8).map(|_| blobs.put_if_absent(&digest, bytes.clone()));
        futures_util::future::try_join_all(puts).await.unwrap();
        assert_eq!(blobs.get(&digest).await.unwrap().unwrap(), bytes);
        assert_eq!(
            blobs.get_range(&digest, 5..10).await.unwrap().unwrap(),
            "bytes"
        );
        let (length, stream) = blobs.get_stream(&digest).await.unwrap().unwrap();
        let pieces: Vec<Bytes> = stream.try_collect().await.unwrap();
        assert_eq!((length, pieces.concat()), (10, bytes.to_vec()));
        let listed: Vec<_> = blobs.list().try_collect().await.unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!((listed[0].digest, listed[0].bytes), (digest, 10));
        blobs.delete(&digest).await.unwrap();
        blobs.delete(&digest).await.unwrap();
        assert!(!blobs.exists(&digest).await.unwrap());
    }
}

#[tokio::test]
async fn many_uploads_of_one_zip_make_one_tree() {
    let temp = tempfile::tempdir().unwrap();
    let (_data_dir, store) = open(temp.path()).await;
    let uploads = (0..16).map(|_| store.ingest_zip(code(), MAX));
    let codes = futures_util::future::try_join_all(uploads).await.unwrap();
    assert!(codes.iter().all(|code| *code == codes[0]));
    assert_eq!(
        fs::read_dir(temp.path().join("trees/staging"))
            .unwrap()
            .count(),
        0
    );
    let uid = fs::metadata(store.trees.path_of(&codes[0].digest)).map(|found| {
        use std::os::unix::fs::MetadataExt as _;
        found.uid()
    });
    assert_eq!(uid.unwrap(), rustix::process::getuid().as_raw());
}

/// Trees are disposable: whatever becomes of one, the blob makes it anew.
#[tokio::test]
async fn a_damaged_tree_is_extracted_again() {
    let temp = tempfile::tempdir().unwrap();
    let code = {
        let (_data_dir, store) = open(temp.path()).await;
        let code = store.ingest_zip(code(), MAX).await.unwrap();
        store.close().await;
        code
    };
    let tree = temp
        .path()
        .join("trees/sha256")
        .join(code.digest.to_string());
    let check = tree.with_extension("check");
    let damage: [&dyn Fn(); 8] = [
        &|| fs::remove_dir_all(&tree).unwrap(),
        &|| fs::remove_file(tree.join("bootstrap")).unwrap(),
        &|| fs::write(tree.join("lib/x"), "longer").unwrap(),
        &|| fs::write(tree.join("lib/more"), "").unwrap(),
        &|| fs::set_permissions(tree.join("bootstrap"), fs::Permissions::from_mode(0o644)).unwrap(),
        &|| {
            fs::remove_file(tree.join("l")).unwrap();
            std::os::unix::fs::symlink("/etc/passwd", tree.join("l")).unwrap();
        },
        &|| fs::remove_file(&check).unwrap(),
        // From before the machine was started: the files' contents may not have reached the disk.
        &|| {
            let noted = fs::read_to_string(&check).unwrap();
            let (_, print) = noted.split_once(' ').unwrap();
            fs::write(&check, format!("earlier {print}")).unwrap();
            fs::write(tree.join("lib/x"), "\0").unwrap();
        },
    ];
    for damage in damage {
        damage();
        let (_data_dir, store) = open(temp.path()).await;
        let path = store.trees.tree(&code.digest).await.unwrap();
        assert_eq!(path, store.trees.path_of(&code.digest));
        assert_eq!(fs::read(path.join("l")).unwrap(), b"x");
        assert_eq!(mode(&path.join("bootstrap")), 0o755);
        assert_eq!(fs::read_dir(path.join("lib")).unwrap().count(), 1);
        assert_eq!(
            fs::read_dir(temp.path().join("trees/staging"))
                .unwrap()
                .count(),
            0
        );
        store.close().await;
    }
}

#[tokio::test]
async fn a_tree_without_its_blob_is_an_error() {
    let temp = tempfile::tempdir().unwrap();
    let (_data_dir, store) = open(temp.path()).await;
    let missing = store.trees.tree(&sha256(b"nothing")).await.unwrap_err();
    assert!(missing.to_string().contains("blob is missing"), "{missing}");
    let code = store.ingest_zip(code(), MAX).await.unwrap();
    fs::remove_dir_all(store.trees.path_of(&code.digest)).unwrap();
    let blob = blob_file(temp.path(), &code.digest);
    let mut bytes = fs::read(&blob).unwrap();
    bytes[40] ^= 1;
    fs::write(&blob, bytes).unwrap();
    let damaged = store.trees.tree(&code.digest).await.unwrap_err();
    assert!(damaged.to_string().contains("damaged"), "{damaged}");
    // Half a blob is replaced by the next upload of the same bytes.
    fs::write(&blob, "half").unwrap();
    store.ingest_zip(self::code(), MAX).await.unwrap();
    store.trees.tree(&code.digest).await.unwrap();
    assert_eq!(
        store.blobs.get(&code.digest).await.unwrap().unwrap(),
        self::code()
    );
}

#[tokio::test]
async fn garbage_goes_and_what_is_named_stays() {
    for temp in [None, Some(tempfile::tempdir().unwrap())] {
        let other = tempfile::tempdir().unwrap();
        let (_data_dir, store) = match &temp {
            Some(temp) => {
                let (data_dir, store) = open(temp.path()).await;
                (Some(data_dir), store)
            }
            None => (None, Store::memory(other.path())),
        };
        let used = store.ingest_zip(code(), MAX).await.unwrap();
        let unused = store.ingest_zip(zip(&[file("a", "a")]), MAX).await.unwrap();
        let named = format!(r#"{{"any":{{"shape":["{}"]}}}}"#, used.digest);
        store.kv.commit(put("f", &named)).await.unwrap();
        let referenced = store.referenced().await.unwrap();
        assert_eq!(referenced, HashSet::from([used.digest]));

        let young = store.collect_garbage(&referenced, HOUR).await.unwrap();
        assert_eq!(
            (young.blobs, young.trees),
            (0, 0),
            "an upload in progress has no name yet"
        );
        let old = store.collect_garbage(&referenced, NO_GRACE).await.unwrap();
        assert_eq!((old.blobs, old.trees), (1, 1));
        assert_eq!(old.blob_bytes, unused.zip_bytes);
        assert!(!store.blobs.exists(&unused.digest).await.unwrap());
        assert!(!store.trees.path_of(&unused.digest).exists());
        store.trees.tree(&unused.digest).await.unwrap_err();
        store.trees.tree(&used.digest).await.unwrap();

        // What was swept may come back.
        store.ingest_zip(zip(&[file("a", "a")]), MAX).await.unwrap();
        store.trees.tree(&unused.digest).await.unwrap();

        store.reset().await.unwrap();
        let referenced = store.referenced().await.unwrap();
        let all = store.collect_garbage(&referenced, NO_GRACE).await.unwrap();
        assert_eq!((all.blobs, all.trees), (2, 2));
    }
}

/// A blob that is put again is young again, so a sweep cannot take it from under the new upload.
#[tokio::test]
async fn an_old_blob_is_young_when_it_is_put_again() {
    let temp = tempfile::tempdir().unwrap();
    let (_data_dir, store) = open(temp.path()).await;
    let code = store.ingest_zip(code(), MAX).await.unwrap();
    let blob = fs::File::open(blob_file(temp.path(), &code.digest)).unwrap();
    blob.set_modified(std::time::UNIX_EPOCH).unwrap();
    store.ingest_zip(self::code(), MAX).await.unwrap();
    let collected = store.collect_garbage(&HashSet::new(), HOUR).await.unwrap();
    assert_eq!(collected.blobs, 0);
}

fn put(name: &str, value: &str) -> Txn {
    let puts = vec![(Key::new(name.to_owned()), Bytes::from(value.to_owned()))];
    Txn {
        puts,
        ..Txn::default()
    }
}

#[tokio::test]
async fn the_log_is_moved_when_the_writer_is_idle() {
    let temp = tempfile::tempdir().unwrap();
    let (_data_dir, store) = open(temp.path()).await;
    assert!(matches!(store.kv, AnyStore::Sql(_)));
    let database = temp.path().join("bootlace.db");
    let before = fs::metadata(&database).unwrap().len();
    for number in 0..30 {
        store
            .kv
            .commit(put(&format!("k{number}"), &"x".repeat(60_000)))
            .await
            .unwrap();
    }
    let moved = async {
        while fs::metadata(&database).unwrap().len() < before + 1_500_000 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), moved)
        .await
        .expect("no checkpoint");
}
