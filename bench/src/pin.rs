//! Keeps this thread, and the processes it starts from then on, on one processor.
//!
//! On several processors a median jumps with where the scheduler puts the three parties.

use anyhow::Context;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Undoes itself when dropped; processes started meanwhile stay pinned.
#[derive(Debug)]
pub(crate) struct Pinned {
    before: CpuSet,
}

pub(crate) fn to_one_processor() -> anyhow::Result<Pinned> {
    let before = sched_getaffinity(None).context("cannot read the processors of this thread")?;
    // The last one: the first takes most interrupts.
    let last = (0..CpuSet::MAX_CPU)
        .rev()
        .find(|cpu| before.is_set(*cpu))
        .context("no processor")?;
    let mut one = CpuSet::new();
    one.set(last);
    sched_setaffinity(None, &one).context("cannot pin this thread")?;
    Ok(Pinned { before })
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = sched_setaffinity(None, &self.before);
    }
}
