use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bootlace_types::{clock, limits};
use bytes::Bytes;

use crate::StoreError;

/// An event to be queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    pub body: Bytes,
    /// It cannot be leased before this has passed.
    pub delay: Duration,
}

impl NewEvent {
    /// An event that is due at once.
    #[must_use]
    pub fn new(body: Bytes) -> Self {
        Self {
            body,
            delay: Duration::ZERO,
        }
    }
}

/// The number of an event; larger is later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(pub u64);

/// The right to finish one delivery of an event. It is worth nothing once the event has been
/// finished, or leased again because the lease ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseToken {
    pub(crate) event: EventId,
    pub(crate) delivery: u32,
}

/// An event as one consumer holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leased {
    pub id: EventId,
    pub token: LeaseToken,
    pub body: Bytes,
    /// The first delivery is 1.
    pub delivery: u32,
    /// Milliseconds since the epoch.
    pub enqueued_ms: u64,
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Done; the event is forgotten.
    Ack,
    /// Not done; it is due again after the delay.
    Nack { delay: Duration },
    /// Still at it; the lease runs this long from now.
    Extend { visibility: Duration },
    /// Given up; the event is kept, and never leased again.
    Dead,
}

/// Whether an outcome was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    Done,
    /// The token's delivery is not the event's last one, or is finished: nothing was changed.
    Stale,
}

/// How many events there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// Could be leased now.
    pub ready: u64,
    /// Wait for their delay to pass.
    pub delayed: u64,
    pub leased: u64,
    pub dead: u64,
}

/// The clock that due times and leases are judged by: the store's own, never a consumer's.
#[derive(Debug, Clone, Default)]
pub struct StoreClock(Option<Arc<AtomicU64>>);

impl StoreClock {
    #[must_use]
    pub fn wall() -> Self {
        Self(None)
    }

    /// A clock that only [`advance`](Self::advance) moves; clones of it move together.
    #[must_use]
    pub fn manual(start_ms: u64) -> Self {
        Self(Some(Arc::new(AtomicU64::new(start_ms))))
    }

    /// Moves a manual clock; the wall clock takes no notice.
    pub fn advance(&self, by: Duration) {
        if let Some(manual) = &self.0 {
            manual.fetch_add(whole_ms(by), Ordering::SeqCst);
        }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        match &self.0 {
            Some(manual) => manual.load(Ordering::SeqCst),
            None => clock::epoch_ms(clock::wall()),
        }
    }
}

/// Refuses what no back end may take.
pub(crate) fn check_events(events: &[NewEvent]) -> Result<(), &'static str> {
    if events.len() > limits::EVENTS_PER_CALL {
        return Err("too many events in one call");
    }
    if events
        .iter()
        .any(|event| event.body.len() > limits::EVENT_BODY_BYTES)
    {
        return Err("the body of an event is too large");
    }
    Ok(())
}

pub(crate) fn refused(why: &'static str) -> StoreError {
    StoreError::new("queueing events", why)
}

pub(crate) fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
