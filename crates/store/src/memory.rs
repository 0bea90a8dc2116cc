use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bootlace_types::limits;
use bytes::Bytes;

use crate::any::{changes, is_expected};
use crate::queue::{refused, whole_ms};
use crate::watch::{Commit, Hub};
use crate::{
    CommitError, Depth, Entry, EventId, Finished, Key, LeaseToken, Leased, NewEvent, Outcome, Page,
    Rev, StoreClock, StoreError, Txn, Watch,
};

/// A store that lives in memory: deterministic, and it fails when it is told to.
#[derive(Debug, Clone)]
pub struct MemStore {
    state: Arc<Mutex<State>>,
    hub: Arc<Hub>,
    clock: StoreClock,
}

/// What goes wrong with a commit or an enqueue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is refused, and nothing is done.
    Fail,
    /// The answer is lost; whether it is done is known to the test only.
    LoseAnswer { applied: bool },
}

#[derive(Debug, Default)]
struct State {
    documents: BTreeMap<Key, (Bytes, Rev)>,
    rev: Rev,
    events: BTreeMap<EventId, Event>,
    last_event: u64,
    faults: VecDeque<Fault>,
}

#[derive(Debug)]
struct Event {
    body: Bytes,
    enqueued_ms: u64,
    /// When it can be leased, or leased again.
    due_ms: u64,
    delivery: u32,
    leased: bool,
    dead: bool,
}

impl MemStore {
    #[must_use]
    pub fn new(clock: StoreClock) -> Self {
        Self {
            state: Arc::default(),
            hub: Hub::new(Rev(0)),
            clock,
        }
    }

    /// Adds a fault; each befalls one commit or enqueue, in the order they were added.
    pub fn inject(&self, fault: Fault) {
        self.lock().faults.push_back(fault);
    }

