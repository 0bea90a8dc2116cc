use bootlace_types::limits;
use rusqlite::Connection;

use super::inbox::Request;
use super::statements::{self, Counters};
use crate::any::{changes, is_expected};
use crate::watch::Commit;
use crate::{
    CommitError, EventId, Finished, Key, LeaseToken, Leased, NewEvent, Outcome, Rev, StoreError,
    Txn,
};

/// What the members of a group have changed so far; it counts when the group is committed.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) counters: Counters,
    pub(super) queued: u64,
    pub(super) now_ms: u64,
    pub(super) wrote: bool,
    pub(super) died: bool,
    pub(super) commits: Vec<Commit>,
    /// The last failure of the database, for when it turns out to have ended the transaction.
    pub(super) failure: String,
}

/// How a group ended that was not committed.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) message: String,
    /// Whether it may have happened all the same, as a crash would show.
    pub(super) unknown: bool,
    /// Whether one member brought the others down with it.
    pub(super) by_a_member: bool,
}

/// What became of one request, as long as its group is committed.
#[derive(Debug)]
pub(super) enum Done {
    Commit(Result<Rev, CommitError>),
    Enqueue(Result<Vec<EventId>, StoreError>),
    Lease(Result<Vec<Leased>, StoreError>),
    Finish(Result<Vec<Finished>, StoreError>),
    Clear(Result<Rev, StoreError>),
}

