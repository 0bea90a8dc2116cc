use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bootlace_types::limits;
use rusqlite::{Connection, Transaction};

use super::dialect;
use super::inbox::{Found, Inbox, Request, Waiting};
use super::member::{self, Done, Draft, Lost};
use super::statements::{self, Counters};
use crate::watch::{Commit, Hub};
use crate::{Rev, StoreClock};

/// Commits that the history may be over its limit before it is cut back.
const FORGET_AT_ONCE: u64 = 64;

/// The one thread that writes. Everything that waits when it is free becomes one transaction with
/// one fsync; each member has a savepoint, so that one that fails does not take the others along.
/// Where one ends the whole transaction (the disk is full), each is tried again alone.
#[derive(Debug)]
pub(super) struct Writer {
    connection: Connection,
    inbox: Arc<Inbox>,
    hub: Arc<Hub>,
    clock: StoreClock,
    /// The size of the write-ahead log.
    log_bytes: Arc<AtomicU64>,
    /// Whether the log may hold what the database does not.
    log_pending: bool,
    history_bytes: u64,
    queued: u64,
}

impl Writer {
    pub(super) fn new(
        mut connection: Connection,
        inbox: Arc<Inbox>,
        clock: StoreClock,
    ) -> rusqlite::Result<Self> {
        let log_bytes = dialect::watch_log(&mut connection)?;
        statements::release_leases(&connection)?;
        let hub = Hub::new(Rev(Counters::read(&connection)?.rev));
        let history_bytes = statements::history_bytes(&connection, u64::MAX)?;
        let queued = statements::queued(&connection)?;
        let log_pending = true;
        Ok(Self {
            connection,
            inbox,
            hub,
            clock,
            log_bytes,
            log_pending,
            history_bytes,
            queued,
        })
    }

    pub(super) fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Serves until the inbox is closed and empty; closing the connection moves the log.
    pub(super) fn run(mut self) {
        loop {
            match self
                .inbox
                .take(self.log_pending.then_some(limits::WAL_IDLE))
            {
                Found::Group(group) => self.serve(group),
                Found::Idle => self.checkpoint(),
                Found::Closed => break,
            }
            if self.log_pending && self.log_bytes.load(Ordering::Relaxed) >= limits::WAL_BYTES {
                self.checkpoint();
            }
        }
        if let Err((_, error)) = self.connection.close() {
            tracing::warn!(%error, "the database was not closed cleanly; nothing is lost");
        }
    }

    fn checkpoint(&mut self) {
        self.log_pending = false;
        if let Err(error) = dialect::checkpoint(&self.connection) {
            tracing::warn!(%error, "the log could not be moved into the database");
        }
    }

    fn serve(&mut self, group: Vec<Waiting>) {
        let (requests, rooms): (Vec<_>, Vec<_>) = group
            .into_iter()
            .map(|waiting| (waiting.request, waiting.room))
            .unzip();
        self.serve_together(requests);
        // Only now may others wait in their place.
        drop(rooms);
    }

    fn serve_together(&mut self, requests: Vec<Request>) {
        let mut done = Vec::with_capacity(requests.len());
        match self.transact(&requests, &mut done) {
            Ok(commits) => {
                self.hub.publish(commits);
                for (request, done) in requests.into_iter().zip(done) {
                    member::answer(request, done);
                }
            }
            Err(lost) if lost.by_a_member && requests.len() > 1 => {
                self.recover();
                for request in requests {
                    self.serve_together(vec![request]);
                }
            }
            Err(lost) => {
                tracing::error!(error = lost.message, "the store could not write");
                let begun = done.len();
                for (index, request) in requests.into_iter().enumerate() {
                    member::refuse(request, &lost, index < begun);
                }
                self.recover();
            }
        }
    }

    /// Does the requests as one transaction; `done` says how each ends if it is committed.
    fn transact(
        &mut self,
        requests: &[Request],
        done: &mut Vec<Done>,
    ) -> Result<Vec<Commit>, Lost> {
        let transaction = dialect::begin(&mut self.connection).map_err(undone)?;
        let before = Counters::read(&transaction).map_err(undone)?;
        let mut draft = Draft {
            counters: before,
            queued: self.queued,
            now_ms: self.clock.now_ms(),
            wrote: false,
            died: false,
            commits: Vec::new(),
            failure: String::new(),
        };
        for request in requests {
            done.push(member::perform(&transaction, request, &mut draft));
            // Some errors (a full disk, say) end the whole transaction, not the member alone.
            if transaction.is_autocommit() {
                return Err(Lost {
                    message: draft.failure,
                    unknown: false,
                    by_a_member: true,
                });
            }
        }
        if !draft.wrote {
            transaction.finish().map_err(undone)?;
            return Ok(Vec::new());
        }
        let history = settle(&transaction, before, &mut draft, self.history_bytes);
        let history = history.map_err(undone)?;
        let committed = transaction.commit();
        committed.map_err(|error| Lost {
            message: error.to_string(),
            unknown: true,
            by_a_member: false,
        })?;
        self.history_bytes = history;
        self.queued = draft.queued;
        self.log_pending = true;
        Ok(draft.commits)
    }

    /// After a failure the counts in memory are doubtful; the tables are not.
    fn recover(&mut self) {
        let read = || -> rusqlite::Result<_> {
            let rev = Counters::read(&self.connection)?.rev;
            let history = statements::history_bytes(&self.connection, u64::MAX)?;
            Ok((rev, history, statements::queued(&self.connection)?))
        };
        match read() {
            Ok((rev, history, queued)) => {
                self.hub.catch_up(Rev(rev));
                (self.history_bytes, self.queued) = (history, queued);
            }
            Err(error) => tracing::error!(%error, "the store cannot read either"),
        }
    }
}

/// What a group does once for all its members: the counters, and the limits on what is kept. Gives
/// the size of the history.
fn settle(
    transaction: &Transaction<'_>,
    before: Counters,
    draft: &mut Draft,
    history_bytes: u64,
) -> rusqlite::Result<u64> {
    let added: usize = draft.commits.iter().map(Commit::bytes).sum();
    let mut history = history_bytes.saturating_add(u64::try_from(added).unwrap_or(u64::MAX));
    let Counters { rev, compacted, .. } = draft.counters;
    let keep = limits::WATCH_HISTORY_COMMITS;
    let kept = rev - compacted;
    // Some at a time, so that not every group has to delete.
    let forget = if history > limits::WATCH_HISTORY_BYTES {
        kept / 2
    } else if kept >= keep + FORGET_AT_ONCE {
        kept - keep
    } else {
        0
    };
    if forget > 0 {
        draft.counters.compacted += forget;
        let forgotten = statements::forget(transaction, draft.counters.compacted)?;
        history = history.saturating_sub(forgotten);
    }
    if draft.died {
        statements::trim_dead(transaction, limits::EVENTS_DEAD)?;
    }
    if draft.counters != before {
        draft.counters.write(transaction)?;
    }
    Ok(history)
}

fn undone(error: rusqlite::Error) -> Lost {
    Lost {
        message: error.to_string(),
        unknown: false,
        by_a_member: false,
    }
}
