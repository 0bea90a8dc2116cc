use std::collections::BTreeMap;

use bootlace_store::{CommitError, Expect, NewEvent, Rev, Txn};
use bootlace_types::limits;
use bytes::Bytes;

use super::{Subject, delete, key, now, only_if, put, value};

/// The test that told a broken compare-and-swap from a right one when engines were compared.
pub(crate) async fn contended_increments_are_never_lost(subject: Subject) {
    let store = &subject.store;
    store.commit(put("counter", "0")).await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let store = store.clone();
        writers.spawn(async move {
            let mut conflicts = 0;
            for _ in 0..100 {
                loop {
                    let entry = store.get(&key("counter")).await.unwrap().unwrap();
                    let count: u32 = std::str::from_utf8(&entry.value).unwrap().parse().unwrap();
                    let txn = put("counter", (count + 1).to_string());
                    match store
                        .commit(only_if(txn, "counter", Expect::Rev(entry.rev)))
                        .await
                    {
                        Ok(_) => break,
                        Err(CommitError::Conflict(_)) => conflicts += 1,
                        Err(other) => panic!("{other}"),
                    }
                }
            }
            conflicts
        });
    }
    writers.join_all().await;
    assert_eq!(value(store, "counter").await.as_deref(), Some("800"));
    assert_eq!(
        now(store).await,
        Rev(801),
        "one revision for each acknowledged commit"
    );
}

pub(crate) async fn a_refused_transaction_changes_nothing(subject: Subject) {
    let store = &subject.store;
    let first = store.commit(put("a", "1")).await.unwrap();
    let txn = Txn {
        checks: vec![
            (key("a"), Expect::Rev(first)),
            (key("b"), Expect::Rev(Rev(77))),
        ],
        puts: vec![(key("a"), Bytes::from("2")), (key("c"), Bytes::from("2"))],
        deletes: vec![key("a2")],
        events: vec![NewEvent::new(Bytes::from("never"))],
    };
    let refused = store.commit(txn).await;
    assert!(matches!(refused, Err(CommitError::Conflict(at)) if at == key("b")));
    assert_eq!(value(store, "a").await.as_deref(), Some("1"));
    assert_eq!(value(store, "c").await, None);
    assert_eq!(store.depth().await.unwrap().ready, 0);
    assert_eq!(now(store).await, first);
}

pub(crate) async fn expectations_are_of_the_state_before(subject: Subject) {
    let store = &subject.store;
    let rev = store
        .commit(only_if(put("a", "1"), "a", Expect::Absent))
        .await
        .unwrap();
    let again = store
        .commit(only_if(put("a", "2"), "a", Expect::Absent))
        .await;
    assert!(matches!(again, Err(CommitError::Conflict(_))));
    store
        .commit(only_if(put("a", "2"), "a", Expect::Any))
        .await
        .unwrap();
    let stale = store
        .commit(only_if(delete("a"), "a", Expect::Rev(rev)))
        .await;
    assert!(matches!(stale, Err(CommitError::Conflict(_))));
    store.commit(delete("a")).await.unwrap();
    store
        .commit(only_if(put("b", "1"), "a", Expect::Absent))
        .await
        .unwrap();
}

/// A reader sees both documents of a commit or neither, and they have the commit's revision.
pub(crate) async fn a_commit_is_seen_whole(subject: Subject) {
    let store = subject.store.clone();
    let writer = tokio::spawn(async move {
        for number in 0..300 {
            let value = Bytes::from(number.to_string());
            let puts = vec![(key("twin/a"), value.clone()), (key("twin/b"), value)];
            store
                .commit(Txn {
                    puts,
                    ..Txn::default()
                })
                .await
                .unwrap();
        }
    });
    while !writer.is_finished() {
        let page = subject.store.scan("twin/", None, 10).await.unwrap();
        if let [a, b] = &page.entries[..] {
            assert_eq!((&a.value, a.rev), (&b.value, b.rev));
            assert!(a.rev <= page.rev);
        } else {
            assert!(page.entries.is_empty(), "half a commit: {page:?}");
        }
    }
    writer.await.unwrap();
}

