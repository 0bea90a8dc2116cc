//! The Telemetry API 2022-07-01 and the Logs API 2020-08-15: extensions subscribe to what the
//! platform says and what processes write.
//!
//! Whoever writes a record adds it to a bounded queue for each subscriber, under the log's lock,
//! and is done. A task for each subscriber delivers from there. Read `queue` first, then `delivery`.

use std::sync::Arc;
use std::time::SystemTime;

use bootlace_tasks::TaskKind;
use uuid::Uuid;

use crate::log::LogOrigin;
use crate::platform_event::PlatformEvent;

pub(crate) mod api;
mod delivery;
mod destination;
mod early;
mod gate;
mod queue;
mod room;
mod schema;
mod subscription;

pub(crate) use early::Early;
pub(crate) use gate::Gate;
pub(crate) use queue::Queue;
pub(crate) use room::Room;
pub(crate) use subscription::Subscription;

const DELIVERY: TaskKind = TaskKind::disposable("telemetry delivery");

/// One extension that gets records, as long as this lives.
#[derive(Debug)]
pub(crate) struct Subscriber {
    /// Of the extension.
    id: Uuid,
    schema: schema::Schema,
    types: subscription::Types,
    queue: Arc<Queue>,
    delivery: tokio::task::AbortHandle,
}

impl Subscriber {
    /// Starts the task that delivers.
    pub(crate) fn start(
        id: Uuid,
        subscription: &Subscription,
        connector: bootlace_sandbox::Connector,
        gate: Gate,
        room: Arc<Room>,
    ) -> Self {
        let schema = subscription.schema;
        let queue = Arc::new(Queue::new(schema, subscription.buffering, room));
        let destination = destination::Line::new(connector, subscription.destination.clone());
        let run = delivery::run(Arc::clone(&queue), destination, gate);
        Self {
            id,
            schema,
            types: subscription.types,
            queue,
            delivery: bootlace_tasks::spawn(DELIVERY, run).abort_handle(),
        }
    }

    pub(crate) fn is_of(&self, id: Uuid) -> bool {
        self.id == id
    }

    pub(crate) fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    pub(crate) fn platform(&self, at: SystemTime, event: &PlatformEvent<'_>) {
        if self.types.platform
            && let Some(record) = self.schema.platform(at, event)
        {
            self.queue.push(record);
        }
    }

    /// A line of a process; `structured` is whether it may be JSON.
    pub(crate) fn line(&self, at: SystemTime, origin: LogOrigin, line: &[u8], structured: bool) {
        if self.types.has(origin) {
            self.queue
                .push(self.schema.line(at, origin, line, structured));
        }
    }

    /// What was kept before it subscribed.
    pub(crate) fn catch_up(&self, early: &Early, structured: bool) {
        early.replay(self, structured);
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.delivery.abort();
    }
}

#[cfg(test)]
mod tests;
