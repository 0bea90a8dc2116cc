//! Zip files that clients upload: stored and unpacked, or refused, within their limits.
#![no_main]

use std::path::Path;
use std::sync::OnceLock;

use bootlace_store::Store;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tokio::runtime::Runtime;

const MAX_UNZIPPED: u64 = 1 << 20;

struct World {
    runtime: Runtime,
    temp: tempfile::TempDir,
}

static WORLD: OnceLock<World> = OnceLock::new();

fuzz_target!(|data: &[u8]| {
    let world = WORLD.get_or_init(|| World {
        runtime: tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime"),
        temp: tempfile::tempdir().expect("a directory"),
    });
    let place = tempfile::tempdir_in(&world.temp).expect("a directory");
    let store = Store::memory(place.path());
    let zip = Bytes::copy_from_slice(data);
    world.runtime.block_on(async {
        let Ok(code) = store.ingest_zip(zip, MAX_UNZIPPED).await else {
            return;
        };
        let tree = store
            .trees
            .tree(&code.digest)
            .await
            .expect("what was taken is there");
        let inside = tree.canonicalize().expect("a directory");
        let mut bytes = 0;
        check(&inside, &mut bytes);
        assert!(bytes <= MAX_UNZIPPED, "{bytes} bytes");
    });
    // Trees are read-only; root may remove them all the same, others must be let.
    let _ = place.close();
});

/// Only files, directories and links, and no more than was allowed.
fn check(directory: &Path, bytes: &mut u64) {
    for entry in directory.read_dir().expect("a directory") {
        let entry = entry.expect("an entry");
        let metadata = entry.path().symlink_metadata().expect("an entry");
        if metadata.is_dir() {
            check(&entry.path(), bytes);
        } else if metadata.is_file() {
            *bytes += metadata.len();
        } else {
            assert!(metadata.is_symlink(), "{}", entry.path().display());
        }
    }
}
