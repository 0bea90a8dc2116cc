//! The task of one subscriber: it waits until a delivery is due, sends it, tries again, gives up.
//!
//! Nothing of this happens while the environment is frozen: neither does time pass, nor is
//! anything sent.

use std::convert::Infallible;
use std::sync::Arc;

use bootlace_types::limits;

use super::destination::{Failed, Line};
use super::gate::Gate;
use super::queue::{Loss, Queue};

/// Delivers for ever.
pub(super) async fn run(queue: Arc<Queue>, mut line: Line, mut gate: Gate) -> Infallible {
    let timeout = queue.buffering().timeout;
    loop {
        queue.filled().await;
        tokio::select! {
            () = queue.due() => {}
            () = gate.sleep(timeout) => {}
        }
        gate.open().await;
        let records = queue.take();
        let mut loss = Loss::default();
        for record in &records {
            loss.add(1, record.len());
        }
        let delivered = deliver(&mut line, &mut gate, records).await;
        queue.done(delivered.err().map(|Failed| loss));
    }
}

async fn deliver(line: &mut Line, gate: &mut Gate, records: Vec<String>) -> Result<(), Failed> {
    let body = line.body(records);
    let mut backoff = limits::TELEMETRY_BACKOFF;
    for attempt in 0..limits::TELEMETRY_ATTEMPTS {
        if attempt > 0 {
            gate.sleep(backoff).await;
            backoff *= 2;
        }
        gate.open().await;
        let sent = tokio::select! {
            sent = line.send(&body) => sent,
            () = gate.sleep(limits::TELEMETRY_ATTEMPT) => Err(Failed),
        };
        if sent.is_ok() {
            return Ok(());
        }
        // Whatever state it is in: the next attempt makes a new one.
        line.disconnect();
    }
    Err(Failed)
}
