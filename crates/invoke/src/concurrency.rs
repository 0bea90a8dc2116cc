//! How many invocations may run at once: the account's limit and functions' reserved concurrency.
//!
//! Plain counters, no I/O, no waiting: a call is admitted now or throttled now.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::request::throttle;

/// One account in one region.
#[derive(Debug)]
pub(crate) struct Account {
    limit: u32,
    /// The sum of what its functions have reserved.
    reserved: AtomicU32,
    /// Invocations of functions that have reserved nothing.
    unreserved_running: AtomicU32,
    running: AtomicU32,
}

impl Account {
    pub(crate) fn new(limit: u32) -> Self {
        Self {
            limit,
            reserved: AtomicU32::new(0),
            unreserved_running: AtomicU32::new(0),
            running: AtomicU32::new(0),
        }
    }

    /// Invocations that run now.
    pub(crate) fn running(&self) -> u32 {
        self.running.load(Ordering::Relaxed)
    }
}

/// What one function may run at once.
#[derive(Debug)]
pub(crate) struct Allowance {
    account: Arc<Account>,
    /// `NONE` or the reserved concurrency.
    reserved: AtomicU32,
    running: AtomicU32,
}

const NONE: u32 = u32::MAX;

impl Allowance {
    pub(crate) fn new(account: Arc<Account>) -> Self {
        Self {
            account,
            reserved: AtomicU32::new(NONE),
            running: AtomicU32::new(0),
        }
    }

    /// Changes what the function has reserved.
    pub(crate) fn reserve(&self, reserved: Option<u32>) {
        let old = self
            .reserved
            .swap(reserved.unwrap_or(NONE), Ordering::Relaxed);
        let counted = |reserved: u32| if reserved == NONE { 0 } else { reserved };
        let new = reserved.unwrap_or(0);
        // Wrapping sums stay right whatever order concurrent changes come in.
        self.account
            .reserved
            .fetch_add(new.wrapping_sub(counted(old)), Ordering::Relaxed);
    }

    /// Admits one invocation, or says why not in AWS's words.
    pub(crate) fn admit(self: &Arc<Self>) -> Result<Permit, &'static str> {
        let reserved = self.reserved.load(Ordering::Relaxed);
        let account = &self.account;
        let unreserved = reserved == NONE;
        if unreserved {
            let left = account
                .limit
                .saturating_sub(account.reserved.load(Ordering::Relaxed));
            count_below(&account.unreserved_running, left).ok_or(throttle::ACCOUNT)?;
            self.running.fetch_add(1, Ordering::Relaxed);
        } else {
            count_below(&self.running, reserved).ok_or(throttle::RESERVED)?;
        }
        account.running.fetch_add(1, Ordering::Relaxed);
        Ok(Permit {
            allowance: Arc::clone(self),
            unreserved,
        })
    }
}

impl Drop for Allowance {
    fn drop(&mut self) {
        self.reserve(None);
    }
}

/// Adds one unless the limit is reached.
fn count_below(counter: &AtomicU32, limit: u32) -> Option<u32> {
    let add = |count| (count < limit).then_some(count + 1);
    counter
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
        .ok()
}

/// The right to run one invocation; dropped, another may run.
#[derive(Debug)]
pub(crate) struct Permit {
    allowance: Arc<Allowance>,
    unreserved: bool,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let account = &self.allowance.account;
        self.allowance.running.fetch_sub(1, Ordering::Relaxed);
        account.running.fetch_sub(1, Ordering::Relaxed);
        if self.unreserved {
            account.unreserved_running.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn functions(limit: u32) -> (Arc<Account>, Arc<Allowance>, Arc<Allowance>) {
        let account = Arc::new(Account::new(limit));
        let function = || Arc::new(Allowance::new(Arc::clone(&account)));
        let (one, other) = (function(), function());
        (account, one, other)
    }

    #[test]
    fn the_account_limits_all_functions_together() {
        let (account, one, other) = functions(2);
        let first = one.admit().expect("below the limit");
        let _second = other.admit().expect("below the limit");
        assert_eq!(
            one.admit().unwrap_err(),
            "ConcurrentInvocationLimitExceeded"
        );
        assert_eq!(account.running(), 2);
        drop(first);
        assert!(other.admit().is_ok());
    }

    #[test]
    fn reserved_concurrency_guarantees_and_caps() {
        let (account, one, other) = functions(3);
        one.reserve(Some(2));
        let _others = other.admit().expect("one is unreserved");
        assert_eq!(
            other.admit().unwrap_err(),
            "ConcurrentInvocationLimitExceeded"
        );
        let _first = one.admit().expect("reserved");
        let second = one.admit().expect("reserved");
        assert_eq!(
            one.admit().unwrap_err(),
            "ReservedFunctionConcurrentInvocationLimitExceeded"
        );
        one.reserve(Some(0));
        drop(second);
        assert!(one.admit().is_err(), "zero stops the function");
        assert_eq!(account.running(), 2);
    }

    #[test]
    fn what_a_deleted_function_reserved_is_free_again() {
        let (_account, one, other) = functions(2);
        one.reserve(Some(2));
        assert!(other.admit().is_err());
        drop(one);
        assert!(other.admit().is_ok());
    }

    #[test]
    fn a_permit_returns_to_where_it_came_from() {
        let (account, one, _other) = functions(1);
        let permit = one.admit().expect("unreserved");
        one.reserve(Some(1));
        drop(permit);
        assert_eq!(account.unreserved_running.load(Ordering::Relaxed), 0);
        one.reserve(None);
        assert!(one.admit().is_ok());
    }
}
