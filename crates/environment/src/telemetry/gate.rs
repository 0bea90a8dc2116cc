//! Time as it passes for a sandbox: not while it is frozen.

use std::time::Duration;

use bootlace_types::clock;
use tokio::sync::watch;

/// Closed while the environment is frozen.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    frozen: watch::Receiver<bool>,
}

impl Gate {
    pub(crate) fn new(frozen: watch::Receiver<bool>) -> Self {
        Self { frozen }
    }

    /// Waits until it is not frozen. Of an environment that is gone it waits for ever.
    pub(crate) async fn open(&mut self) {
        if self.frozen.wait_for(|frozen| !frozen).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits for so long, not counting what it is frozen.
    pub(crate) async fn sleep(&mut self, time: Duration) {
        let mut left = time;
        loop {
            self.open().await;
            let began = clock::now();
            tokio::select! {
                () = tokio::time::sleep(left) => return,
                _ = self.frozen.wait_for(|frozen| *frozen) => {
                    left = left.saturating_sub(clock::now().saturating_duration_since(began));
                }
            }
        }
    }
}
