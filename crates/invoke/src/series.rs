//! What each function did in the last hours: counts and durations by the minute, in memory.
//!
//! A [`Recorder`] belongs to a function for as long as it exists, whatever changes of it. On the
//! warm path it takes a short lock of its own and allocates nothing: its ring is made when the
//! function is first invoked. [`Rings`] bounds how many there are; when all are taken, the function
//! that has been silent longest gives up its own.

mod histogram;
mod ring;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use bootlace_types::{clock, limits};

use ring::{Bucket, Ring};

/// Length of a bucket.
pub const BUCKET_MS: u64 = limits::METRICS_BUCKET_MS;

/// The recorders that have a ring.
#[derive(Debug)]
pub(crate) struct Rings {
    limit: usize,
    taken: Mutex<Vec<Weak<Recorder>>>,
}

/// What one function did.
#[derive(Debug)]
pub(crate) struct Recorder {
    me: Weak<Self>,
    rings: Arc<Rings>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Invocations that run now.
    running: u32,
    /// Number of the bucket since when everything is known, while there is no ring.
    since: u64,
    ring: Option<Ring>,
}

/// A time to look at, milliseconds since the epoch; the end does not belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricsQuery {
    pub from_ms: u64,
    pub to_ms: u64,
    /// Length of a point: a multiple of [`BUCKET_MS`], not zero.
    pub step_ms: u64,
}

/// What is known of the time that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricsSeries {
    /// Nothing is known of what was before.
    pub kept_from_ms: u64,
    /// Where the first point begins and the last one ends, in whole steps.
    pub from_ms: u64,
    pub to_ms: u64,
    pub points: Vec<MetricsPoint>,
}

/// What a function did within one step.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricsPoint {
    pub at_ms: u64,
    pub invocations: u64,
    pub errors: u64,
    pub throttles: u64,
    pub cold_starts: u64,
    pub concurrency_max: u32,
    pub durations: Option<Durations>,
}

/// Of the invocations that an environment took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Durations {
    pub count: u64,
    pub sum: Duration,
    pub min: Duration,
    pub max: Duration,
    pub p50: Duration,
    pub p90: Duration,
    pub p99: Duration,
}

impl Rings {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            taken: Mutex::default(),
        })
    }

    /// Gives the recorder a ring, unless all are in use by functions that are not silent.
    ///
    /// The lock order is this list, then one recorder.
    fn give(&self, recorder: &Recorder, now: u64) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if recorder.lock().ring.is_some() {
            return;
        }
        if taken.len() >= self.limit {
            taken.retain(|recorder| recorder.strong_count() > 0);
        }
        if taken.len() >= self.limit {
            let silent = taken.iter().enumerate().filter_map(|(index, recorder)| {
                Some((recorder.upgrade()?.silent_since(now)?, index))
            });
            let Some((_, index)) = silent.min() else {
                // What happens until the next bucket is not kept.
                recorder.lock().since = now + 1;
                return;
            };
            if let Some(loser) = taken.swap_remove(index).upgrade() {
                loser.give_up(now);
            }
        }
        taken.push(recorder.me.clone());
        let mut inner = recorder.lock();
        inner.ring = Some(Ring::new(now, inner.since));
    }
}

