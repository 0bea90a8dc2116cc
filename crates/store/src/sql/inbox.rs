use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bootlace_types::limits;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::{
    CommitError, EventId, Finished, LeaseToken, Leased, NewEvent, Outcome, Rev, StoreError, Txn,
};

/// Where an answer goes; the caller may have lost interest.
pub(super) type Reply<T> = oneshot::Sender<T>;

/// What the writer is asked for.
#[derive(Debug)]
pub(super) enum Request {
    Commit(Txn, Reply<Result<Rev, CommitError>>),
    Enqueue(Vec<NewEvent>, Reply<Result<Vec<EventId>, StoreError>>),
    Lease {
        max: u32,
        visibility_ms: u64,
        reply: Reply<Result<Vec<Leased>, StoreError>>,
    },
    Finish(
        Vec<(LeaseToken, Outcome)>,
        Reply<Result<Vec<Finished>, StoreError>>,
    ),
    Clear(Reply<Result<Rev, StoreError>>),
}

impl Request {
    fn bytes(&self) -> usize {
        let bodies = |events: &[NewEvent]| events.iter().map(|event| event.body.len()).sum();
        match self {
            Self::Commit(txn, _) => {
                let puts: usize = txn.puts.iter().map(|(_, value)| value.len()).sum();
                puts + bodies(&txn.events)
            }
            Self::Enqueue(events, _) => bodies(events),
            Self::Lease { .. } | Self::Finish(..) | Self::Clear(_) => 0,
        }
    }
}

/// A request and the room it takes while it waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) request: Request,
    pub(super) room: OwnedSemaphorePermit,
}

/// The writer's bounded queue. The writer takes all of it at once: what gathered while the disk was
/// busy with one group is the next group.
#[derive(Debug)]
pub(super) struct Inbox {
    state: Mutex<State>,
    arrived: Condvar,
    room: std::sync::Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Waiting>,
    closed: bool,
}

/// What the writer finds in its inbox.
pub(super) enum Found {
    Group(Vec<Waiting>),
    Idle,
    Closed,
}

impl Inbox {
    pub(super) fn new() -> Self {
        let room = usize::try_from(limits::STORE_WRITES_WAITING_KIB).unwrap_or(usize::MAX);
        let room = std::sync::Arc::new(Semaphore::new(room));
        Self {
            state: Mutex::default(),
            arrived: Condvar::new(),
            room,
        }
    }

    /// Waits for room and adds a request; gives nothing when the store is closed.
    pub(super) async fn send(&self, request: Request) -> Option<()> {
        let kib = u32::try_from(1 + request.bytes() / 1_024).unwrap_or(u32::MAX);
        let kib = kib.min(limits::STORE_WRITES_WAITING_KIB);
        let room = std::sync::Arc::clone(&self.room)
            .acquire_many_owned(kib)
            .await
            .ok()?;
        let mut state = self.lock();
        if state.closed {
            return None;
        }
        state.waiting.push(Waiting { request, room });
        let first = state.waiting.len() == 1;
        drop(state);
        if first {
            self.arrived.notify_one();
        }
        Some(())
    }

    /// Waits for requests, at most `idle` long.
    pub(super) fn take(&self, idle: Option<Duration>) -> Found {
        let mut state = self.lock();
        loop {
            if !state.waiting.is_empty() {
                return Found::Group(std::mem::take(&mut state.waiting));
            }
            if state.closed {
                return Found::Closed;
            }
            let Some(limit) = idle else {
                state = self
                    .arrived
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let waited = self.arrived.wait_timeout(state, limit);
            let (now, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = now;
            if timeout.timed_out() && state.waiting.is_empty() && !state.closed {
                return Found::Idle;
            }
        }
    }

    /// Takes no more requests; those that wait are still served.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.room.close();
        self.arrived.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
