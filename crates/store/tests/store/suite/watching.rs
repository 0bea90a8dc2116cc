use std::collections::BTreeMap;
use std::time::Duration;

use bootlace_store::{AnyStore, Change, Key, Rev, Txn, Watch};
use bootlace_types::limits;
use bytes::Bytes;

use super::{Subject, delete, key, now, put};

/// What a watcher believes the documents to be.
#[derive(Default)]
struct Mirror {
    documents: BTreeMap<Key, (Bytes, Rev)>,
    last: Rev,
}

impl Mirror {
    fn apply(&mut self, changes: Vec<Change>) {
        for Change { key, value, rev } in changes {
            assert!(rev >= self.last, "revisions go forward");
            self.last = rev;
            match value {
                Some(value) => drop(self.documents.insert(key, (value, rev))),
                None => drop(self.documents.remove(&key)),
            }
        }
    }

    async fn follow(&mut self, watch: &mut Watch, until: Rev) {
        while watch.position() < until {
            self.apply(watch.next().await.unwrap());
        }
    }
}

async fn documents(store: &AnyStore, prefix: &str) -> BTreeMap<Key, (Bytes, Rev)> {
    let page = store
        .scan(prefix, None, limits::SCAN_PAGE_ENTRIES)
        .await
        .unwrap();
    assert!(!page.more);
    page.entries
        .into_iter()
        .map(|entry| (entry.key, (entry.value, entry.rev)))
        .collect()
}

/// Watchers that begin anywhere, while several writers put and delete, end where the store is.
pub(crate) async fn no_change_is_missed(subject: Subject) {
    let store = &subject.store;
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..6_u32 {
        let store = store.clone();
        tasks.spawn(async move {
            for number in 0..120_u32 {
                let name = format!("w/{}", (number * 7 + writer) % 23);
                let txn = match number % 4 {
                    0 => delete(name),
                    _ => put(name, format!("{writer}-{number}")),
                };
                store.commit(txn).await.unwrap();
            }
        });
    }
    let mut watchers = tokio::task::JoinSet::new();
    for _ in 0..5 {
        // Each starts from a page, as every consumer does.
        let page = store.scan("w/", None, 1_000).await.unwrap();
        let mut mirror = Mirror {
            last: page.rev,
            ..Mirror::default()
        };
        for entry in page.entries {
            mirror.documents.insert(entry.key, (entry.value, entry.rev));
        }
        let mut watch = store.watch("w/", page.rev);
        watchers.spawn(async move {
            let stop = "w/stop";
            while !mirror.documents.contains_key(&key(stop)) {
                mirror.apply(watch.next().await.unwrap());
            }
            mirror.documents
        });
        tokio::task::yield_now().await;
    }
    tasks.join_all().await;
    store.commit(put("w/stop", "")).await.unwrap();
    let truth = documents(store, "w/").await;
    for mirrored in watchers.join_all().await {
        assert_eq!(mirrored, truth);
    }
}

/// Every single commit is seen, and its changes come together.
pub(crate) async fn a_commit_comes_whole_and_once(subject: Subject) {
    let store = &subject.store;
    let mut watch = store.watch("two/", Rev(0));
    let writer = store.clone();
    let writer = tokio::spawn(async move {
        for number in 0..200 {
            let value = Bytes::from(number.to_string());
            let puts = vec![(key("two/a"), value.clone()), (key("two/b"), value)];
            writer
                .commit(Txn {
                    puts,
                    ..Txn::default()
                })
                .await
                .unwrap();
        }
    });
    let mut number = 0;
    while number < 200 {
        let changes = watch.next().await.unwrap();
        let (pairs, rest) = changes.as_chunks::<2>();
        assert!(rest.is_empty(), "half a commit");
        for [a, b] in pairs {
            assert_eq!((a.key.as_str(), b.key.as_str()), ("two/a", "two/b"));
            assert_eq!((&a.value, a.rev), (&b.value, b.rev));
            assert_eq!(a.value.as_deref(), Some(number.to_string().as_bytes()));
            number += 1;
        }
    }
    writer.await.unwrap();
}

/// A consumer that waits for a revision must not wait for ever when it changed other keys.
pub(crate) async fn foreign_commits_move_the_position(subject: Subject) {
    let store = &subject.store;
    let mut watch = store.watch("mine/", now(store).await);
    let rev = store.commit(put("other/a", "1")).await.unwrap();
    assert_eq!(watch.next().await.unwrap(), []);
    assert_eq!(watch.position(), rev);
}

/// Dropping `next` while it waits, as `select!` does, loses nothing.
pub(crate) async fn a_cancelled_wait_loses_nothing(subject: Subject) {
    let store = &subject.store;
    let mut watch = store.watch("", now(store).await);
    let mut mirror = Mirror::default();
    for number in 0..50 {
        let impatient = tokio::time::timeout(Duration::from_micros(number * 20), watch.next());
        let writing = store.commit(put(format!("k{number}"), "x"));
        let (seen, _) = tokio::join!(impatient, writing);
        if let Ok(changes) = seen {
            mirror.apply(changes.unwrap());
        }
    }
    mirror.follow(&mut watch, now(store).await).await;
    assert_eq!(mirror.documents.len(), 50);
}

/// More commits than the ring in memory holds, from many writers at once.
pub(crate) async fn write_many(store: &AnyStore, count: usize) -> Rev {
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..64 {
        let store = store.clone();
        tasks.spawn(async move {
            for number in (writer..count).step_by(64) {
                let name = format!("many/{}", number % 40);
                let txn = if number % 5 == 0 {
                    delete(name)
                } else {
                    put(name, number.to_string())
                };
                store.commit(txn).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    // So that every commit above this one counts, whether or not its delete found anything.
    store.commit(put("many/end", "")).await.unwrap()
}

/// A watcher far behind gets all of it from the history, when the back end has one.
pub(crate) async fn a_slow_watcher_reads_the_history(store: &AnyStore) {
    let mut watch = store.watch("many/", Rev(0));
    let end = write_many(store, 2 * limits::WATCH_RING_COMMITS).await;
    let mut mirror = Mirror::default();
    mirror.follow(&mut watch, end).await;
    assert_eq!(mirror.documents, documents(store, "many/").await);
}

/// One that is further behind than anything is remembered is told so.
pub(crate) async fn a_lost_watcher_is_told(store: &AnyStore, remembered: usize) {
    let mut watch = store.watch("many/", Rev(0));
    let end = write_many(store, remembered * 2).await;
    assert_eq!(watch.next().await, Err(bootlace_store::Compacted));
    // Starting over works.
    let page = store.scan("many/", None, 100).await.unwrap();
    assert_eq!(page.rev, end);
    let mut watch = store.watch("many/", page.rev);
    let rev = store.commit(put("many/more", "")).await.unwrap();
    assert_eq!(watch.next().await.unwrap()[0].rev, rev);
}
