//! How a process is asked or made to end.

use std::sync::Weak;

use crate::fake::FakeSignals;
use crate::linux::Link;
use crate::local::LocalSignals;
use crate::protocol::{Command, Deliver};

/// Ends one process of a sandbox. Cheap to clone; does nothing when the process has ended.
#[derive(Debug, Clone)]
pub struct Signals {
    target: Target,
}

#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// The spawner knows the process by the number under which it was asked for. A process id
    /// would be another's after its end.
    Linux {
        link: Weak<Link>,
        sandbox: u64,
        process: u64,
    },
    Local(LocalSignals),
    Fake(FakeSignals),
}

impl Signals {
    pub(crate) fn new(target: Target) -> Self {
        Self { target }
    }

    /// Sends SIGTERM to the process, and returns at once. A frozen process gets it when it is thawed.
    pub fn terminate(&self) {
        self.deliver(Deliver::Terminate);
    }

    /// Sends SIGKILL to the process and its process group, frozen or not, and returns at once.
    pub fn kill(&self) {
        self.deliver(Deliver::Kill);
    }

    fn deliver(&self, signal: Deliver) {
        match &self.target {
            Target::Linux {
                link,
                sandbox,
                process,
            } => {
                // Without the link the spawner is ending, and everything with it.
                if let Some(link) = link.upgrade() {
                    link.send_soon(&Command::Signal {
                        sandbox: *sandbox,
                        process: *process,
                        signal,
                    });
                }
            }
            Target::Local(signals) => signals.deliver(signal),
            Target::Fake(signals) => signals.deliver(signal),
        }
    }
}
