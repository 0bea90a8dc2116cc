//! The SQL back end: one file, one writer thread that commits in groups, a few readers.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bootlace_types::limits;
use tokio::sync::oneshot;

use crate::queue::whole_ms;
use crate::watch::Hub;
use crate::{
    CommitError, Depth, Entry, EventId, Finished, Key, LeaseToken, Leased, NewEvent, Outcome, Page,
    Rev, StoreClock, StoreError, Txn, Watch,
};

mod dialect;
#[cfg(test)]
mod failures;
mod inbox;
mod member;
mod readers;
mod statements;
mod writer;

pub(crate) use readers::Readers;

use dialect::OpenError;
use inbox::{Inbox, Reply, Request};
use writer::Writer;

/// A store in an SQLite database of its own; the process holds the data directory's lock.
#[derive(Debug, Clone)]
pub struct SqlStore {
    shared: Arc<Shared>,
    readers: Readers,
    hub: Arc<Hub>,
    clock: StoreClock,
}

/// Closes the inbox when the last clone is gone, so that the writer ends.
#[derive(Debug)]
struct Shared {
    inbox: Arc<Inbox>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl SqlStore {
    /// Opens or makes the database and starts its writer.
    ///
    /// # Errors
    ///
    /// It cannot be opened, or a later Bootlace has written it.
    pub fn open(path: &Path, clock: StoreClock) -> Result<Self, StoreError> {
        let failed = |error: &dyn std::fmt::Display| {
            StoreError::new(format!("opening {}", path.display()), error)
        };
        let connection = dialect::open_writer(path).map_err(|error| match error {
            OpenError::Sql(error) => failed(&error),
            OpenError::NewerFormat(format) => failed(&format_args!(
                "it has format {format}, and this Bootlace knows formats up to {}: \
                 start the Bootlace that wrote it, or a later one",
                dialect::FORMAT
            )),
        })?;
        Self::start(connection, path, clock).map_err(|error| failed(&error))
    }

    fn start(
        connection: rusqlite::Connection,
        path: &Path,
        clock: StoreClock,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let inbox = Arc::new(Inbox::new());
        let writer = Writer::new(connection, Arc::clone(&inbox), clock.clone())?;
        let hub = Arc::clone(writer.hub());
        let thread = std::thread::Builder::new().name("store-writer".to_owned());
        let thread = thread.spawn(move || serve(writer))?;
        let shared = Shared {
            inbox,
            writer: Mutex::new(Some(thread)),
        };
        Ok(Self {
            shared: Arc::new(shared),
            readers: Readers::new(path),
            hub,
            clock,
        })
    }

    pub(crate) async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        let key = key.clone();
        let read = move |connection: &_| statements::get(connection, &key);
        self.readers.read("reading a document", read).await
    }

    pub(crate) async fn scan(
        &self,
        prefix: &str,
        after: Option<&Key>,
        limit: u32,
    ) -> Result<Page, StoreError> {
        let (prefix, after) = (prefix.to_owned(), after.cloned());
        let read =
            move |connection: &_| statements::scan(connection, &prefix, after.as_ref(), limit);
        self.readers.read("scanning documents", read).await
    }

    pub(crate) fn watch(&self, prefix: &str, from: Rev) -> Watch {
        Watch::new(&self.hub, Some(self.readers.clone()), prefix, from)
    }

    pub(crate) async fn commit(&self, txn: Txn) -> Result<Rev, CommitError> {
        let (reply, answer) = oneshot::channel();
        match self.ask(Request::Commit(txn, reply), answer).await {
            Asked::Answered(answer) => answer,
            Asked::Refused => Err(CommitError::Unavailable(closed())),
            Asked::Unanswered => Err(CommitError::Unknown),
        }
    }

    pub(crate) async fn enqueue(&self, events: Vec<NewEvent>) -> Result<Vec<EventId>, StoreError> {
        self.write(|reply| Request::Enqueue(events, reply)).await
    }

    pub(crate) async fn lease(
        &self,
        max: u32,
        visibility: Duration,
    ) -> Result<Vec<Leased>, StoreError> {
        let max = max.min(u32::try_from(limits::EVENTS_PER_CALL).unwrap_or(u32::MAX));
        let visibility_ms = whole_ms(visibility);
        self.write(|reply| Request::Lease {
            max,
            visibility_ms,
            reply,
        })
        .await
    }

    pub(crate) async fn finish(
        &self,
        outcomes: Vec<(LeaseToken, Outcome)>,
    ) -> Result<Vec<Finished>, StoreError> {
        self.write(|reply| Request::Finish(outcomes, reply)).await
    }

    pub(crate) async fn depth(&self) -> Result<Depth, StoreError> {
        let now_ms = self.clock.now_ms();
        let read = move |connection: &_| statements::depth(connection, now_ms);
        self.readers.read("counting events", read).await
    }

    pub(crate) async fn fold_values<T: Send + 'static>(
        &self,
        start: T,
        step: fn(&mut T, &[u8]),
    ) -> Result<T, StoreError> {
        let read = move |connection: &_| statements::fold_values(connection, start, step);
        self.readers.read("reading all documents", read).await
    }

    pub(crate) async fn clear(&self) -> Result<Rev, StoreError> {
        self.write(Request::Clear).await
    }

    pub(crate) async fn close(&self) {
        self.shared.inbox.close();
        self.readers.close();
        let writer = self
            .shared
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(writer) = writer {
            // It does not return from a panic.
            let _ = tokio::task::spawn_blocking(move || writer.join()).await;
        }
    }

    async fn write<T>(
        &self,
        request: impl FnOnce(Reply<Result<T, StoreError>>) -> Request,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        match self.ask(request(reply), answer).await {
            Asked::Answered(answer) => answer,
            Asked::Refused | Asked::Unanswered => Err(closed()),
        }
    }

    async fn ask<T>(&self, request: Request, answer: oneshot::Receiver<T>) -> Asked<T> {
        if self.shared.inbox.send(request).await.is_none() {
            return Asked::Refused;
        }
        answer.await.map_or(Asked::Unanswered, Asked::Answered)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

/// Without its writer the store would keep every caller waiting: a panic ends the server at once,
/// as that of any vital task.
fn serve(writer: Writer) {
    if std::panic::catch_unwind(AssertUnwindSafe(|| writer.run())).is_err() {
        tracing::error!("the store's writer panicked; the server stops");
        std::process::abort();
    }
}

enum Asked<T> {
    Answered(T),
    /// The store was closed before the request reached the writer.
    Refused,
    /// The writer ended with the request in hand.
    Unanswered,
}

fn closed() -> StoreError {
    StoreError::new("writing to the database", "the store is closed")
}
