//! Which environment of a function version serves whom: a plain data structure that decides.
//!
//! Idle leases are taken last in, first out, which is warmer and lets the surplus grow old. Callers
//! that find none wait first in, first out. For each of them an environment is started, unless one
//! is starting already that nobody waits for, or one will settle soon.

use std::collections::VecDeque;

use bootlace_environment::Was;

/// `L` is the right to use an environment, `W` is a way to reach a waiting caller.
#[derive(Debug)]
pub(crate) struct Pool<L, W> {
    idle: Vec<L>,
    waiters: VecDeque<Waiter<W>>,
    starting: usize,
    /// Environments that have answered and will be vacant soon.
    settling: usize,
    retired: bool,
    last_ticket: u64,
}

#[derive(Debug)]
struct Waiter<W> {
    ticket: Ticket,
    patient: bool,
    way: W,
}

/// Names a waiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

/// How soon a vacant environment can serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Warmth {
    Warm,
    /// It must initialize first: it is the last to be used and the first to go.
    Cold,
}

/// What becomes of a vacant environment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Vacancy<L, W> {
    /// The oldest waiter gets it.
    Serve(W, L),
    /// It is idle.
    Kept,
    /// The version is not used any more: end it.
    Retire(L),
}

impl<L, W> Pool<L, W> {
    pub(crate) fn new() -> Self {
        Self {
            idle: Vec::new(),
            waiters: VecDeque::new(),
            starting: 0,
            settling: 0,
            retired: false,
            last_ticket: 0,
        }
    }

    /// The lease that waited least. While somebody waits there is none.
    pub(crate) fn take(&mut self) -> Option<L> {
        self.idle.pop()
    }

    /// Queues a caller; tells how many environments to start now.
    pub(crate) fn wait(&mut self, way: W) -> (Ticket, usize) {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.waiters.push_back(Waiter {
            ticket,
            patient: true,
            way,
        });
        (ticket, self.missing_starts())
    }

    /// A waiter counts no longer on environments that are settling.
    pub(crate) fn insist(&mut self, ticket: Ticket) -> usize {
        if let Some(waiter) = self
            .waiters
            .iter_mut()
            .find(|waiter| waiter.ticket == ticket)
        {
            waiter.patient = false;
        }
        self.missing_starts()
    }

    /// A waiter went away.
    pub(crate) fn leave(&mut self, ticket: Ticket) {
        self.waiters.retain(|waiter| waiter.ticket != ticket);
    }

    /// An environment answered its caller and will be vacant soon.
    pub(crate) fn settling(&mut self) {
        self.settling += 1;
    }

    pub(crate) fn vacant(&mut self, lease: L, was: Was, warmth: Warmth) -> Vacancy<L, W> {
        self.discount(was);
        match self.waiters.pop_front() {
            Some(waiter) => Vacancy::Serve(waiter.way, lease),
            None if self.retired => Vacancy::Retire(lease),
            None => {
                match warmth {
                    Warmth::Warm => self.idle.push(lease),
                    Warmth::Cold => self.idle.insert(0, lease),
                }
                Vacancy::Kept
            }
        }
    }

    /// An environment is lost. If it was starting, its failure belongs to the oldest waiter. Also
    /// tells how many to start instead.
    pub(crate) fn lost(&mut self, was: Was) -> (Option<W>, usize) {
        self.discount(was);
        let way = match was {
            Was::Starting => self.waiters.pop_front().map(|waiter| waiter.way),
            Was::Idle | Was::Running | Was::Settling => None,
        };
        (way, self.missing_starts())
    }

    /// Takes idle leases that match, those first that nobody would miss.
    pub(crate) fn remove(&mut self, mut matches: impl FnMut(&L) -> bool) -> Vec<L> {
        self.idle.extract_if(.., |lease| matches(lease)).collect()
    }

    /// The lease that nobody would miss: one that must initialize, or that has waited longest.
    pub(crate) fn oldest(&self) -> Option<&L> {
        self.idle.first()
    }

    /// The version will get no new callers; gives what was idle.
    pub(crate) fn retire(&mut self) -> Vec<L> {
        self.retired = true;
        std::mem::take(&mut self.idle)
    }

    fn discount(&mut self, was: Was) {
        match was {
            Was::Starting => self.starting = self.starting.saturating_sub(1),
            Was::Settling => self.settling = self.settling.saturating_sub(1),
            Was::Idle | Was::Running => {}
        }
    }

    /// How many environments the waiters lack; they count as starting from now on.
    fn missing_starts(&mut self) -> usize {
        let impatient = self.waiters.iter().filter(|waiter| !waiter.patient).count();
        let wanted = impatient.max(self.waiters.len().saturating_sub(self.settling));
        let missing = wanted.saturating_sub(self.starting);
        self.starting += missing;
        missing
    }
}

#[cfg(test)]
mod tests;
