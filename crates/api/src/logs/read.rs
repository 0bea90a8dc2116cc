use std::sync::Arc;

use bootlace_invoke::logs::{Direction, LogLine, LogPosition, LogQuery, Matches, Which};
use bootlace_types::limits;

use super::check::{Problems, group};
use super::error::LogsError;
use super::pattern::Pattern;
use super::{Answered, Call, Reply, token};
use crate::wire::logs::{Event, Events, Filter, Found, FoundEvent, GetEvents};

/// One stream, from either end; a token leads on in its direction, and the same token again says
/// that there is nothing more for now.
pub(super) async fn get(call: Call) -> Answered {
    let asked: GetEvents = call.members()?;
    let mut problems = Problems::default();
    problems.group_name("logGroupName", asked.log_group_name.as_ref());
    problems.identifier("logGroupIdentifier", asked.log_group_identifier.as_ref());
    problems.required("logStreamName", asked.log_stream_name.as_ref());
    problems.stream_name("logStreamName", asked.log_stream_name.as_ref());
    problems.time("startTime", asked.start_time);
    problems.time("endTime", asked.end_time);
    problems.limit(asked.limit, 10_000);
    problems.finish()?;
    let group = group(
        &call.scope,
        asked.log_group_name,
        asked.log_group_identifier,
    )?;
    let after = asked.next_token.as_deref().map(token::parse_of_stream);
    let after = after.transpose()?;
    let direction = match (after, asked.start_from_head) {
        (Some((direction, _)), _) => direction,
        (None, Some(true)) => Direction::Forward,
        (None, _) => Direction::Backward,
    };
    let after = after.map(|(_, position)| position);
    let from_ms = milliseconds(asked.start_time).unwrap_or(0);
    let page = call
        .logs()
        .read(LogQuery {
            scope: call.scope.clone(),
            group,
            streams: Which::Named(vec![asked.log_stream_name.unwrap_or_default()]),
            from_ms,
            before_ms: milliseconds(asked.end_time).unwrap_or(u64::MAX),
            after,
            direction,
            limit: limit(asked.limit),
            matches: None,
        })
        .await?;
    let start = LogPosition {
        time_ms: from_ms,
        seq: 0,
    };
    let here = after.unwrap_or(start);
    let first = page.events.first().map(|event| event.position);
    let last = page.events.last().map(|event| event.position);
    let (forward, backward) = match direction {
        Direction::Forward => (
            page.next.or(last).unwrap_or(here),
            first.unwrap_or(next_to(here)),
        ),
        Direction::Backward => (last.unwrap_or(here), page.next.or(first).unwrap_or(here)),
    };
    Reply::json(&Events {
        events: page.events.iter().map(event).collect(),
        next_forward_token: token::of_stream(Direction::Forward, forward),
        next_backward_token: token::of_stream(Direction::Backward, backward),
    })
}

/// All streams of a group, or some, in the order of time.
pub(super) async fn filter(call: Call) -> Answered {
    let asked: Filter = call.members()?;
    let mut problems = Problems::default();
    problems.group_name("logGroupName", asked.log_group_name.as_ref());
    problems.identifier("logGroupIdentifier", asked.log_group_identifier.as_ref());
    problems.stream_names("logStreamNames", asked.log_stream_names.as_ref());
    problems.stream_name("logStreamNamePrefix", asked.log_stream_name_prefix.as_ref());
    problems.time("startTime", asked.start_time);
    problems.time("endTime", asked.end_time);
    problems.filter_pattern("filterPattern", asked.filter_pattern.as_ref());
    problems.limit(asked.limit, 10_000);
    problems.finish()?;
    let streams = match (asked.log_stream_names, asked.log_stream_name_prefix) {
        (Some(_), Some(_)) => {
            return Err(LogsError::invalid(
                "logStreamNamePrefix and logStreamNames cannot both be given.",
            ));
        }
        (Some(names), None) => Which::Named(names),
        (None, Some(prefix)) => Which::Prefix(prefix),
        (None, None) => Which::All,
    };
    let group = group(
        &call.scope,
        asked.log_group_name,
        asked.log_group_identifier,
    )?;
    let after = asked.next_token.as_deref().map(token::parse_of_search);
    let after = after.transpose()?;
    let direction = match (after, asked.start_from_head) {
        (Some((direction, _)), _) => direction,
        (None, Some(false)) => Direction::Backward,
        (None, _) => Direction::Forward,
    };
    let end_ms = milliseconds(asked.end_time);
    let page = call
        .logs()
        .read(LogQuery {
            scope: call.scope.clone(),
            group,
            streams,
            from_ms: milliseconds(asked.start_time).unwrap_or(0),
            // The end is of the range here, and is not in GetLogEvents.
            before_ms: end_ms.map_or(u64::MAX, |end_ms| end_ms.saturating_add(1)),
            after: after.map(|(_, position)| position),
            direction,
            limit: limit(asked.limit),
            matches: matches(asked.filter_pattern.as_deref())?,
        })
        .await?;
    let mut events: Vec<_> = page.events.iter().map(found).collect();
    if direction == Direction::Backward {
        events.reverse();
    }
    Reply::json(&Found {
        events,
        searched_log_streams: [],
        next_token: page.next.map(|next| token::of_search(direction, next)),
    })
}

/// A pattern as the log store asks it.
pub(super) fn matches(pattern: Option<&str>) -> Result<Option<Matches>, LogsError> {
    let Some(pattern) = pattern.filter(|pattern| !pattern.trim().is_empty()) else {
        return Ok(None);
    };
    let pattern = Pattern::parse(pattern);
    let pattern = pattern.map_err(|_| LogsError::invalid("Invalid filter pattern"))?;
    Ok(Some(Arc::new(move |message: &[u8]| {
        pattern.matches(message)
    })))
}

/// Just behind a position: reading back from there gives what is at it.
fn next_to(position: LogPosition) -> LogPosition {
    LogPosition {
        seq: position.seq.saturating_add(1),
        ..position
    }
}

fn milliseconds(time: Option<i64>) -> Option<u64> {
    time.and_then(|time| u64::try_from(time).ok())
}

fn limit(limit: Option<i64>) -> usize {
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    limit.unwrap_or(limits::LOG_PAGE_EVENTS)
}

fn event(line: &LogLine) -> Event {
    Event {
        timestamp: line.position.time_ms,
        message: text(line),
        ingestion_time: line.ingested_ms,
    }
}

fn found(line: &LogLine) -> FoundEvent {
    FoundEvent {
        log_stream_name: line.stream.to_string(),
        timestamp: line.position.time_ms,
        message: text(line),
        ingestion_time: line.ingested_ms,
        event_id: token::digits(line.position),
    }
}

/// What is no UTF-8 becomes replacement characters: there is no other text in JSON.
pub(super) fn text(line: &LogLine) -> String {
    String::from_utf8_lossy(&line.message).into_owned()
}
