use std::collections::BTreeSet;
use std::time::Duration;

use bootlace_store::{AnyStore, Depth, Finished, LeaseToken, Leased, NewEvent, Outcome, Txn};
use bootlace_types::limits;
use bytes::Bytes;

use super::{Subject, put};

const LEASE: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);

async fn enqueue(store: &AnyStore, bodies: &[&str]) {
    let event = |body: &&str| NewEvent::new(Bytes::from((*body).to_owned()));
    store
        .enqueue(bodies.iter().map(event).collect())
        .await
        .unwrap();
}

async fn lease_one(store: &AnyStore) -> Option<Leased> {
    let mut leased = store.lease(1, LEASE).await.unwrap();
    assert!(leased.len() <= 1);
    leased.pop()
}

async fn finish(store: &AnyStore, token: LeaseToken, outcome: Outcome) -> Finished {
    store.finish(vec![(token, outcome)]).await.unwrap()[0]
}

pub(crate) async fn events_come_in_order_and_once(subject: Subject) {
    let store = &subject.store;
    enqueue(store, &["a", "b"]).await;
    enqueue(store, &["c"]).await;
    let leased = store.lease(2, LEASE).await.unwrap();
    let bodies: Vec<_> = leased.iter().map(|event| &event.body[..]).collect();
    assert_eq!(bodies, [b"a", b"b"]);
    assert!(leased.iter().all(|event| event.delivery == 1));
    let last = lease_one(store).await.unwrap();
    assert_eq!(&last.body[..], b"c");
    assert_eq!(
        lease_one(store).await,
        None,
        "what is leased is nobody else's"
    );
    let outcomes = leased
        .iter()
        .map(|event| (event.token, Outcome::Ack))
        .collect();
    assert_eq!(
        store.finish(outcomes).await.unwrap(),
        [Finished::Done, Finished::Done]
    );
    assert_eq!(
        store.depth().await.unwrap(),
        Depth {
            leased: 1,
            ..Depth::default()
        }
    );
}

/// Whoever is late with its answer must not undo what the next holder does.
pub(crate) async fn a_stale_token_is_refused(subject: Subject) {
    let store = &subject.store;
    enqueue(store, &["a"]).await;
    let first = lease_one(store).await.unwrap();
    subject.clock.advance(LEASE);
    let second = lease_one(store).await.expect("the lease has run out");
    assert_eq!((second.id, second.delivery), (first.id, 2));
    for outcome in [
        Outcome::Ack,
        Outcome::Nack {
            delay: Duration::ZERO,
        },
        Outcome::Extend { visibility: LEASE },
        Outcome::Dead,
    ] {
        assert_eq!(finish(store, first.token, outcome).await, Finished::Stale);
        assert_eq!(
            store.depth().await.unwrap(),
            Depth {
                leased: 1,
                ..Depth::default()
            }
        );
    }
    assert_eq!(
        finish(store, second.token, Outcome::Ack).await,
        Finished::Done
    );
    assert_eq!(
        finish(store, second.token, Outcome::Ack).await,
        Finished::Stale
    );
    assert_eq!(store.depth().await.unwrap(), Depth::default());
    // A number is never given twice, so that an old token cannot hold a new event.
    enqueue(store, &["b"]).await;
    let other = lease_one(store).await.unwrap();
    assert!(other.id > second.id);
    assert_eq!(
        finish(store, first.token, Outcome::Ack).await,
        Finished::Stale
    );
}

pub(crate) async fn an_expired_lease_nobody_took_still_counts(subject: Subject) {
    let store = &subject.store;
    enqueue(store, &["a"]).await;
    let leased = lease_one(store).await.unwrap();
    subject.clock.advance(LEASE * 2);
    assert_eq!(store.depth().await.unwrap().ready, 1);
    assert_eq!(
        finish(store, leased.token, Outcome::Ack).await,
        Finished::Done
    );
    assert_eq!(lease_one(store).await, None);
}

pub(crate) async fn nack_waits_for_its_delay(subject: Subject) {
    let store = &subject.store;
    enqueue(store, &["a"]).await;
    let first = lease_one(store).await.unwrap();
    let nack = Outcome::Nack { delay: SECOND * 5 };
    assert_eq!(finish(store, first.token, nack).await, Finished::Done);
    assert_eq!(
        finish(store, first.token, Outcome::Ack).await,
        Finished::Stale
    );
    assert_eq!(
        store.depth().await.unwrap(),
        Depth {
            delayed: 1,
            ..Depth::default()
        }
    );
    subject.clock.advance(SECOND * 5 - Duration::from_millis(1));
    assert_eq!(lease_one(store).await, None);
    subject.clock.advance(Duration::from_millis(1));
    assert_eq!(lease_one(store).await.unwrap().delivery, 2);
}

