//! One suite, every back end.

use crate::suite::Subject;
use bootlace_store::{AnyStore, MemStore, SqlStore, StoreClock};

const START_MS: u64 = 1_700_000_000_000;

fn sqlite() -> Subject {
    let temp = tempfile::tempdir().unwrap();
    let clock = StoreClock::manual(START_MS);
    let store = SqlStore::open(&temp.path().join("bootlace.db"), clock.clone()).unwrap();
    Subject {
        store: AnyStore::Sql(store),
        clock,
        _temp: Some(temp),
    }
}

fn memory() -> Subject {
    let clock = StoreClock::manual(START_MS);
    let store = AnyStore::Memory(MemStore::new(clock.clone()));
    Subject {
        store,
        clock,
        _temp: None,
    }
}

/// Each name is a test of the suite, which then runs against each back end.
macro_rules! conformance {
    ($($part:ident: $($test:ident)*;)*) => {
        mod sqlite_store {
            $($(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                crate::suite::$part::$test(crate::conformance::sqlite()).await;
            })*)*
        }
        mod memory_store {
            $($(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                crate::suite::$part::$test(crate::conformance::memory()).await;
            })*)*
        }
    };
}

conformance! {
    documents:
        contended_increments_are_never_lost
        a_refused_transaction_changes_nothing
        expectations_are_of_the_state_before
        a_commit_is_seen_whole
        a_conflict_does_not_spoil_its_neighbours
        pages_are_complete_and_bounded
        paging_under_writes_misses_nothing
        what_is_too_large_is_refused
        what_changes_nothing_makes_no_revision
        a_reset_leaves_nothing;
    watching:
        no_change_is_missed
        a_commit_comes_whole_and_once
        foreign_commits_move_the_position
        a_cancelled_wait_loses_nothing;
    queue:
        events_come_in_order_and_once
        a_stale_token_is_refused
        an_expired_lease_nobody_took_still_counts
        nack_waits_for_its_delay
        extending_keeps_the_lease
        the_dead_are_kept_and_counted
        a_delay_holds_an_event_back
        events_go_with_their_transaction
        many_consumers_share_the_work
        the_queue_has_limits;
}

mod differences {
    use bootlace_store::{CommitError, Expect, Fault, MemStore, Rev, StoreClock};
    use bootlace_types::limits;

    use super::{AnyStore, memory, sqlite};
    use crate::suite::{key, now, only_if, put, value, watching};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sqlite_remembers_more_than_its_ring() {
        watching::a_slow_watcher_reads_the_history(&sqlite().store).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sqlite_tells_a_lost_watcher() {
        let remembered = usize::try_from(limits::WATCH_HISTORY_COMMITS).unwrap();
        watching::a_lost_watcher_is_told(&sqlite().store, remembered).await;
    }

    #[tokio::test]
    async fn memory_tells_a_lost_watcher() {
        watching::a_lost_watcher_is_told(&memory().store, limits::WATCH_RING_COMMITS).await;
    }

    /// The way to live with a lost answer: read again, and see one's own value or not.
    #[tokio::test]
    async fn a_lost_answer_may_be_either() {
        let faulty = MemStore::new(StoreClock::wall());
        let store = AnyStore::Memory(faulty.clone());
        store.commit(put("a", "0")).await.unwrap();
        for (fault, found) in [
            (Fault::Fail, "0"),
            (Fault::LoseAnswer { applied: false }, "0"),
            (Fault::LoseAnswer { applied: true }, "mine"),
        ] {
            store.commit(put("a", "0")).await.unwrap();
            faulty.inject(fault);
            let lost = store.commit(put("a", "mine")).await;
            match fault {
                Fault::Fail => assert!(matches!(lost, Err(CommitError::Unavailable(_)))),
                Fault::LoseAnswer { .. } => assert!(matches!(lost, Err(CommitError::Unknown))),
            }
            assert_eq!(value(&store, "a").await.as_deref(), Some(found));
        }
        let rev = now(&store).await;
        store
            .commit(only_if(put("a", "1"), "a", Expect::Rev(rev)))
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn a_closed_store_refuses_and_keeps_what_it_has() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("bootlace.db");
        let open = || bootlace_store::SqlStore::open(&path, StoreClock::wall()).unwrap();
        let store = AnyStore::Sql(open());
        store.commit(put("a", "1")).await.unwrap();
        store.close().await;
        assert!(
            !temp.path().join("bootlace.db-wal").exists(),
            "a clean end leaves no log"
        );
        let refused = store.commit(put("a", "2")).await;
        assert!(
            matches!(refused, Err(CommitError::Unavailable(_))),
            "{refused:?}"
        );
        store.get(&key("a")).await.unwrap_err();
        let again = AnyStore::Sql(open());
        assert_eq!(value(&again, "a").await.as_deref(), Some("1"));
        assert_eq!(now(&again).await, Rev(1));
    }

    /// Nobody holds the leases of a former life.
    #[tokio::test]
    async fn leases_end_with_the_process() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("bootlace.db");
        let open = || bootlace_store::SqlStore::open(&path, StoreClock::wall()).unwrap();
        let store = AnyStore::Sql(open());
        let event = bootlace_store::NewEvent::new(bytes::Bytes::from("a"));
        store.enqueue(vec![event]).await.unwrap();
        let hour = std::time::Duration::from_secs(3_600);
        let first = store.lease(1, hour).await.unwrap().remove(0);
        store.close().await;
        let store = AnyStore::Sql(open());
        let ack = vec![(first.token, bootlace_store::Outcome::Ack)];
        assert_eq!(
            store.finish(ack).await.unwrap(),
            [bootlace_store::Finished::Stale]
        );
        assert_eq!(store.lease(1, hour).await.unwrap()[0].delivery, 2);
    }

    #[tokio::test]
    async fn a_later_database_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("bootlace.db");
        let later = rusqlite::Connection::open(&path).unwrap();
        later.pragma_update(None, "user_version", 99).unwrap();
        let refused = bootlace_store::SqlStore::open(&path, StoreClock::wall()).unwrap_err();
        assert!(refused.to_string().contains("format 99"), "{refused}");
    }
}