/// Commits made at the same time share an fsync; one that is refused takes no other along.
pub(crate) async fn a_conflict_does_not_spoil_its_neighbours(subject: Subject) {
    let store = &subject.store;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..200_u32 {
        let store = store.clone();
        tasks.spawn(async move {
            let txn = put(format!("n/{number:03}"), "x");
            let wrong = if number % 3 == 0 {
                Expect::Rev(Rev(9_999))
            } else {
                Expect::Absent
            };
            (number, store.commit(only_if(txn, "nowhere", wrong)).await)
        });
    }
    let mut revs = BTreeMap::new();
    for (number, done) in tasks.join_all().await {
        match done {
            Ok(rev) => assert!(revs.insert(rev, number).is_none(), "a revision given twice"),
            Err(CommitError::Conflict(at)) => assert_eq!((number % 3, at), (0, key("nowhere"))),
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(revs.len(), 133);
    let page = store.scan("n/", None, 1_000).await.unwrap();
    assert_eq!(page.entries.len(), 133);
    for entry in page.entries {
        assert_eq!(format!("n/{:03}", revs[&entry.rev]), entry.key.as_str());
    }
}

pub(crate) async fn pages_are_complete_and_bounded(subject: Subject) {
    let store = &subject.store;
    for name in ["a", "p/", "p/a", "p/b", "p/b/c", "p/ü", "p0", "q"] {
        store.commit(put(name, name)).await.unwrap();
    }
    let names = |page: &bootlace_store::Page| -> Vec<String> {
        page.entries
            .iter()
            .map(|entry| entry.key.to_string())
            .collect()
    };
    let all = store.scan("p/", None, 100).await.unwrap();
    assert_eq!(names(&all), ["p/", "p/a", "p/b", "p/b/c", "p/ü"]);
    assert!(!all.more);
    let first = store.scan("p/", None, 2).await.unwrap();
    assert_eq!(
        (names(&first), first.more),
        (vec!["p/".into(), "p/a".into()], true)
    );
    let rest = store.scan("p/", Some(&key("p/a")), 3).await.unwrap();
    assert_eq!(
        (names(&rest), rest.more),
        (vec!["p/b".into(), "p/b/c".into(), "p/ü".into()], false)
    );
    let before = store.scan("p/", Some(&key("a")), 1).await.unwrap();
    assert_eq!(
        names(&before),
        ["p/"],
        "a key before the prefix starts at the prefix"
    );
    assert_eq!(
        names(&store.scan("p/", Some(&key("z")), 9).await.unwrap()),
        [""; 0]
    );
    assert_eq!(names(&store.scan("", None, 1).await.unwrap()), ["a"]);
}

/// What stays put while others come and go is on exactly one page, whatever happens meanwhile.
pub(crate) async fn paging_under_writes_misses_nothing(subject: Subject) {
    let store = &subject.store;
    for number in 0..60 {
        store
            .commit(put(format!("p/{number:03}/stays"), "x"))
            .await
            .unwrap();
    }
    let churn = store.clone();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let writer = tokio::spawn(async move {
        let mut stopped = stopped;
        for number in 0_u32.. {
            if stopped.try_recv().is_ok() {
                break;
            }
            let name = format!("p/{:03}/goes", number % 60);
            churn.commit(put(name.clone(), "y")).await.unwrap();
            churn.commit(delete(name)).await.unwrap();
        }
    });
    for _ in 0..10 {
        let (mut after, mut seen, mut rev) = (None, Vec::new(), Rev(0));
        loop {
            let page = store.scan("p/", after.as_ref(), 7).await.unwrap();
            assert!(page.rev >= rev, "pages go forward");
            rev = page.rev;
            after = page.entries.last().map(|entry| entry.key.clone());
            seen.extend(page.entries.into_iter().map(|entry| entry.key.to_string()));
            if !page.more {
                break;
            }
        }
        assert!(seen.is_sorted());
        let stayed = seen.iter().filter(|name| name.ends_with("stays")).count();
        assert_eq!(stayed, 60);
        seen.dedup();
        assert_eq!(
            seen.iter().filter(|name| name.ends_with("stays")).count(),
            60
        );
    }
    stop.send(()).unwrap();
    writer.await.unwrap();
}

pub(crate) async fn what_is_too_large_is_refused(subject: Subject) {
    let store = &subject.store;
    let fits = "x".repeat(limits::VALUE_BYTES);
    store.commit(put("fits", fits.clone())).await.unwrap();
    assert_eq!(value(store, "fits").await, Some(fits.clone()));
    let many = (0..=limits::TXN_OPS).map(|number| (key(format!("k{number}")), Bytes::new()));
    let twice = Txn {
        deletes: vec![key("fits")],
        ..put("fits", "")
    };
    for txn in [
        put("larger", fits + "x"),
        put("k".repeat(limits::KEY_BYTES + 1), ""),
        put("", ""),
        Txn {
            puts: many.collect(),
            ..Txn::default()
        },
        twice,
    ] {
        let refused = store.commit(txn).await;
        assert!(
            matches!(refused, Err(CommitError::TooLarge(_))),
            "{refused:?}"
        );
    }
}

pub(crate) async fn what_changes_nothing_makes_no_revision(subject: Subject) {
    let store = &subject.store;
    let rev = store.commit(put("a", "1")).await.unwrap();
    assert_eq!(store.commit(delete("b")).await.unwrap(), rev);
    assert_eq!(
        store
            .commit(only_if(Txn::default(), "a", Expect::Rev(rev)))
            .await
            .unwrap(),
        rev
    );
    let same = store.commit(put("a", "1")).await.unwrap();
    assert_eq!(
        same,
        Rev(rev.0 + 1),
        "a put is a change even of the same value"
    );
}

pub(crate) async fn a_reset_leaves_nothing(subject: Subject) {
    let store = &subject.store;
    for number in 0..20 {
        store.commit(put(format!("a/{number}"), "x")).await.unwrap();
    }
    store
        .enqueue(vec![NewEvent::new(Bytes::from("e"))])
        .await
        .unwrap();
    let before = now(store).await;
    let mut watch = store.watch("a/", before);
    let rev = store.clear().await.unwrap();
    assert!(rev > before);
    assert!(store.scan("", None, 10).await.unwrap().entries.is_empty());
    assert_eq!(
        store.depth().await.unwrap(),
        bootlace_store::Depth::default()
    );
    let changes = watch.next().await.unwrap();
    assert_eq!(changes.len(), 20);
    assert!(
        changes
            .iter()
            .all(|change| change.value.is_none() && change.rev == rev)
    );
    let next = store.commit(put("a", "after")).await.unwrap();
    assert!(next > rev);
}