pub(crate) async fn extending_keeps_the_lease(subject: Subject) {
    let store = &subject.store;
    enqueue(store, &["a"]).await;
    let leased = lease_one(store).await.unwrap();
    for _ in 0..3 {
        subject.clock.advance(LEASE - SECOND);
        let extend = Outcome::Extend { visibility: LEASE };
        assert_eq!(finish(store, leased.token, extend).await, Finished::Done);
    }
    subject.clock.advance(LEASE - SECOND);
    assert_eq!(lease_one(store).await, None);
    subject.clock.advance(SECOND);
    assert_eq!(lease_one(store).await.unwrap().delivery, 2);
}

pub(crate) async fn the_dead_are_kept_and_counted(subject: Subject) {
    let store = &subject.store;
    enqueue(store, &["a", "b"]).await;
    let leased = lease_one(store).await.unwrap();
    assert_eq!(
        finish(store, leased.token, Outcome::Dead).await,
        Finished::Done
    );
    subject.clock.advance(LEASE * 10);
    assert_eq!(&lease_one(store).await.unwrap().body[..], b"b");
    assert_eq!(lease_one(store).await, None);
    assert_eq!(
        store.depth().await.unwrap(),
        Depth {
            leased: 1,
            dead: 1,
            ..Depth::default()
        }
    );
}

pub(crate) async fn a_delay_holds_an_event_back(subject: Subject) {
    let store = &subject.store;
    let late = NewEvent {
        body: Bytes::from("late"),
        delay: SECOND,
    };
    store
        .enqueue(vec![late, NewEvent::new(Bytes::from("now"))])
        .await
        .unwrap();
    assert_eq!(&lease_one(store).await.unwrap().body[..], b"now");
    assert_eq!(lease_one(store).await, None);
    subject.clock.advance(SECOND);
    assert_eq!(&lease_one(store).await.unwrap().body[..], b"late");
}

pub(crate) async fn events_go_with_their_transaction(subject: Subject) {
    let store = &subject.store;
    let rev = store.commit(put("a", "1")).await.unwrap();
    let events = vec![NewEvent::new(Bytes::from("with"))];
    store
        .commit(Txn {
            events: events.clone(),
            ..put("a", "2")
        })
        .await
        .unwrap();
    let stale = super::only_if(put("a", "3"), "a", bootlace_store::Expect::Rev(rev));
    store.commit(Txn { events, ..stale }).await.unwrap_err();
    assert_eq!(store.depth().await.unwrap().ready, 1);
}

/// Producers and consumers at once: every event is finished exactly once.
pub(crate) async fn many_consumers_share_the_work(subject: Subject) {
    let store = &subject.store;
    let mut tasks = tokio::task::JoinSet::new();
    for producer in 0..8 {
        let store = store.clone();
        tasks.spawn(async move {
            for number in 0..50 {
                enqueue(&store, &[&format!("{producer}-{number}")]).await;
            }
            Vec::new()
        });
    }
    for _ in 0..4 {
        let store = store.clone();
        tasks.spawn(async move {
            let mut mine = Vec::new();
            while mine.len() < 100 {
                let left = u32::try_from(100 - mine.len()).unwrap();
                let leased = store.lease(left.min(7), LEASE).await.unwrap();
                let outcomes: Vec<_> = leased.iter().map(|e| (e.token, Outcome::Ack)).collect();
                let finished = store.finish(outcomes).await.unwrap();
                assert!(finished.iter().all(|finished| *finished == Finished::Done));
                mine.extend(leased.into_iter().map(|event| event.body));
                tokio::task::yield_now().await;
            }
            mine
        });
    }
    let bodies: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    let distinct: BTreeSet<_> = bodies.iter().collect();
    assert_eq!((bodies.len(), distinct.len()), (400, 400));
    assert_eq!(store.depth().await.unwrap(), Depth::default());
}

pub(crate) async fn the_queue_has_limits(subject: Subject) {
    let store = &subject.store;
    let body = Bytes::from(vec![7; limits::EVENT_BODY_BYTES]);
    store
        .enqueue(vec![NewEvent::new(body.clone())])
        .await
        .unwrap();
    assert_eq!(lease_one(store).await.unwrap().body, body);
    let too_large = NewEvent::new(Bytes::from(vec![7; limits::EVENT_BODY_BYTES + 1]));
    store.enqueue(vec![too_large]).await.unwrap_err();
    let too_many = vec![NewEvent::new(Bytes::new()); limits::EVENTS_PER_CALL + 1];
    store.enqueue(too_many).await.unwrap_err();
    assert_eq!(
        store.depth().await.unwrap(),
        Depth {
            leased: 1,
            ..Depth::default()
        }
    );
}
