//! What is SQLite's own: opening, settings, the schema's types, checkpoints. The statements beside
//! this module are plain SQL that PostgreSQL also takes.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bootlace_types::limits;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

/// The form of the tables below; a store of a later form is refused.
pub(super) const FORMAT: i64 = 1;

const PAGE_BYTES: u64 = 4_096;
const BUSY: Duration = Duration::from_secs(5);

/// `counters` has one row. `changes` is what watchers may still ask for. An event's `state` is 0
/// while it waits, 1 while it is leased (`due_ms` is then the lease's end) and 2 when it is dead.
const SCHEMA: &str = "
CREATE TABLE counters (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    rev INTEGER NOT NULL,
    event INTEGER NOT NULL,
    compacted INTEGER NOT NULL
);
INSERT INTO counters VALUES (1, 0, 0, 0);
CREATE TABLE documents (
    key TEXT PRIMARY KEY,
    rev INTEGER NOT NULL,
    value BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE changes (
    rev INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    key TEXT NOT NULL,
    value BLOB,
    PRIMARY KEY (rev, seq)
) WITHOUT ROWID;
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    due_ms INTEGER NOT NULL,
    enqueued_ms INTEGER NOT NULL,
    delivery INTEGER NOT NULL,
    state INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX events_due ON events (due_ms, id, state) WHERE state < 2;
CREATE INDEX events_dead ON events (id) WHERE state = 2;
";

/// Why a database could not be opened.
pub(super) enum OpenError {
    Sql(rusqlite::Error),
    NewerFormat(i64),
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

/// Opens the one connection that writes, and makes the tables of a new database.
pub(super) fn open_writer(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(64);
    // A commit is acknowledged when the log is on the disk; NORMAL would lose it with the power.
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;
         PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8000;",
    )?;
    connection.pragma_update(None, "journal_size_limit", limits::WAL_BYTES.to_string())?;
    let format: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if format > FORMAT {
        return Err(OpenError::NewerFormat(format));
    }
    if format == 0 {
        let transaction = begin(&mut connection)?;
        transaction.execute_batch(SCHEMA)?;
        transaction.pragma_update(None, "user_version", FORMAT)?;
        transaction.commit()?;
    }
    Ok(connection)
}

/// Opens a connection that only reads.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.execute_batch("PRAGMA cache_size = -1000;")?;
    Ok(connection)
}

/// Takes the write lock at once: a transaction that read first and wants to write later could be
/// refused.
pub(super) fn begin(connection: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}

/// Counts the bytes in the write-ahead log as commits add to it.
pub(super) fn watch_log(connection: &mut Connection) -> rusqlite::Result<Arc<AtomicU64>> {
    let bytes = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&bytes);
    let hook = move |_: &mut rusqlite::hooks::Wal, pages| {
        let pages = u64::try_from(pages).unwrap_or(0);
        seen.store(pages * PAGE_BYTES, Ordering::Relaxed);
        Ok(())
    };
    connection.wal_hook(Some(hook))?;
    Ok(bytes)
}

/// Moves the log into the database as far as no reader needs it; says whether all of it went.
pub(super) fn checkpoint(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        let (logged, moved): (i64, i64) = (row.get(1)?, row.get(2)?);
        Ok(logged == moved)
    })
}
