use bootlace_invoke::logs::{StreamInfo, StreamName};
use bootlace_types::{clock, limits};

use super::check::{Problems, group};
use super::error::LogsError;
use super::groups::page;
use super::{Answered, Call, Reply, token};
use crate::wire::logs::{
    DescribeStreams, Put, PutEvents, Rejected, StreamDocument, StreamNames, Streams,
};

/// What AWS counts for an event beside its message, bytes.
const OVERHEAD_BYTES: usize = 26;
/// Events older than this, or newer than that, are not taken. AWS.
const OLDEST_MS: u64 = 14 * 86_400_000;
const NEWEST_MS: u64 = 2 * 3_600_000;
/// From the first to the last event of a batch. AWS.
const SPAN_MS: u64 = 86_400_000;
/// What sequence tokens are for is over; clients still expect one.
const SEQUENCE_TOKEN: &str = "00000000000000000000000000000000000000000000000000000000";

pub(super) async fn create(call: Call) -> Answered {
    let (group, stream) = names(&call)?;
    call.logs()
        .create_stream(name(&call, &group, &stream))
        .await?;
    Ok(Reply::Nothing)
}

pub(super) async fn delete(call: Call) -> Answered {
    let (group, stream) = names(&call)?;
    call.logs()
        .delete_stream(name(&call, &group, &stream))
        .await?;
    Ok(Reply::Nothing)
}

pub(super) async fn describe(call: Call) -> Answered {
    let asked: DescribeStreams = call.members()?;
    let mut problems = Problems::default();
    problems.group_name("logGroupName", asked.log_group_name.as_ref());
    problems.identifier("logGroupIdentifier", asked.log_group_identifier.as_ref());
    problems.stream_name("logStreamNamePrefix", asked.log_stream_name_prefix.as_ref());
    problems.one_of(
        "orderBy",
        asked.order_by.as_ref(),
        &["LogStreamName", "LastEventTime"],
    );
    problems.limit(asked.limit, 50);
    problems.finish()?;
    let by_time = asked.order_by.as_deref() == Some("LastEventTime");
    if by_time && asked.log_stream_name_prefix.is_some() {
        return Err(LogsError::invalid(
            "Cannot order by LastEventTime with a logStreamNamePrefix.",
        ));
    }
    let group = group(
        &call.scope,
        asked.log_group_name,
        asked.log_group_identifier,
    )?;
    let after = asked.next_token.as_deref().map(token::parse_of_list);
    let after = after.transpose()?;
    let after = after.as_ref().map(|(last, name)| (*last, name.as_str()));
    let limit = page(asked.limit);
    let descending = asked.descending.unwrap_or_default();
    let prefix = asked.log_stream_name_prefix.unwrap_or_default();
    let logs = call.logs();
    logs.flush().await;
    let named = name(&call, &group, &prefix);
    let mut streams = match by_time {
        true => logs.streams_by_time(named, after, descending, limit + 1)?,
        false => {
            let after = after.map(|(_, name)| name);
            logs.streams_by_name(named, after, descending, limit + 1)?
        }
    };
    let more = streams.len() > limit;
    streams.truncate(limit);
    let last = streams.last().filter(|_| more);
    Reply::json(&Streams {
        next_token: last.map(|stream| token::of_list(stream.last_ms.unwrap_or(0), &stream.name)),
        log_streams: streams
            .iter()
            .map(|stream| document(&call, &group, stream))
            .collect(),
    })
}

/// Those that are too old or too new are told, the others taken.
pub(super) async fn put(call: Call) -> Answered {
    let asked: PutEvents = call.members()?;
    let mut problems = Problems::default();
    problems.required("logGroupName", asked.log_group_name.as_ref());
    problems.group_name("logGroupName", asked.log_group_name.as_ref());
    problems.required("logStreamName", asked.log_stream_name.as_ref());
    problems.stream_name("logStreamName", asked.log_stream_name.as_ref());
    let events = problems.required("logEvents", asked.log_events.as_ref());
    let events = events.map(Vec::as_slice).unwrap_or_default();
    if asked.log_events.is_some() {
        problems.count("logEvents", events.len(), 1, limits::LOG_PAGE_EVENTS);
    }
    for event in events.iter().take(limits::LOG_PAGE_EVENTS) {
        problems.time("logEvents.timestamp", event.timestamp);
        if event.timestamp.is_none() || event.message.as_deref().is_none_or(str::is_empty) {
            problems.required::<()>("logEvents.member", None);
            break;
        }
    }
    problems.finish()?;
    let group = asked.log_group_name.unwrap_or_default();
    let stream = asked.log_stream_name.unwrap_or_default();
    let events: Vec<(u64, String)> = asked
        .log_events
        .unwrap_or_default()
        .into_iter()
        .map(|event| {
            let time_ms = event.timestamp.and_then(|time| u64::try_from(time).ok());
            (time_ms.unwrap_or(0), event.message.unwrap_or_default())
        })
        .collect();
    let retention = call.logs().group(&call.scope, &group)?.retention_days;
    let (taken, rejected) = sort_out(events, retention, clock::epoch_ms(clock::wall()))?;
    call.logs()
        .put(name(&call, &group, &stream), &taken)
        .await?;
    Reply::json(&Put {
        next_sequence_token: SEQUENCE_TOKEN,
        rejected_log_events_info: rejected,
    })
}

