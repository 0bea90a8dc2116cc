//! The only place that reads a clock, so that a test or a lint can find every reader.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A monotonic instant, for measuring and for deadlines.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is the clock module")]
pub fn now() -> Instant {
    Instant::now()
}

/// Wall-clock time, for what people and AWS's interface see.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is the clock module")]
pub fn wall() -> SystemTime {
    SystemTime::now()
}

/// Milliseconds since the epoch.
#[must_use]
pub fn epoch_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
