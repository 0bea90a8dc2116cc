//! The contract of the store as tests. Each takes a fresh store and the clock it runs by, and
//! knows nothing else of the back end.

use bootlace_store::{AnyStore, Expect, Key, Rev, StoreClock, Txn};
use bytes::Bytes;

pub(crate) mod documents;
pub(crate) mod queue;
pub(crate) mod watching;

/// A store under test; what it is made of goes when this does.
pub(crate) struct Subject {
    pub(crate) store: AnyStore,
    pub(crate) clock: StoreClock,
    pub(crate) _temp: Option<tempfile::TempDir>,
}

pub(crate) fn key(text: impl Into<String>) -> Key {
    Key::new(text.into())
}

pub(crate) fn put(name: impl Into<String>, value: impl Into<String>) -> Txn {
    Txn {
        puts: vec![(key(name), Bytes::from(value.into()))],
        ..Txn::default()
    }
}

pub(crate) fn delete(name: impl Into<String>) -> Txn {
    Txn {
        deletes: vec![key(name)],
        ..Txn::default()
    }
}

pub(crate) fn only_if(mut txn: Txn, name: impl Into<String>, expect: Expect) -> Txn {
    txn.checks.push((key(name), expect));
    txn
}

pub(crate) async fn value(store: &AnyStore, name: &str) -> Option<String> {
    let entry = store.get(&key(name)).await.unwrap()?;
    Some(String::from_utf8(entry.value.to_vec()).unwrap())
}

pub(crate) async fn now(store: &AnyStore) -> Rev {
    store.scan("", None, 1).await.unwrap().rev
}
