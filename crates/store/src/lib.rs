//! What Bootlace remembers: metadata, blobs, extracted trees and the event queue.

pub mod record;

mod any;
mod kv;
mod memory;
mod queue;
mod sql;
mod watch;

pub use any::AnyStore;
pub use kv::{Change, CommitError, Compacted, Entry, Expect, Key, Page, Rev, StoreError, Txn};
pub use memory::{Fault, MemStore};
pub use queue::{Depth, EventId, Finished, LeaseToken, Leased, NewEvent, Outcome, StoreClock};
pub use sql::SqlStore;
pub use watch::Watch;