impl Recorder {
    pub(crate) fn new(rings: &Arc<Rings>) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            rings: Arc::clone(rings),
            inner: Mutex::new(Inner {
                running: 0,
                since: bucket_of(clock::wall()),
                ring: None,
            }),
        })
    }

    /// An invocation was admitted; it is running until the guard is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> Present {
        self.write(|bucket, running| {
            *running += 1;
            bucket.concurrency_max = bucket.concurrency_max.max(*running);
        });
        Present(Some(Arc::clone(self)))
    }

    /// An invocation was refused because a concurrency limit was reached.
    pub(crate) fn throttle(&self) {
        self.write(|bucket, _| bucket.throttles += 1);
    }

    /// An environment of the function was initialized.
    pub(crate) fn cold_start(&self) {
        self.write(|bucket, _| bucket.cold_starts += 1);
    }

    /// What is known of a time.
    pub(crate) fn read(&self, query: MetricsQuery) -> MetricsSeries {
        self.read_at(query, bucket_of(clock::wall()))
    }

    fn read_at(&self, query: MetricsQuery, now: u64) -> MetricsSeries {
        let step = (query.step_ms / BUCKET_MS).max(1);
        let mut inner = self.lock();
        let Inner {
            running,
            since,
            ring,
        } = &mut *inner;
        let kept_from = match ring {
            Some(ring) => {
                ring.at(now, *running);
                ring.kept_from()
            }
            None => (*since).max(now.saturating_sub(limits::METRICS_BUCKETS as u64 - 1)),
        };
        let whole_steps = |bucket: u64| bucket / step * step;
        let from = whole_steps((query.from_ms / BUCKET_MS).max(kept_from));
        let to = query.to_ms.div_ceil(BUCKET_MS).min(now + 1);
        let to = to.div_ceil(step) * step;
        let starts = (from..to.max(from)).step_by(usize::try_from(step).unwrap_or(usize::MAX));
        let points = starts.map(|start| {
            let sum = ring.as_ref().map(|ring| ring.sum(start, start + step));
            point(start, &sum.unwrap_or(Bucket::EMPTY))
        });
        MetricsSeries {
            kept_from_ms: kept_from * BUCKET_MS,
            from_ms: from * BUCKET_MS,
            to_ms: to.max(from) * BUCKET_MS,
            points: points.collect(),
        }
    }

    fn write(&self, change: impl FnOnce(&mut Bucket, &mut u32)) {
        self.write_at(bucket_of(clock::wall()), change);
    }

    fn write_at(&self, now: u64, change: impl FnOnce(&mut Bucket, &mut u32)) {
        let mut inner = self.lock();
        // Where all rings were in use, it is tried again in the next bucket's time.
        if inner.ring.is_none() && inner.since != now + 1 {
            drop(inner);
            self.rings.give(self, now);
            inner = self.lock();
        }
        let Inner { running, ring, .. } = &mut *inner;
        match ring {
            Some(ring) => change(ring.at(now, *running), running),
            None => {
                let mut nowhere = Bucket::EMPTY;
                change(&mut nowhere, running);
            }
        }
    }

    /// Since when nothing happened, if nothing happened in this bucket's time.
    fn silent_since(&self, now: u64) -> Option<u64> {
        let inner = self.lock();
        let head = inner.ring.as_ref()?.head();
        (head < now && inner.running == 0).then_some(head)
    }

    fn give_up(&self, now: u64) {
        let mut inner = self.lock();
        inner.ring = None;
        inner.since = now;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running invocation, as its function's recorder sees it.
#[derive(Debug)]
pub(crate) struct Present(Option<Arc<Recorder>>);

impl Present {
    /// The invocation ran; `took` from the event's delivery to the answer.
    pub(crate) fn ended(mut self, failed: bool, took: Option<Duration>) {
        let Some(recorder) = self.0.take() else {
            return;
        };
        recorder.write(|bucket, running| {
            *running = running.saturating_sub(1);
            bucket.invocations += 1;
            bucket.errors += u64::from(failed);
            if let Some(took) = took {
                bucket.add_duration(took);
            }
        });
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        if let Some(recorder) = &self.0 {
            recorder.write(|_, running| *running = running.saturating_sub(1));
        }
    }
}

fn bucket_of(time: SystemTime) -> u64 {
    clock::epoch_ms(time) / BUCKET_MS
}

fn point(start: u64, bucket: &Bucket) -> MetricsPoint {
    let count = bucket.durations.count();
    let (min, max) = (bucket.min_us.min(bucket.max_us), bucket.max_us);
    let (min, max) = (Duration::from_micros(min), Duration::from_micros(max));
    let percentile = |percent| bucket.durations.percentile(percent).clamp(min, max);
    MetricsPoint {
        at_ms: start * BUCKET_MS,
        invocations: bucket.invocations,
        errors: bucket.errors,
        throttles: bucket.throttles,
        cold_starts: bucket.cold_starts,
        concurrency_max: bucket.concurrency_max,
        durations: (count > 0).then(|| Durations {
            count,
            sum: Duration::from_micros(bucket.sum_us),
            min,
            max,
            p50: percentile(50),
            p90: percentile(90),
            p99: percentile(99),
        }),
    }
}

#[cfg(test)]
mod tests;
