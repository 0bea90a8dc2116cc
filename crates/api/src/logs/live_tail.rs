//! StartLiveTail: what is logged from now on, told once a second until the client goes.

use std::io;
use std::pin::pin;
use std::time::Instant;

use axum::body::Body as StreamedBody;
use bootlace_invoke::logs::{LogError, LogLine, LogStore, TailQuery, Which};
use bootlace_types::{RequestId, clock, limits};
use bytes::Bytes;
use futures_util::Stream;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Interval, MissedTickBehavior};

use super::check::{Problems, of_identifier};
use super::error::LogsError;
use super::read::{matches, text};
use super::{Answered, Call, Reply};
use crate::event_stream;
use crate::wire::logs::{
    Refusal, SessionMetadata, SessionStart, SessionUpdate, StartLiveTail, TailEvent,
};

const JSON: &str = "application/json";
const GROUPS: usize = 10;

pub(super) async fn start(call: Call) -> Answered {
    let asked: StartLiveTail = call.members()?;
    check(&asked)?;
    let identifiers = asked.log_group_identifiers.clone().unwrap_or_default();
    let which = which(&asked);
    let mut groups = Vec::new();
    for identifier in &identifiers {
        let name = of_identifier(&call.scope, identifier)?;
        call.logs().group(&call.scope, &name)?;
        groups.extend(which.iter().map(|which| (name.clone(), which.clone())));
    }
    let permit = std::sync::Arc::clone(&call.shared.live_tails).try_acquire_owned();
    let permit = permit.map_err(|_| LogsError::limit("Too many live tail sessions."))?;
    let matches = matches(asked.log_event_filter_pattern.as_deref())?;
    let written = call.logs().written();
    let after_seq = *written.borrow();
    let mut update = tokio::time::interval(limits::LIVE_TAIL_UPDATE);
    update.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick comes at once, and there is nothing to tell yet.
    update.reset();
    let tail = Tail {
        logs: call.logs().clone(),
        query: TailQuery {
            scope: call.scope.clone(),
            groups,
            after_seq,
            limit: limits::LIVE_TAIL_EVENTS,
            matches,
        },
        arn_prefix: call.group_arn(""),
        written,
        update,
        end: clock::now().checked_add(limits::LIVE_TAIL),
        stopping: call.shared.stopping.clone(),
        _permit: permit,
    };
    let first = session_start(&call, asked, identifiers)
        .map_err(|error| LogsError::serialization(error.to_string()))?;
    Ok(Reply::Stream(StreamedBody::from_stream(
        tail.into_stream(first),
    )))
}

fn check(asked: &StartLiveTail) -> Result<(), LogsError> {
    let mut problems = Problems::default();
    let at = "logGroupIdentifiers";
    if let Some(identifiers) = problems.required(at, asked.log_group_identifiers.as_ref()) {
        problems.count(at, identifiers.len(), 1, GROUPS);
        for identifier in identifiers.iter().take(GROUPS) {
            problems.identifier(at, Some(identifier));
        }
    }
    let (names, prefixes) = (&asked.log_stream_names, &asked.log_stream_name_prefixes);
    problems.stream_names("logStreamNames", names.as_ref());
    problems.stream_names("logStreamNamePrefixes", prefixes.as_ref());
    let pattern = asked.log_event_filter_pattern.as_ref();
    problems.filter_pattern("logEventFilterPattern", pattern);
    problems.finish()?;
    if names.is_some() && prefixes.is_some() {
        return Err(LogsError::invalid(
            "Only one of logStreamNames or logStreamNamePrefixes can be provided.",
        ));
    }
    let one = asked
        .log_group_identifiers
        .as_ref()
        .is_some_and(|all| all.len() == 1);
    if (names.is_some() || prefixes.is_some()) && !one {
        return Err(LogsError::invalid(
            "logStreamNames and logStreamNamePrefixes can only be used with a single log group.",
        ));
    }
    Ok(())
}

