use std::time::Duration;

use crate::{
    Change, CommitError, Depth, Entry, EventId, Expect, Finished, Key, LeaseToken, Leased,
    MemStore, NewEvent, Outcome, Page, Rev, SqlStore, StoreError, Txn, Watch,
};

/// The metadata and the event queue, whichever back end holds them. Clones share it.
#[derive(Debug, Clone)]
pub enum AnyStore {
    Sql(SqlStore),
    /// Forgets everything with the process; for tests.
    Memory(MemStore),
}

impl AnyStore {
    /// Reads one document; every commit acknowledged before the call is seen.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        match self {
            Self::Sql(store) => store.get(key).await,
            Self::Memory(store) => store.get(key),
        }
    }

    /// Does all of the transaction, durably, or nothing of it. One that changes no document gives
    /// the revision that stands.
    ///
    /// # Errors
    ///
    /// See [`CommitError`]; after `Unknown` the caller reads again to learn what happened.
    pub async fn commit(&self, txn: Txn) -> Result<Rev, CommitError> {
        check_txn(&txn)?;
        match self {
            Self::Sql(store) => store.commit(txn).await,
            Self::Memory(store) => store.commit(&txn),
        }
    }

    /// The documents whose key begins with `prefix` and follows `after`, in the order of keys. A
    /// page is as of its revision; the next page may be of a later one, and a watch from the first
    /// page's revision tells what changed between them.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn scan(
        &self,
        prefix: &str,
        after: Option<&Key>,
        limit: u32,
    ) -> Result<Page, StoreError> {
        match self {
            Self::Sql(store) => store.scan(prefix, after, limit).await,
            Self::Memory(store) => Ok(store.scan(prefix, after, limit)),
        }
    }

    /// Follows the commits after `from`.
    #[must_use]
    pub fn watch(&self, prefix: &str, from: Rev) -> Watch {
        match self {
            Self::Sql(store) => store.watch(prefix, from),
            Self::Memory(store) => store.watch(prefix, from),
        }
    }

    /// Queues events: all of them, durably, or none. Callers share the cost of the disk.
    ///
    /// # Errors
    ///
    /// The store failed (whether the events are queued is then unknown), or a limit is reached.
    pub async fn enqueue(&self, events: Vec<NewEvent>) -> Result<Vec<EventId>, StoreError> {
        crate::queue::check_events(&events).map_err(crate::queue::refused)?;
        match self {
            Self::Sql(store) => store.enqueue(events).await,
            Self::Memory(store) => store.enqueue(&events),
        }
    }

    /// Takes up to `max` events that are due, the longest due first. Each is the caller's until
    /// it is finished or `visibility` has passed, after which it is due again.
    ///
    /// # Errors
    ///
    /// The store failed; what was leased becomes due again when `visibility` has passed.
    pub async fn lease(&self, max: u32, visibility: Duration) -> Result<Vec<Leased>, StoreError> {
        match self {
            Self::Sql(store) => store.lease(max, visibility).await,
            Self::Memory(store) => Ok(store.lease(max, visibility)),
        }
    }

    /// Finishes deliveries; the answers are in the order of the outcomes.
    ///
    /// # Errors
    ///
    /// The store failed; the same call may be made again, and what was taken answers `Stale`.
    pub async fn finish(
        &self,
        outcomes: Vec<(LeaseToken, Outcome)>,
    ) -> Result<Vec<Finished>, StoreError> {
        match self {
            Self::Sql(store) => store.finish(outcomes).await,
            Self::Memory(store) => Ok(store.finish(&outcomes)),
        }
    }

    /// Counts the events.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn depth(&self) -> Result<Depth, StoreError> {
        match self {
            Self::Sql(store) => store.depth().await,
            Self::Memory(store) => Ok(store.depth()),
        }
    }

    /// Goes through the values of all documents, as of one revision.
    pub(crate) async fn fold_values<T: Send + 'static>(
        &self,
        start: T,
        step: fn(&mut T, &[u8]),
    ) -> Result<T, StoreError> {
        match self {
            Self::Sql(store) => store.fold_values(start, step).await,
            Self::Memory(store) => Ok(store.fold_values(start, step)),
        }
    }

    /// Deletes every document and every event.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn clear(&self) -> Result<Rev, StoreError> {
        match self {
            Self::Sql(store) => store.clear().await,
            Self::Memory(store) => Ok(store.clear()),
        }
    }

    /// Waits until what was asked of the store is done, and closes it for every clone.
    pub async fn close(&self) {
        if let Self::Sql(store) = self {
            store.close().await;
        }
    }
}

/// Refuses what no back end may take.
fn check_txn(txn: &Txn) -> Result<(), CommitError> {
    use bootlace_types::limits;
    let operations = txn.checks.len() + txn.puts.len() + txn.deletes.len() + txn.events.len();
    if operations > limits::TXN_OPS {
        return Err(CommitError::TooLarge("operations"));
    }
    if txn
        .puts
        .iter()
        .any(|(_, value)| value.len() > limits::VALUE_BYTES)
    {
        return Err(CommitError::TooLarge("the size of a value"));
    }
    crate::queue::check_events(&txn.events).map_err(CommitError::TooLarge)?;
    let mut changed: Vec<_> = txn
        .puts
        .iter()
        .map(|(key, _)| key)
        .chain(&txn.deletes)
        .collect();
    if changed
        .iter()
        .any(|key| key.as_str().is_empty() || key.as_str().len() > limits::KEY_BYTES)
    {
        return Err(CommitError::TooLarge("the length of a key"));
    }
    let all = changed.len();
    changed.sort_unstable();
    changed.dedup();
    if changed.len() < all {
        return Err(CommitError::TooLarge("one change of a key"));
    }
    Ok(())
}

/// Whether a key that stands at `found` is as expected.
pub(crate) fn is_expected(expect: Expect, found: Option<Rev>) -> bool {
    match expect {
        Expect::Any => true,
        Expect::Absent => found.is_none(),
        Expect::Rev(rev) => found == Some(rev),
    }
}

/// The changes a transaction makes when `existed` tells which keys there were.
pub(crate) fn changes(txn: &Txn, rev: Rev, existed: impl Fn(&Key) -> bool) -> Vec<Change> {
    let puts = txn
        .puts
        .iter()
        .map(|(key, value)| (key, Some(value.clone())));
    let deletes = txn
        .deletes
        .iter()
        .filter(|key| existed(key))
        .map(|key| (key, None));
    let change = |(key, value): (&Key, _)| Change {
        key: key.clone(),
        value,
        rev,
    };
    puts.chain(deletes).map(change).collect()
}