    pub(crate) fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        let state = self.lock();
        let found = state.documents.get(key);
        Ok(found.map(|(value, rev)| Entry {
            key: key.clone(),
            value: value.clone(),
            rev: *rev,
        }))
    }

    pub(crate) fn commit(&self, txn: &Txn) -> Result<Rev, CommitError> {
        let mut state = self.lock();
        let fault = state.faults.pop_front();
        match fault {
            Some(Fault::Fail) => return Err(CommitError::Unavailable(injected())),
            Some(Fault::LoseAnswer { applied: false }) => return Err(CommitError::Unknown),
            Some(Fault::LoseAnswer { applied: true }) | None => {}
        }
        for (key, expect) in &txn.checks {
            let found = state.documents.get(key).map(|(_, rev)| *rev);
            if !is_expected(*expect, found) {
                return Err(CommitError::Conflict(key.clone()));
            }
        }
        state
            .room_for(txn.events.len())
            .map_err(CommitError::Unavailable)?;
        let rev = Rev(state.rev.0 + 1);
        let changes = changes(txn, rev, |key| state.documents.contains_key(key));
        for (key, value) in &txn.puts {
            state.documents.insert(key.clone(), (value.clone(), rev));
        }
        for key in &txn.deletes {
            state.documents.remove(key);
        }
        state.enqueue(&txn.events, self.clock.now_ms());
        if !changes.is_empty() {
            state.rev = rev;
            self.hub.publish(vec![Commit { rev, changes }]);
        }
        if fault.is_some() {
            Err(CommitError::Unknown)
        } else {
            Ok(state.rev)
        }
    }

    pub(crate) fn scan(&self, prefix: &str, after: Option<&Key>, limit: u32) -> Page {
        let state = self.lock();
        let start = Key::new(prefix.to_owned());
        let from = match after {
            Some(after) if *after >= start => Bound::Excluded(after.clone()),
            _ => Bound::Included(start),
        };
        let mut page = Page {
            rev: state.rev,
            ..Page::default()
        };
        let mut bytes = 0;
        for (key, (value, rev)) in state.documents.range((from, Bound::Unbounded)) {
            if !key.as_str().starts_with(prefix) {
                break;
            }
            if page_is_full(page.entries.len(), bytes, limit) {
                page.more = true;
                break;
            }
            bytes += value.len();
            page.entries.push(Entry {
                key: key.clone(),
                value: value.clone(),
                rev: *rev,
            });
        }
        page
    }

    pub(crate) fn watch(&self, prefix: &str, from: Rev) -> Watch {
        Watch::new(&self.hub, None, prefix, from)
    }

    pub(crate) fn enqueue(&self, events: &[NewEvent]) -> Result<Vec<EventId>, StoreError> {
        let mut state = self.lock();
        let fault = state.faults.pop_front();
        if let Some(Fault::Fail | Fault::LoseAnswer { applied: false }) = fault {
            return Err(injected());
        }
        state.room_for(events.len())?;
        let ids = state.enqueue(events, self.clock.now_ms());
        if fault.is_some() {
            Err(injected())
        } else {
            Ok(ids)
        }
    }

    pub(crate) fn lease(&self, max: u32, visibility: Duration) -> Vec<Leased> {
        let now = self.clock.now_ms();
        let mut state = self.lock();
        let due = state
            .events
            .iter()
            .filter(|(_, event)| !event.dead && event.due_ms <= now);
        let mut order: Vec<_> = due.map(|(id, event)| (event.due_ms, *id)).collect();
        order.sort_unstable();
        order.truncate(
            usize::try_from(max)
                .unwrap_or(usize::MAX)
                .min(limits::EVENTS_PER_CALL),
        );
        let mut leased = Vec::with_capacity(order.len());
        for (_, id) in order {
            let Some(event) = state.events.get_mut(&id) else {
                continue;
            };
            event.delivery += 1;
            event.leased = true;
            event.due_ms = now.saturating_add(whole_ms(visibility));
            let delivery = event.delivery;
            leased.push(Leased {
                id,
                token: LeaseToken {
                    event: id,
                    delivery,
                },
                body: event.body.clone(),
                delivery,
                enqueued_ms: event.enqueued_ms,
            });
        }
        leased
    }

    pub(crate) fn finish(&self, outcomes: &[(LeaseToken, Outcome)]) -> Vec<Finished> {
        let now = self.clock.now_ms();
        let mut state = self.lock();
        outcomes
            .iter()
            .map(|(token, outcome)| state.finish(*token, *outcome, now))
            .collect()
    }

    pub(crate) fn depth(&self) -> Depth {
        let now = self.clock.now_ms();
        let mut depth = Depth::default();
        for event in self.lock().events.values() {
            let count = match (event.dead, event.due_ms <= now, event.leased) {
                (true, ..) => &mut depth.dead,
                (false, true, _) => &mut depth.ready,
                (false, false, true) => &mut depth.leased,
                (false, false, false) => &mut depth.delayed,
            };
            *count += 1;
        }
        depth
    }

    pub(crate) fn fold_values<T>(&self, start: T, step: fn(&mut T, &[u8])) -> T {
        let mut folded = start;
        self.lock()
            .documents
            .values()
            .for_each(|(value, _)| step(&mut folded, value));
        folded
    }

    pub(crate) fn clear(&self) -> Rev {
        let mut state = self.lock();
        let rev = Rev(state.rev.0 + 1);
        let deletes = std::mem::take(&mut state.documents).into_keys().collect();
        let changes = changes(
            &Txn {
                deletes,
                ..Txn::default()
            },
            rev,
            |_| true,
        );
        state.events.clear();
        state.rev = rev;
        self.hub.publish(vec![Commit { rev, changes }]);
        rev
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Steps under the lock do not panic halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn room_for(&self, events: usize) -> Result<(), StoreError> {
        let waiting = self.events.values().filter(|event| !event.dead).count();
        let all = u64::try_from(waiting + events).unwrap_or(u64::MAX);
        if events > 0 && all > limits::EVENTS_QUEUED {
            Err(refused("the queue is full"))
        } else {
            Ok(())
        }
    }

    fn enqueue(&mut self, events: &[NewEvent], now_ms: u64) -> Vec<EventId> {
        let mut ids = Vec::with_capacity(events.len());
        for event in events {
            self.last_event += 1;
            let id = EventId(self.last_event);
            ids.push(id);
            let event = Event {
                body: event.body.clone(),
                enqueued_ms: now_ms,
                due_ms: now_ms.saturating_add(whole_ms(event.delay)),
                delivery: 0,
                leased: false,
                dead: false,
            };
            self.events.insert(id, event);
        }
        ids
    }

    fn finish(&mut self, token: LeaseToken, outcome: Outcome, now_ms: u64) -> Finished {
        let held = self.events.get_mut(&token.event);
        let Some(event) = held.filter(|event| event.leased && event.delivery == token.delivery)
        else {
            return Finished::Stale;
        };
        match outcome {
            Outcome::Ack => {
                self.events.remove(&token.event);
            }
            Outcome::Nack { delay } => {
                event.leased = false;
                event.due_ms = now_ms.saturating_add(whole_ms(delay));
            }
            Outcome::Extend { visibility } => {
                event.due_ms = now_ms.saturating_add(whole_ms(visibility));
            }
            Outcome::Dead => {
                event.leased = false;
                event.dead = true;
                self.trim_dead();
            }
        }
        Finished::Done
    }

    fn trim_dead(&mut self) {
        let dead = self
            .events
            .iter()
            .filter(|(_, event)| event.dead)
            .map(|(id, _)| *id);
        let dead: Vec<_> = dead.collect();
        let keep = usize::try_from(limits::EVENTS_DEAD).unwrap_or(usize::MAX);
        for id in dead.iter().take(dead.len().saturating_sub(keep)) {
            self.events.remove(id);
        }
    }
}

/// Whether a scan's page takes no more entries.
pub(crate) fn page_is_full(entries: usize, bytes: usize, limit: u32) -> bool {
    let limit = limit.clamp(1, limits::SCAN_PAGE_ENTRIES);
    entries >= usize::try_from(limit).unwrap_or(usize::MAX)
        || entries > 0 && bytes >= limits::SCAN_PAGE_BYTES
}

fn injected() -> StoreError {
    StoreError::new("writing to the memory store", "a fault was injected")
}
