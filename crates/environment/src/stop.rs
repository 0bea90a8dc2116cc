//! How the processes of an environment are stopped, for a reset or for good: AWS's order and times.
//!
//! Without extensions all are killed at once. Else the runtime is asked to end and has a part of
//! the time for it, then the extensions that registered for it hear of the end and have the rest.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bootlace_sandbox::SandboxError;
use bootlace_types::{clock, limits};

use crate::connections::Connections;
use crate::environment::Environment;
use crate::lifecycle::{Event, Order, Stop};
use crate::processes::{Processes, Started, Who};

/// Returns when nothing runs any more and nothing of what ran is heard any more; if the
/// environment ends for good, what still runs is left to the destruction of the sandbox.
pub(crate) async fn stop(
    environment: &Arc<Environment>,
    processes: &mut Processes,
    connections: &Connections,
    how: &Stop,
) -> Result<(), SandboxError> {
    let began = clock::now();
    if !how.budget.is_zero() {
        environment.thaw_to_stop();
        let share = how.budget.mul_f64(limits::SHUTDOWN_RUNTIME_SHARE);
        // Extensions that hear of the end know already what happened before.
        let flush = environment.log.flush_subscribers();
        let flush = tokio::time::timeout(share.min(limits::TELEMETRY_FLUSH), flush);
        let _ = tokio::join!(flush, runtime(processes, began + share));
        extensions(environment, processes, how, began + how.budget).await;
    } else if how.runtime_ends {
        let runtime = processes.started.iter_mut();
        for one in runtime.filter(|one| one.who == Who::Runtime) {
            ends_by(one, began + limits::PARTY_ERROR_GRACE).await;
        }
    }
    let is_reset = matches!(environment.order(), Order::Stop(now) if !now.for_good);
    if is_reset {
        processes.sandbox().kill_all().await?;
        environment.is_awake();
    }
    connections.clear().await;
    environment.log.unsubscribe_all();
    environment.log.drain();
    processes.forget();
    Ok(())
}

/// Asks the runtime to end, and kills it if it does not.
async fn runtime(processes: &mut Processes, deadline: Instant) {
    let runtime = processes.started.iter_mut();
    for one in runtime.filter(|one| one.who == Who::Runtime) {
        if one.exit.now().is_some() {
            continue;
        }
        one.signals.terminate();
        if !ends_by(one, deadline).await {
            one.signals.kill();
        }
    }
}

/// Lets those extensions end that registered for it, and kills the others.
async fn extensions(
    environment: &Arc<Environment>,
    processes: &mut Processes,
    how: &Stop,
    deadline: Instant,
) {
    let wanted = |one: &Started| match &one.who {
        Who::Runtime => false,
        Who::Extension(name) => how.waits_for.contains(name),
    };
    let others = processes.started.iter();
    for one in others.filter(|one| one.who != Who::Runtime && !wanted(one)) {
        one.signals.kill();
    }
    let mut those: Vec<&mut Started> = processes
        .started
        .iter_mut()
        .filter(|one| wanted(one) && one.exit.now().is_none())
        .collect();
    if those.is_empty() {
        return;
    }
    let left = deadline.saturating_duration_since(clock::now());
    let left_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
    environment.happen(Event::Farewell {
        deadline_ms: clock::epoch_ms(clock::wall()).saturating_add(left_ms),
    });
    for one in &mut those {
        if !ends_by(one, deadline).await {
            one.signals.kill();
        }
    }
}

async fn ends_by(one: &mut Started, deadline: Instant) -> bool {
    let left = deadline.saturating_duration_since(clock::now());
    let ended = tokio::time::timeout(left.max(Duration::ZERO), one.exit.wait());
    ended.await.is_ok()
}
