use std::fmt;

use bytes::Bytes;

use crate::NewEvent;

/// A revision: per store, ordered in commit order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Rev(pub u64);

/// The name of one document: segments of printable ASCII with `/` between them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Box<str>);

impl Key {
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text.into_boxed_str())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a transaction expects of a key before it changes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    Any,
    Absent,
    Rev(Rev),
}

/// A small transaction: all of it happens, or nothing.
#[derive(Debug, Clone, Default)]
pub struct Txn {
    pub checks: Vec<(Key, Expect)>,
    pub puts: Vec<(Key, Bytes)>,
    pub deletes: Vec<Key>,
    /// Queued if, and only if, the rest happens.
    pub events: Vec<NewEvent>,
}

/// A document as it was at a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub key: Key,
    pub value: Bytes,
    /// The revision that last changed it.
    pub rev: Rev,
}

/// One page of a scan, all of it as of one revision.
#[derive(Debug, Clone, Default)]
pub struct Page {
    pub entries: Vec<Entry>,
    pub rev: Rev,
    /// Whether more keys follow the last one.
    pub more: bool,
}

/// One key after a commit; `value` is `None` when it was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub key: Key,
    pub value: Option<Bytes>,
    pub rev: Rev,
}

/// Why a commit was not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    #[error("{0} has changed since it was read")]
    Conflict(Key),
    #[error("the outcome of the commit is unknown; read it again")]
    Unknown,
    #[error("the transaction is over a limit: {0}")]
    TooLarge(&'static str),
    #[error("the store cannot commit now")]
    Unavailable(#[source] StoreError),
}

/// The store itself failed; an operator's matter.
#[derive(Debug, thiserror::Error)]
#[error("{context}: {message}")]
pub struct StoreError {
    /// What was tried, and on what.
    pub context: String,
    pub message: String,
}

impl StoreError {
    pub(crate) fn new(context: impl Into<String>, message: impl fmt::Display) -> Self {
        Self {
            context: context.into(),
            message: message.to_string(),
        }
    }
}

/// The changes that a watcher asks for are no longer remembered: scan again, then watch from the
/// revision of the first page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the changes since the watched revision are no longer remembered")]
pub struct Compacted;
