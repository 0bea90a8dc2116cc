//! The JSON of clients: shapes as AWS's model has them, converted by hand at this edge. Members
//! that are not known are passed over, as AWS does; `null` is "not given".

pub(crate) mod account;
pub(crate) mod admin;
pub(crate) mod blob;
pub(crate) mod code;
pub(crate) mod function;
pub(crate) mod function_metrics;
pub(crate) mod layer;
pub(crate) mod logs;
pub(crate) mod object;
pub(crate) mod settings;
pub(crate) mod stream;

use chrono::{DateTime, Utc};

/// `2026-11-17T10:20:30.123+0000`
fn date(epoch_ms: u64) -> String {
    let time = i64::try_from(epoch_ms)
        .ok()
        .and_then(DateTime::<Utc>::from_timestamp_millis);
    time.unwrap_or_default()
        .format("%Y-%m-%dT%H:%M:%S%.3f+0000")
        .to_string()
}

#[cfg(test)]
mod tests {
    #[test]
    fn dates_are_written_as_aws_writes_them() {
        assert_eq!(
            super::date(1_763_374_830_123),
            "2025-11-17T10:20:30.123+0000"
        );
        assert_eq!(super::date(0), "1970-01-01T00:00:00.000+0000");
    }
}
