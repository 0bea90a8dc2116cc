//! Keeps freezing and starting processes apart.
//!
//! A new process is born into the sandbox's cgroup and the spawner sleeps until it runs its program.
//! In a frozen cgroup it never would, and the spawner would start nothing for anybody any more. So a
//! sandbox is not frozen while something is on its way to it, also when whoever asked for that has
//! given up.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::SandboxError;

/// Of one sandbox. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Pace {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    frozen: bool,
    /// Commands that the spawner has not answered, count.
    under_way: usize,
}

impl Pace {
    /// Writes that it is frozen, unless something is under way.
    pub(super) fn freeze(
        &self,
        write: impl FnOnce() -> Result<(), SandboxError>,
    ) -> Result<(), SandboxError> {
        let mut state = self.lock();
        if state.frozen {
            return Ok(());
        }
        if state.under_way > 0 {
            return Err(SandboxError::Busy);
        }
        write()?;
        state.frozen = true;
        Ok(())
    }

    /// Writes that it is thawed, if it is not.
    pub(super) fn thaw(
        &self,
        write: impl FnOnce() -> Result<(), SandboxError>,
    ) -> Result<(), SandboxError> {
        let mut state = self.lock();
        if state.frozen {
            write()?;
            state.frozen = false;
        }
        Ok(())
    }

    /// A process is on its way.
    pub(super) fn starting(&self) -> Result<UnderWay, SandboxError> {
        let mut state = self.lock();
        if state.frozen {
            return Err(SandboxError::Frozen);
        }
        state.under_way += 1;
        Ok(UnderWay {
            pace: self.clone(),
            thaws: false,
        })
    }

    /// Everything is being killed, which ends with a thawed sandbox.
    pub(super) fn emptying(&self) -> UnderWay {
        self.lock().under_way += 1;
        UnderWay {
            pace: self.clone(),
            thaws: true,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Dropped when the spawner has answered or is gone.
#[derive(Debug)]
pub(super) struct UnderWay {
    pace: Pace,
    thaws: bool,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.pace.lock();
        state.under_way -= 1;
        if self.thaws {
            state.frozen = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_starts_in_a_frozen_sandbox_and_nothing_that_starts_is_frozen() {
        let pace = Pace::default();
        let starting = pace.starting().expect("it is thawed");
        let refused = pace.freeze(|| panic!("a process is on its way"));
        assert!(matches!(refused, Err(SandboxError::Busy)));
        drop(starting);
        pace.freeze(|| Ok(())).expect("nothing is under way");
        assert!(matches!(pace.starting(), Err(SandboxError::Frozen)));
        // A freeze that is written once is not written again.
        pace.freeze(|| panic!("it is frozen")).expect("it is");
        pace.thaw(|| Ok(())).expect("it can be written");
        assert!(pace.starting().is_ok());
    }

    #[test]
    fn a_sandbox_that_was_emptied_is_thawed() {
        let pace = Pace::default();
        pace.freeze(|| Ok(())).expect("nothing is under way");
        let emptying = pace.emptying();
        assert!(matches!(pace.starting(), Err(SandboxError::Frozen)));
        drop(emptying);
        assert!(pace.starting().is_ok());
    }

    #[test]
    fn a_freeze_that_cannot_be_written_is_none() {
        let pace = Pace::default();
        assert!(pace.freeze(|| Err(SandboxError::SandboxGone)).is_err());
        assert!(pace.starting().is_ok());
    }
}