/// Why one member alone is not done.
enum Refusal {
    Conflict(Key),
    Full,
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

type Step<T> = Result<T, Refusal>;

/// Does one request inside the group's transaction: all of it, or nothing.
pub(super) fn perform(connection: &Connection, request: &Request, draft: &mut Draft) -> Done {
    match request {
        Request::Commit(txn, _) => {
            let done = alone(connection, draft, |draft| commit(connection, txn, draft));
            Done::Commit(done.map_err(commit_error))
        }
        Request::Enqueue(events, _) => {
            let done = alone(connection, draft, |draft| {
                enqueue(connection, events, draft)
            });
            Done::Enqueue(done.map_err(queue_error))
        }
        Request::Lease {
            max, visibility_ms, ..
        } => {
            let done = alone(connection, draft, |draft| {
                lease(connection, *max, *visibility_ms, draft)
            });
            Done::Lease(done.map_err(queue_error))
        }
        Request::Finish(outcomes, _) => {
            let done = alone(connection, draft, |draft| {
                finish(connection, outcomes, draft)
            });
            Done::Finish(done.map_err(queue_error))
        }
        Request::Clear(_) => {
            let done = alone(connection, draft, |draft| clear(connection, draft));
            Done::Clear(done.map_err(queue_error))
        }
    }
}

/// Gives a caller its answer, now that the group is committed. The caller may have gone away; what
/// it asked for is done all the same.
pub(super) fn answer(request: Request, done: Done) {
    match (request, done) {
        (Request::Commit(_, reply), Done::Commit(done)) => drop(reply.send(done)),
        (Request::Enqueue(_, reply), Done::Enqueue(done)) => drop(reply.send(done)),
        (Request::Lease { reply, .. }, Done::Lease(done)) => drop(reply.send(done)),
        (Request::Finish(_, reply), Done::Finish(done)) => drop(reply.send(done)),
        (Request::Clear(reply), Done::Clear(done)) => drop(reply.send(done)),
        // Without an answer a caller asks the store again.
        (_, _) => tracing::error!("the store's writer mixed up two requests"),
    }
}

/// Tells a caller that the group was lost; `begun` is false when its request was never looked at.
pub(super) fn refuse(request: Request, lost: &Lost, begun: bool) {
    match request {
        Request::Commit(_, reply) => {
            let error = if lost.unknown && begun {
                CommitError::Unknown
            } else {
                CommitError::Unavailable(lost_write(lost))
            };
            drop(reply.send(Err(error)));
        }
        Request::Enqueue(_, reply) => drop(reply.send(Err(lost_write(lost)))),
        Request::Lease { reply, .. } => drop(reply.send(Err(lost_write(lost)))),
        Request::Finish(_, reply) => drop(reply.send(Err(lost_write(lost)))),
        Request::Clear(reply) => drop(reply.send(Err(lost_write(lost)))),
    }
}

/// Runs one member so that its failure undoes it and leaves the other members alone.
fn alone<T>(
    connection: &Connection,
    draft: &mut Draft,
    work: impl FnOnce(&mut Draft) -> Step<T>,
) -> Step<T> {
    let (counters, queued, commits) = (draft.counters, draft.queued, draft.commits.len());
    let (wrote, died) = (draft.wrote, draft.died);
    let run = |sql| {
        connection
            .prepare_cached(sql)
            .and_then(|mut sql| sql.execute([]))
    };
    run("SAVEPOINT member")?;
    let done = work(draft);
    if let Err(refusal) = &done {
        draft.commits.truncate(commits);
        (draft.counters, draft.queued) = (counters, queued);
        (draft.wrote, draft.died) = (wrote, died);
        if let Refusal::Sql(error) = refusal {
            draft.failure = error.to_string();
        }
        // When the database has ended the whole transaction there is no savepoint any more; the
        // writer looks for that.
        let _ = run("ROLLBACK TO member");
    }
    let _ = run("RELEASE member");
    done
}

fn commit(connection: &Connection, txn: &Txn, draft: &mut Draft) -> Step<Rev> {
    for (key, expect) in &txn.checks {
        if !is_expected(*expect, statements::rev_of(connection, key)?) {
            return Err(Refusal::Conflict(key.clone()));
        }
    }
    let rev = Rev(draft.counters.rev + 1);
    let mut existed = Vec::with_capacity(txn.deletes.len());
    for key in &txn.deletes {
        if statements::delete(connection, key)? {
            existed.push(key);
        }
    }
    for (key, value) in &txn.puts {
        statements::put(connection, key, value, rev)?;
    }
    let changes = changes(txn, rev, |key| existed.contains(&key));
    if !txn.events.is_empty() {
        enqueue(connection, &txn.events, draft)?;
    }
    if !changes.is_empty() {
        statements::remember(connection, &changes)?;
        draft.counters.rev = rev.0;
        draft.commits.push(Commit { rev, changes });
        draft.wrote = true;
    }
    Ok(Rev(draft.counters.rev))
}

fn enqueue(connection: &Connection, events: &[NewEvent], draft: &mut Draft) -> Step<Vec<EventId>> {
    draft.queued += u64::try_from(events.len()).unwrap_or(u64::MAX);
    if draft.queued > limits::EVENTS_QUEUED {
        return Err(Refusal::Full);
    }
    let mut ids = Vec::with_capacity(events.len());
    for event in events {
        draft.counters.event += 1;
        statements::enqueue(connection, event, draft.counters.event, draft.now_ms)?;
        ids.push(EventId(draft.counters.event));
    }
    draft.wrote |= !events.is_empty();
    Ok(ids)
}

fn lease(
    connection: &Connection,
    max: u32,
    visibility_ms: u64,
    draft: &mut Draft,
) -> Step<Vec<Leased>> {
    let leased = statements::lease(connection, max, visibility_ms, draft.now_ms)?;
    draft.wrote |= !leased.is_empty();
    Ok(leased)
}

fn finish(
    connection: &Connection,
    outcomes: &[(LeaseToken, Outcome)],
    draft: &mut Draft,
) -> Step<Vec<Finished>> {
    let mut finished = Vec::with_capacity(outcomes.len());
    for (token, outcome) in outcomes {
        if !statements::finish(connection, *token, *outcome, draft.now_ms)? {
            finished.push(Finished::Stale);
            continue;
        }
        draft.wrote = true;
        draft.died |= *outcome == Outcome::Dead;
        if matches!(outcome, Outcome::Ack | Outcome::Dead) {
            draft.queued = draft.queued.saturating_sub(1);
        }
        finished.push(Finished::Done);
    }
    Ok(finished)
}

fn clear(connection: &Connection, draft: &mut Draft) -> Step<Rev> {
    let rev = Rev(draft.counters.rev + 1);
    let changes = statements::clear(connection, rev)?;
    draft.counters.rev = rev.0;
    draft.queued = 0;
    draft.wrote = true;
    draft.commits.push(Commit { rev, changes });
    Ok(rev)
}

fn commit_error(refusal: Refusal) -> CommitError {
    match refusal {
        Refusal::Conflict(key) => CommitError::Conflict(key),
        other => CommitError::Unavailable(queue_error(other)),
    }
}

fn queue_error(refusal: Refusal) -> StoreError {
    match refusal {
        Refusal::Conflict(key) => StoreError::new("writing", format_args!("{key} has changed")),
        Refusal::Full => crate::queue::refused("the queue is full"),
        Refusal::Sql(error) => StoreError::new("writing to the database", error),
    }
}

fn lost_write(lost: &Lost) -> StoreError {
    StoreError::new("writing to the database", &lost.message)
}
