//! The transitions Pending → Active and InProgress → Successful: a commit of their own, right after
//! the operation that began them.

use std::future::Future;
use std::sync::Arc;

use bootlace_store::record::{FUNCTIONS, FunctionRecord, LastUpdate, State};
use bootlace_store::{Expect, Key};
use bootlace_tasks::TaskKind;
use bootlace_types::RevisionId;

use crate::plane::{ATTEMPTS, decode};
use crate::usage::for_each;
use crate::{ControlError, ControlPlane};

/// A write goes on to its end although its caller hangs up.
const WRITE: TaskKind = TaskKind::disposable("control write").finished();
/// A lost one is repeated by `recover`.
const TRANSITION: TaskKind = TaskKind::disposable("function transition");

/// Runs a write as a task of its own: a commit and what has to follow it are not torn apart by a
/// client that hangs up.
pub(crate) async fn to_the_end<T: Send + 'static>(
    write: impl Future<Output = Result<T, ControlError>> + Send + 'static,
) -> Result<T, ControlError> {
    match bootlace_tasks::spawn(WRITE, write).await {
        Ok(Some(result)) => result,
        Ok(None) | Err(_) => Err(ControlError::Internal("the write did not end".into())),
    }
}

/// Finishes a function's transition in the background.
pub(super) fn later(plane: &Arc<ControlPlane>, key: Key) {
    let plane = Arc::clone(plane);
    bootlace_tasks::spawn(TRANSITION, async move {
        if let Err(error) = settle(&plane, &key).await {
            tracing::warn!(%key, %error, "a function's transition waits for the next start");
        }
    });
}

/// Finishes what a crash left open.
pub(crate) async fn settle_all(plane: &Arc<ControlPlane>) -> Result<(), ControlError> {
    let mut open = Vec::new();
    for_each(&plane.store, FUNCTIONS, |entry| {
        let mut record: FunctionRecord = decode(entry)?;
        if finish(&mut record) {
            open.push(entry.key.clone());
        }
        Ok(())
    })
    .await?;
    for key in open {
        settle(plane, &key).await?;
    }
    Ok(())
}

async fn settle(plane: &ControlPlane, key: &Key) -> Result<(), ControlError> {
    for _ in 0..ATTEMPTS {
        let Some((mut record, rev)) = plane.read::<FunctionRecord>(key).await? else {
            return Ok(());
        };
        if !finish(&mut record) {
            return Ok(());
        }
        if plane.put(key, Expect::Rev(rev), &record).await?.is_some() {
            return Ok(());
        }
    }
    Err(ControlError::TooManyWriters)
}

/// Moves the states on; false when there is nothing to move.
fn finish(record: &mut FunctionRecord) -> bool {
    let latest = &mut record.latest;
    let pending = latest.state == State::Pending;
    let updating = latest.last_update == Some(LastUpdate::InProgress);
    if !pending && !updating {
        return false;
    }
    latest.state = State::Active;
    latest.last_update = Some(LastUpdate::Successful);
    latest.revision_id = RevisionId::random();
    true
}
