//! What Bootlace remembers: metadata, blobs, extracted trees and the event queue.
//!
//! It knows nothing of HTTP, of processes, or of what a function may be asked; it knows the shapes
//! that are stored ([`record`]) and keeps them. Read [`AnyStore`] first: small documents under keys,
//! changed by compare-and-swap in small transactions, each with a revision; and a queue of events
//! beside them. [`BlobStore`] holds the bytes that documents name by digest, [`TreeCache`] what
//! became of those that are zip archives. [`Store`] is all of it together, in a [`DataDir`].

pub mod record;

mod any;
mod archive;
mod blobs;
mod data_dir;
mod files;
mod gc;
mod kv;
pub mod logs;
mod memory;
mod queue;
mod sql;
mod store;
mod trees;
mod watch;

pub use any::AnyStore;
pub use archive::IngestError;
#[doc(hidden)]
pub use blobs::blob_file;
pub use blobs::{BlobInfo, BlobStore, sha256};
pub use data_dir::DataDir;
pub use gc::Collected;
pub use kv::{Change, CommitError, Compacted, Entry, Expect, Key, Page, Rev, StoreError, Txn};
pub use memory::{Fault, MemStore};
pub use queue::{Depth, EventId, Finished, LeaseToken, Leased, NewEvent, Outcome, StoreClock};
pub use sql::SqlStore;
pub use store::Store;
pub use trees::TreeCache;
pub use watch::Watch;
