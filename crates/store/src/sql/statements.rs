//! The statements, in SQL that SQLite and PostgreSQL share. They run inside a transaction that the
//! writer (or a reader) has opened.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::memory::page_is_full;
use crate::{Change, Depth, Entry, EventId, Key, LeaseToken, Leased, NewEvent, Outcome, Page, Rev};

type Result<T> = rusqlite::Result<T>;

/// The one row of counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counters {
    /// The last revision given.
    pub(super) rev: u64,
    /// The last event number given.
    pub(super) event: u64,
    /// Changes up to this revision are forgotten.
    pub(super) compacted: u64,
}

impl Counters {
    pub(super) fn read(connection: &Connection) -> Result<Self> {
        let mut query = connection
            .prepare_cached("SELECT rev, event, compacted FROM counters WHERE one = 1")?;
        query.query_row([], |row| {
            Ok(Self {
                rev: number(row, 0)?,
                event: number(row, 1)?,
                compacted: number(row, 2)?,
            })
        })
    }

    pub(super) fn write(self, connection: &Connection) -> Result<()> {
        let mut update = connection.prepare_cached(
            "UPDATE counters SET rev = ?1, event = ?2, compacted = ?3 WHERE one = 1",
        )?;
        update.execute(params![
            signed(self.rev),
            signed(self.event),
            signed(self.compacted)
        ])?;
        Ok(())
    }
}

pub(super) fn get(connection: &Connection, key: &Key) -> Result<Option<Entry>> {
    let mut query =
        connection.prepare_cached("SELECT key, value, rev FROM documents WHERE key = ?1")?;
    query.query_row([key.as_str()], entry).optional()
}

pub(super) fn rev_of(connection: &Connection, key: &Key) -> Result<Option<Rev>> {
    let mut query = connection.prepare_cached("SELECT rev FROM documents WHERE key = ?1")?;
    query
        .query_row([key.as_str()], |row| number(row, 0).map(Rev))
        .optional()
}

pub(super) fn put(connection: &Connection, key: &Key, value: &[u8], rev: Rev) -> Result<()> {
    let mut upsert = connection.prepare_cached(
        "INSERT INTO documents (key, rev, value) VALUES (?1, ?2, ?3)
         ON CONFLICT (key) DO UPDATE SET rev = excluded.rev, value = excluded.value",
    )?;
    upsert.execute(params![key.as_str(), signed(rev.0), value])?;
    Ok(())
}

/// Whether there was anything to delete.
pub(super) fn delete(connection: &Connection, key: &Key) -> Result<bool> {
    let mut delete = connection.prepare_cached("DELETE FROM documents WHERE key = ?1")?;
    Ok(delete.execute([key.as_str()])? == 1)
}

pub(super) fn remember(connection: &Connection, changes: &[Change]) -> Result<()> {
    let mut insert = connection
        .prepare_cached("INSERT INTO changes (rev, seq, key, value) VALUES (?1, ?2, ?3, ?4)")?;
    for (seq, change) in (0_i64..).zip(changes) {
        let (rev, value) = (signed(change.rev.0), change.value.as_deref());
        insert.execute(params![rev, seq, change.key.as_str(), value])?;
    }
    Ok(())
}

/// The changes after a revision, oldest first, up to about `limit` of them: the last revision's are
/// complete. The second value tells whether those are all there are.
pub(super) fn changes(
    connection: &Connection,
    after: Rev,
    limit: usize,
) -> Result<(Vec<Change>, bool)> {
    let mut query = connection
        .prepare_cached("SELECT key, value, rev FROM changes WHERE rev > ?1 ORDER BY rev, seq")?;
    let mut rows = query.query([signed(after.0)])?;
    let mut found: Vec<Change> = Vec::new();
    while let Some(row) = rows.next()? {
        let (key, rev) = (Key::new(row.get(0)?), Rev(number(row, 2)?));
        let value = row.get::<_, Option<Vec<u8>>>(1)?.map(Bytes::from);
        if found.len() >= limit && found.last().is_some_and(|last| last.rev != rev) {
            return Ok((found, false));
        }
        found.push(Change { key, value, rev });
    }
    Ok((found, true))
}