fn which(asked: &StartLiveTail) -> Vec<Which> {
    match (&asked.log_stream_names, &asked.log_stream_name_prefixes) {
        (Some(names), _) => {
            // One by one: those that are not there yet may come.
            let one = |name: &String| Which::Named(vec![name.clone()]);
            names.iter().map(one).collect()
        }
        (None, Some(prefixes)) => prefixes.iter().cloned().map(Which::Prefix).collect(),
        (None, None) => vec![Which::All],
    }
}

/// The frames that a session begins with; clients of this protocol wait for both.
fn session_start(
    call: &Call,
    asked: StartLiveTail,
    log_group_identifiers: Vec<String>,
) -> io::Result<Bytes> {
    let mut frames = event_stream::event("initial-response", JSON, "{}".into())?.to_vec();
    let start = SessionStart {
        request_id: call.request_id.to_string(),
        session_id: RequestId::random().to_string(),
        log_group_identifiers,
        log_stream_names: asked.log_stream_names,
        log_stream_name_prefixes: asked.log_stream_name_prefixes,
        log_event_filter_pattern: asked.log_event_filter_pattern,
    };
    frames.extend_from_slice(&event("sessionStart", &start)?);
    Ok(frames.into())
}

/// One session.
struct Tail {
    logs: LogStore,
    query: TailQuery,
    arn_prefix: String,
    written: watch::Receiver<u64>,
    update: Interval,
    end: Option<Instant>,
    stopping: watch::Receiver<bool>,
    _permit: OwnedSemaphorePermit,
}

impl Tail {
    fn into_stream(self, first: Bytes) -> impl Stream<Item = io::Result<Bytes>> {
        let state = (Some(self), Some(first));
        futures_util::stream::unfold(state, |(tail, first)| async move {
            let mut tail = tail?;
            if let Some(first) = first {
                return Some((Ok(first), (Some(tail), None)));
            }
            match tail.next().await {
                Ok(Some(update)) => Some((Ok(update), (Some(tail), None))),
                Ok(None) => None,
                Err(last) => Some((last, (None, None))),
            }
        })
    }

    /// The next update, or the last frame there is.
    async fn next(&mut self) -> Result<Option<Bytes>, io::Result<Bytes>> {
        {
            let mut stopping = self.stopping.clone();
            let stopped = pin!(stopping.wait_for(|stop| *stop));
            tokio::select! {
                _ = self.update.tick() => {}
                _ = stopped => return Ok(None),
            }
        }
        if self.end.is_some_and(|end| clock::now() >= end) {
            let message = "The session has reached its longest duration.";
            return Err(exception("SessionTimeoutException", message));
        }
        let latest = *self.written.borrow_and_update();
        let mut lines = Vec::new();
        if latest > self.query.after_seq {
            let read = self.logs.tail(self.query.clone()).await;
            let (found, next) = read.map_err(|error| failed(&error))?;
            lines = found;
            self.query.after_seq = next;
        }
        // Whoever logs faster than this is told of in samples.
        let sampled = self.query.after_seq < latest;
        self.query.after_seq = self.query.after_seq.max(latest);
        let update = SessionUpdate {
            session_metadata: SessionMetadata { sampled },
            session_results: lines.iter().map(|line| self.tell(line)).collect(),
        };
        event("sessionUpdate", &update).map(Some).map_err(Err)
    }

    fn tell(&self, line: &LogLine) -> TailEvent {
        TailEvent {
            log_group_identifier: format!("{}{}", self.arn_prefix, line.group),
            log_stream_name: line.stream.to_string(),
            timestamp: line.position.time_ms,
            message: text(line),
            ingestion_time: line.ingested_ms,
        }
    }
}

fn event(kind: &'static str, document: &impl Serialize) -> io::Result<Bytes> {
    let text = serde_json::to_vec(document)?;
    event_stream::event(kind, JSON, text.into())
}

fn exception(kind: &'static str, message: &str) -> io::Result<Bytes> {
    let text = serde_json::to_vec(&Refusal { kind, message })?;
    event_stream::exception(kind, JSON, text.into())
}

fn failed(error: &LogError) -> io::Result<Bytes> {
    exception("SessionStreamingException", &error.to_string())
}
