//! Housekeeping that nobody waits for.

use std::time::Duration;

use bootlace_store::Store;
use bootlace_tasks::TaskKind;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::telemetry::Metrics;

const JANITOR: TaskKind = TaskKind::disposable("janitor");
const FOLD_METRICS: Duration = Duration::from_secs(5);
const COLLECT_GARBAGE: Duration = Duration::from_secs(60 * 60);
/// Longer than any upload takes to be committed, and than the longest invocation.
const GRACE: Duration = Duration::from_secs(60 * 60);

/// Folds metrics every few seconds and removes code that nothing names every hour, until `stop`.
pub(super) fn start(metrics: Metrics, store: Store, mut stop: watch::Receiver<bool>) {
    bootlace_tasks::spawn(JANITOR, async move {
        let mut fold = tokio::time::interval(FOLD_METRICS);
        let mut collect = tokio::time::interval(COLLECT_GARBAGE);
        collect.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick comes at once; a server that starts has better things to do.
        collect.reset();
        loop {
            tokio::select! {
                _ = fold.tick() => metrics.fold(),
                _ = collect.tick() => collect_garbage(&store).await,
                _ = stop.changed() => return,
            }
        }
    });
}

async fn collect_garbage(store: &Store) {
    let collected = match store.referenced().await {
        Ok(referenced) => store.collect_garbage(&referenced, GRACE).await,
        Err(error) => Err(error),
    };
    match collected {
        Ok(collected) => tracing::debug!(?collected, "unused code is removed"),
        Err(error) => tracing::warn!("cannot remove unused code: {error}"),
    }
}