type Events = Vec<(u64, String)>;

fn sort_out(
    mut events: Events,
    retention_days: Option<u32>,
    now_ms: u64,
) -> Result<(Events, Option<Rejected>), LogsError> {
    let bytes: usize = events
        .iter()
        .map(|(_, message)| message.len() + OVERHEAD_BYTES)
        .sum();
    if bytes > limits::LOG_EVENT_BYTES {
        return Err(LogsError::invalid(format!(
            "Upload too large: {bytes} bytes exceeds limit of {}",
            limits::LOG_EVENT_BYTES
        )));
    }
    if !events.is_sorted_by_key(|(time_ms, _)| *time_ms) {
        return Err(LogsError::invalid(
            "Log events in a single PutLogEvents request must be in chronological order.",
        ));
    }
    // They are in the order of time, so each kind is at one end.
    let before = |limit_ms: u64| events.partition_point(|(time_ms, _)| *time_ms < limit_ms);
    let too_old = before(now_ms.saturating_sub(OLDEST_MS));
    let kept_ms = retention_days.map_or(u64::MAX, |days| u64::from(days) * 86_400_000);
    let expired = before(now_ms.saturating_sub(kept_ms));
    let too_new = before(now_ms.saturating_add(NEWEST_MS).saturating_add(1));
    let all = events.len();
    let rejected = Rejected {
        too_new_log_event_start_index: (too_new < all).then_some(too_new),
        too_old_log_event_end_index: (too_old > 0).then_some(too_old),
        expired_log_event_end_index: (expired > too_old).then_some(expired),
    };
    events.truncate(too_new);
    events.drain(..too_old.max(expired).min(events.len()));
    if let (Some((first, _)), Some((last, _))) = (events.first(), events.last())
        && last - first > SPAN_MS
    {
        return Err(LogsError::invalid(
            "The batch of log events in a single PutLogEvents request cannot span more than 24 \
             hours.",
        ));
    }
    let any = rejected != Rejected::default();
    Ok((events, any.then_some(rejected)))
}

fn document(call: &Call, group: &str, stream: &StreamInfo) -> StreamDocument {
    StreamDocument {
        log_stream_name: stream.name.to_string(),
        creation_time: stream.created_ms,
        first_event_timestamp: stream.first_ms,
        last_event_timestamp: stream.last_ms,
        last_ingestion_time: stream.ingested_ms,
        upload_sequence_token: SEQUENCE_TOKEN,
        arn: format!("{}:log-stream:{}", call.group_arn(group), stream.name),
        // AWS has reported nothing else since 2019.
        stored_bytes: 0,
    }
}

/// Of a request that has only these.
fn names(call: &Call) -> Result<(String, String), LogsError> {
    let asked: StreamNames = call.members()?;
    let mut problems = Problems::default();
    problems.required("logGroupName", asked.log_group_name.as_ref());
    problems.group_name("logGroupName", asked.log_group_name.as_ref());
    problems.required("logStreamName", asked.log_stream_name.as_ref());
    problems.stream_name("logStreamName", asked.log_stream_name.as_ref());
    problems.finish()?;
    Ok((
        asked.log_group_name.unwrap_or_default(),
        asked.log_stream_name.unwrap_or_default(),
    ))
}

fn name<'a>(call: &'a Call, group: &'a str, stream: &'a str) -> StreamName<'a> {
    StreamName {
        scope: &call.scope,
        group,
        stream,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_800_000_000_000;

    fn at(times: &[u64]) -> Events {
        times
            .iter()
            .map(|time_ms| (*time_ms, "x".to_owned()))
            .collect()
    }

    #[test]
    fn events_too_old_or_too_new_are_told() {
        let day = 86_400_000;
        let times = [
            NOW_MS - 15 * day,
            NOW_MS - 10 * day,
            NOW_MS,
            NOW_MS + 3 * 3_600_000,
        ];
        let (taken, rejected) = sort_out(at(&times), Some(7), NOW_MS).unwrap();
        assert_eq!(taken, at(&[NOW_MS]));
        let rejected = rejected.unwrap();
        assert_eq!(rejected.too_old_log_event_end_index, Some(1));
        assert_eq!(rejected.expired_log_event_end_index, Some(2));
        assert_eq!(rejected.too_new_log_event_start_index, Some(3));
        let (taken, rejected) = sort_out(at(&[NOW_MS - day, NOW_MS]), None, NOW_MS).unwrap();
        assert_eq!((taken.len(), rejected), (2, None));
        let (taken, _) = sort_out(at(&[1, NOW_MS + day]), None, NOW_MS).unwrap();
        assert_eq!(taken, []);
    }

    #[test]
    fn batches_have_an_order_a_span_and_a_size() {
        let text = |events| sort_out(events, None, NOW_MS).unwrap_err().message;
        assert!(text(at(&[NOW_MS, NOW_MS - 1])).contains("chronological"));
        assert!(text(at(&[NOW_MS - 86_400_001, NOW_MS])).contains("24 hours"));
        let large = vec![(NOW_MS, "x".repeat(limits::LOG_EVENT_BYTES))];
        assert_eq!(
            text(large),
            "Upload too large: 1048602 bytes exceeds limit of 1048576"
        );
    }
}
