//! Freezing: between invocations the processes of an environment stand still.
//!
//! It happens a short while after the environment became vacant, so that invocations that follow
//! each other closely pay nothing for it: they find a flag set, and the environment's task looks
//! again when the time is over. An invocation thaws on its own way, with one small write.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bootlace_sandbox::SandboxError;
use bootlace_types::clock;

use crate::environment::{Core, Environment};
use crate::failure::Failure;
use crate::lifecycle::{Event, State};

impl Environment {
    /// It is vacant; its task shall look after it, unless it does already.
    pub(crate) fn rest_soon(&self) {
        if self.options.freeze_grace.is_some()
            && !self.resting.load(Ordering::Relaxed)
            && !self.resting.swap(true, Ordering::Relaxed)
        {
            self.wake.notify_one();
        }
    }

    /// Freezes it if it has been idle for long enough; else tells when to look again. For its task.
    pub(crate) fn rest(&self) -> Option<Instant> {
        let grace = self.options.freeze_grace?;
        if !self.resting.load(Ordering::Relaxed) {
            return None;
        }
        let mut core = self.lock();
        let when = match core.lifecycle.state() {
            State::Idle { since, .. } => *since + grace,
            // Its first invocation must not be held up by a wake-up for this.
            State::Initializing(_) => return Some(clock::now() + grace),
            _ => {
                // Whoever makes it idle again sets the flag again, as this is under the lock.
                self.resting.store(false, Ordering::Relaxed);
                return None;
            }
        };
        if clock::now() < when {
            return Some(when);
        }
        self.resting.store(false, Ordering::Relaxed);
        let sandbox = self.sandbox()?;
        if sandbox.can_freeze() {
            match sandbox.freeze() {
                Ok(()) => {
                    core.frozen = true;
                    self.frozen.send_replace(true);
                }
                // The spawner has not done with a process of its start.
                Err(SandboxError::Busy) => {
                    self.resting.store(true, Ordering::Relaxed);
                    return Some(clock::now() + grace);
                }
                Err(error) => {
                    tracing::warn!(environment = %self.id, %error, "an environment was not frozen");
                }
            }
        }
        None
    }

    /// Whether it goes on; under the lock, so that nobody sees it half done.
    pub(crate) fn thaw(&self, core: &mut Core) -> bool {
        if let Some(sandbox) = self.sandbox()
            && let Err(error) = sandbox.thaw()
        {
            tracing::warn!(environment = %self.id, %error, "an environment was not thawed");
            return false;
        }
        core.frozen = false;
        self.frozen.send_replace(false);
        true
    }

    /// Nothing runs in it any more; what starts now is not frozen.
    pub(crate) fn is_awake(&self) {
        self.lock().frozen = false;
        self.frozen.send_replace(false);
    }

    /// It is going to end or be reset; whoever has something to do for that shall do it.
    pub(crate) fn thaw_to_stop(&self) {
        let mut core = self.lock();
        if core.frozen {
            // What stays frozen is killed all the same.
            self.thaw(&mut core);
        }
    }

    pub(crate) fn cannot_thaw(self: &Arc<Self>) {
        self.happen(Event::Failed(Failure::Platform {
            context: "a frozen environment could not be thawed".into(),
        }));
    }

    /// Waits for so long, not counting what it spends frozen at the end of that time.
    pub(crate) async fn awake_for(&self, time: std::time::Duration) {
        let mut frozen = self.frozen.subscribe();
        loop {
            tokio::time::sleep(time).await;
            if !*frozen.borrow_and_update() {
                return;
            }
            if frozen.wait_for(|frozen| !frozen).await.is_err() {
                return;
            }
        }
    }
}
