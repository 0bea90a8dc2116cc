//! What callers are told when the database itself fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use rusqlite::Connection;
use tempfile::TempDir;

use super::{SqlStore, dialect};
use crate::{AnyStore, CommitError, Key, NewEvent, Rev, StoreClock, Txn};

fn store(prepare: impl FnOnce(&mut Connection)) -> (TempDir, AnyStore) {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("bootlace.db");
    let Ok(mut connection) = dialect::open_writer(&path) else {
        panic!("no database")
    };
    prepare(&mut connection);
    let store = SqlStore::start(connection, &path, StoreClock::wall()).unwrap();
    (temp, AnyStore::Sql(store))
}

fn put(name: &str, bytes: usize) -> Txn {
    let puts = vec![(Key::new(name.to_owned()), Bytes::from(vec![7; bytes]))];
    Txn {
        puts,
        ..Txn::default()
    }
}

async fn has(store: &AnyStore, name: &str) -> bool {
    store
        .get(&Key::new(name.to_owned()))
        .await
        .unwrap()
        .is_some()
}

#[tokio::test]
async fn a_failed_commit_is_unknown_and_the_next_one_counts() {
    let failing = Arc::new(AtomicBool::new(false));
    let fails = Arc::clone(&failing);
    let (_temp, store) = store(|connection| {
        let hook = move || fails.load(Ordering::SeqCst);
        connection.commit_hook(Some(hook)).unwrap();
    });
    let mut watch = store.watch("", Rev(0));
    assert_eq!(store.commit(put("a", 1)).await.unwrap(), Rev(1));
    failing.store(true, Ordering::SeqCst);
    let lost = store.commit(put("b", 1)).await;
    assert!(matches!(lost, Err(CommitError::Unknown)), "{lost:?}");
    store
        .enqueue(vec![NewEvent::new(Bytes::from("e"))])
        .await
        .unwrap_err();
    store.clear().await.unwrap_err();
    failing.store(false, Ordering::SeqCst);
    assert!(has(&store, "a").await && !has(&store, "b").await);
    assert_eq!(store.commit(put("c", 1)).await.unwrap(), Rev(2));
    let mut seen = Vec::new();
    while watch.position() < Rev(2) {
        seen.extend(watch.next().await.unwrap());
    }
    let seen: Vec<_> = seen
        .iter()
        .map(|change| (change.key.as_str(), change.rev))
        .collect();
    assert_eq!(seen, [("a", Rev(1)), ("c", Rev(2))]);
    assert_eq!(store.depth().await.unwrap().ready, 0);
}

/// Holds the writer in its first commit after `armed`, so that what comes meanwhile is one group.
fn held(connection: &mut Connection, armed: Arc<AtomicBool>) -> std::sync::mpsc::Sender<()> {
    let (release, held) = std::sync::mpsc::channel();
    let hold = move || {
        if armed.swap(false, Ordering::SeqCst) {
            held.recv().unwrap();
        }
        false
    };
    connection.commit_hook(Some(hold)).unwrap();
    release
}

#[tokio::test]
async fn a_full_disk_loses_only_what_does_not_fit() {
    let mut release = None;
    let armed = Arc::new(AtomicBool::new(false));
    let (_temp, store) = store(|connection| {
        let pages: i64 = connection
            .query_row("PRAGMA page_count", [], |row| row.get(0))
            .unwrap();
        connection
            .pragma_update(None, "max_page_count", pages + 12)
            .unwrap();
        release = Some(held(connection, Arc::clone(&armed)));
    });
    let release = release.unwrap();
    armed.store(true, Ordering::SeqCst);
    let sizes = [
        ("first", 10),
        ("small", 10),
        ("too large", 60_000),
        ("also", 10),
    ];
    let commits = sizes.map(|(name, size)| store.commit(put(name, size)));
    let commits = futures_util::future::join_all(commits);
    // The commits are sent at their first poll, which comes before the release.
    let (done, ()) = tokio::join!(biased; commits, async { release.send(()).unwrap() });
    for ((name, size), done) in sizes.into_iter().zip(done) {
        match done {
            Ok(_) => assert!(size == 10 && has(&store, name).await, "{name}"),
            Err(CommitError::Unavailable(_)) => {
                assert!(size > 10 && !has(&store, name).await, "{name}");
            }
            Err(other) => panic!("{name}: {other}"),
        }
    }
    let page = store.scan("", None, 1_000).await.unwrap();
    assert_eq!(page.entries.len(), 3);
    assert_eq!(store.commit(put("later", 10)).await.unwrap(), Rev(4));
}
