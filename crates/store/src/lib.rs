//! What Bootlace remembers: metadata, blobs, extracted trees and the event queue.

pub mod record;

mod kv;

pub use kv::{Change, CommitError, Entry, Expect, Key, Page, Rev, StoreError, Txn};