/// Drops old changes; gives how many bytes they were.
pub(super) fn forget(connection: &Connection, up_to: u64) -> Result<u64> {
    let bytes = history_bytes(connection, up_to)?;
    let mut forget = connection.prepare_cached("DELETE FROM changes WHERE rev <= ?1")?;
    forget.execute([signed(up_to)])?;
    Ok(bytes)
}

/// The size of the changes up to a revision, as the writer counts it when they are made.
pub(super) fn history_bytes(connection: &Connection, up_to: u64) -> Result<u64> {
    let mut sum = connection.prepare_cached(
        "SELECT COALESCE(SUM(LENGTH(key) + COALESCE(LENGTH(value), 0)), 0) FROM changes
         WHERE rev <= ?1",
    )?;
    sum.query_row([signed(up_to)], |row| number(row, 0))
}

pub(super) fn scan(
    connection: &Connection,
    prefix: &str,
    after: Option<&Key>,
    limit: u32,
) -> Result<Page> {
    let mut page = Page {
        rev: Rev(Counters::read(connection)?.rev),
        ..Page::default()
    };
    // One lower bound: of two, the database might search by the one that is far before the prefix.
    let after = after.map(Key::as_str).filter(|after| *after >= prefix);
    let sql = match after {
        Some(_) => "SELECT key, value, rev FROM documents WHERE key > ?1 ORDER BY key",
        None => "SELECT key, value, rev FROM documents WHERE key >= ?1 ORDER BY key",
    };
    let mut query = connection.prepare_cached(sql)?;
    let mut rows = query.query([after.unwrap_or(prefix)])?;
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        if !row.get_ref(0)?.as_str()?.starts_with(prefix) {
            break;
        }
        if page_is_full(page.entries.len(), bytes, limit) {
            page.more = true;
            break;
        }
        let entry = entry(row)?;
        bytes += entry.value.len();
        page.entries.push(entry);
    }
    Ok(page)
}

pub(super) fn fold_values<T>(
    connection: &Connection,
    start: T,
    step: fn(&mut T, &[u8]),
) -> Result<T> {
    let mut folded = start;
    let mut query = connection.prepare("SELECT value FROM documents")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        step(&mut folded, row.get_ref(0)?.as_blob()?);
    }
    Ok(folded)
}

/// Deletes all documents and events, and tells of the deletions as changes of `rev`.
pub(super) fn clear(connection: &Connection, rev: Rev) -> Result<Vec<Change>> {
    let mut query = connection.prepare("SELECT key FROM documents ORDER BY key")?;
    let keys = query.query_map([], |row| Ok(Key::new(row.get(0)?)))?;
    let deleted = keys.map(|key| {
        key.map(|key| Change {
            key,
            value: None,
            rev,
        })
    });
    let deleted = deleted.collect::<Result<Vec<_>>>()?;
    connection.execute("DELETE FROM documents", [])?;
    connection.execute("DELETE FROM events", [])?;
    remember(connection, &deleted)?;
    Ok(deleted)
}

pub(super) fn enqueue(
    connection: &Connection,
    event: &NewEvent,
    id: u64,
    now_ms: u64,
) -> Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO events (id, due_ms, enqueued_ms, delivery, state, body)
         VALUES (?1, ?2, ?3, 0, 0, ?4)",
    )?;
    let due = now_ms.saturating_add(crate::queue::whole_ms(event.delay));
    insert.execute(params![
        signed(id),
        signed(due),
        signed(now_ms),
        &*event.body
    ])?;
    Ok(())
}

pub(super) fn lease(
    connection: &Connection,
    max: u32,
    visibility_ms: u64,
    now_ms: u64,
) -> Result<Vec<Leased>> {
    let mut query = connection.prepare_cached(
        "SELECT id, delivery, enqueued_ms, body FROM events
         WHERE state < 2 AND due_ms <= ?1 ORDER BY due_ms, id LIMIT ?2",
    )?;
    let mut due = query.query_map(params![signed(now_ms), i64::from(max)], |row| {
        let (id, delivery) = (
            EventId(number(row, 0)?),
            row.get::<_, u32>(1)?.saturating_add(1),
        );
        let (enqueued_ms, body) = (number(row, 2)?, Bytes::from(row.get::<_, Vec<u8>>(3)?));
        let token = LeaseToken {
            event: id,
            delivery,
        };
        Ok(Leased {
            id,
            token,
            body,
            delivery,
            enqueued_ms,
        })
    })?;
    let leased = due.by_ref().collect::<Result<Vec<_>>>()?;
    let mut update = connection
        .prepare_cached("UPDATE events SET state = 1, delivery = ?2, due_ms = ?3 WHERE id = ?1")?;
    let until = signed(now_ms.saturating_add(visibility_ms));
    for event in &leased {
        update.execute(params![signed(event.id.0), event.delivery, until])?;
    }
    Ok(leased)
}

/// Whether the token still held its event, in which case the outcome is taken.
pub(super) fn finish(
    connection: &Connection,
    token: LeaseToken,
    outcome: Outcome,
    now_ms: u64,
) -> Result<bool> {
    let sql = match outcome {
        Outcome::Ack => {
            "DELETE FROM events WHERE id = ?1 AND delivery = ?2 AND state = 1 AND ?3 >= 0"
        }
        Outcome::Nack { .. } => {
            "UPDATE events SET state = 0, due_ms = ?3 WHERE id = ?1 AND delivery = ?2 AND state = 1"
        }
        Outcome::Extend { .. } => {
            "UPDATE events SET due_ms = ?3 WHERE id = ?1 AND delivery = ?2 AND state = 1"
        }
        Outcome::Dead => {
            "UPDATE events SET state = 2, due_ms = ?3 WHERE id = ?1 AND delivery = ?2 AND state = 1"
        }
    };
    let later = match outcome {
        Outcome::Ack | Outcome::Dead => 0,
        Outcome::Nack { delay: wait } | Outcome::Extend { visibility: wait } => {
            crate::queue::whole_ms(wait)
        }
    };
    let due = signed(now_ms.saturating_add(later));
    let mut change = connection.prepare_cached(sql)?;
    Ok(change.execute(params![signed(token.event.0), token.delivery, due])? == 1)
}

pub(super) fn trim_dead(connection: &Connection, keep: u64) -> Result<()> {
    let mut trim = connection.prepare_cached(
        "DELETE FROM events WHERE state = 2 AND id <=
         (SELECT id FROM events WHERE state = 2 ORDER BY id DESC LIMIT 1 OFFSET ?1)",
    )?;
    trim.execute([signed(keep)])?;
    Ok(())
}

/// Events leased in the store's former life are due again: nobody holds their tokens any more.
pub(super) fn release_leases(connection: &Connection) -> Result<()> {
    // The first condition lets the index of living events answer; their bodies stay unread.
    let sql = "UPDATE events SET state = 0, due_ms = enqueued_ms
               WHERE id IN (SELECT id FROM events WHERE state < 2 AND state = 1)";
    connection.execute(sql, [])?;
    Ok(())
}

pub(super) fn queued(connection: &Connection) -> Result<u64> {
    let sql = "SELECT COUNT(*) FROM events WHERE state < 2";
    connection.query_row(sql, [], |row| number(row, 0))
}

pub(super) fn depth(connection: &Connection, now_ms: u64) -> Result<Depth> {
    let mut query = connection.prepare_cached(
        "SELECT COUNT(*) FILTER (WHERE due_ms <= ?1),
                COUNT(*) FILTER (WHERE due_ms > ?1 AND state = 0),
                COUNT(*) FILTER (WHERE due_ms > ?1 AND state = 1)
         FROM events WHERE state < 2",
    )?;
    let (ready, delayed, leased) = query.query_row([signed(now_ms)], |row| {
        Ok((number(row, 0)?, number(row, 1)?, number(row, 2)?))
    })?;
    let dead = "SELECT COUNT(*) FROM events WHERE state = 2";
    let dead = connection.query_row(dead, [], |row| number(row, 0))?;
    Ok(Depth {
        ready,
        delayed,
        leased,
        dead,
    })
}

fn entry(row: &Row<'_>) -> Result<Entry> {
    let value = Bytes::from(row.get::<_, Vec<u8>>(1)?);
    Ok(Entry {
        key: Key::new(row.get(0)?),
        value,
        rev: Rev(number(row, 2)?),
    })
}

fn number(row: &Row<'_>, column: usize) -> Result<u64> {
    // Nothing here ever stores a negative number.
    Ok(row.get::<_, i64>(column)?.unsigned_abs())
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
