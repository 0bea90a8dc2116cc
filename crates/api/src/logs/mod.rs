//! The part of CloudWatch Logs that clients use on functions: groups, streams, events, live tail.
//!
//! Requests are `POST /` with the operation in `X-Amz-Target`. This translates and checks; what is
//! kept, and how it is found, is the log store's, which is reached through `invoke`.

mod check;
mod error;
mod groups;
mod live_tail;
mod pattern;
mod read;
mod streams;
mod tags;
mod token;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body as StreamedBody;
use bootlace_invoke::logs::LogStore;
use bootlace_types::{RequestId, Scope, limits};
use bytes::Bytes;
use http::request::Parts;
use hyper::body::Body as HttpBody;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::answer::{self, Body};
use crate::body::Place;
use crate::event_stream::EVENT_STREAM;
use crate::identity;
use crate::service::Shared;
use crate::wire::object::Object;
use error::LogsError;

/// What targets of the service begin with.
const SERVICE: &str = "Logs_20140328.";
const JSON: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.1");

/// One request, taken apart.
struct Call {
    shared: Arc<Shared>,
    request_id: RequestId,
    scope: Scope,
    body: Bytes,
    /// Of the body.
    _place: Place,
}

enum Reply {
    Nothing,
    Json(Vec<u8>),
    Stream(StreamedBody),
}

type Answered = Result<Reply, LogsError>;
type Handler = fn(Call) -> Pin<Box<dyn Future<Output = Answered> + Send>>;

/// An operation that is built.
#[derive(Clone, Copy)]
pub(crate) struct Operation {
    name: &'static str,
    handler: Handler,
}

const fn operation(name: &'static str, handler: Handler) -> Operation {
    Operation { name, handler }
}

#[rustfmt::skip]
static OPERATIONS: &[Operation] = &[
    operation("CreateLogGroup", |call| Box::pin(groups::create(call))),
    operation("DeleteLogGroup", |call| Box::pin(groups::delete(call))),
    operation("DescribeLogGroups", |call| Box::pin(groups::describe(call))),
    operation("PutRetentionPolicy", |call| Box::pin(groups::put_retention(call))),
    operation("DeleteRetentionPolicy", |call| Box::pin(groups::delete_retention(call))),
    operation("CreateLogStream", |call| Box::pin(streams::create(call))),
    operation("DeleteLogStream", |call| Box::pin(streams::delete(call))),
    operation("DescribeLogStreams", |call| Box::pin(streams::describe(call))),
    operation("PutLogEvents", |call| Box::pin(streams::put(call))),
    operation("GetLogEvents", |call| Box::pin(read::get(call))),
    operation("FilterLogEvents", |call| Box::pin(read::filter(call))),
    operation("StartLiveTail", |call| Box::pin(live_tail::start(call))),
    operation("TagResource", |call| Box::pin(tags::tag(call))),
    operation("UntagResource", |call| Box::pin(tags::untag(call))),
    operation("ListTagsForResource", |call| Box::pin(tags::list(call))),
    operation("TagLogGroup", |call| Box::pin(tags::tag_group(call))),
    operation("UntagLogGroup", |call| Box::pin(tags::untag_group(call))),
    operation("ListTagsLogGroup", |call| Box::pin(tags::list_of_group(call))),
];

/// The operation that a target means, if it is built.
pub(crate) fn find(target: &str) -> Option<Operation> {
    let name = target.strip_prefix(SERVICE)?;
    OPERATIONS
        .iter()
        .find(|operation| operation.name == name)
        .copied()
}

pub(crate) async fn answer<B>(
    shared: &Arc<Shared>,
    operation: Operation,
    parts: Parts,
    body: B,
    request_id: RequestId,
) -> Response<Body>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let reply = match read_call(shared, operation, parts, body, request_id).await {
        Ok(call) => (operation.handler)(call).await,
        Err(error) => Err(error),
    };
    let response = match reply {
        Ok(Reply::Nothing) => respond(StatusCode::OK, JSON, Body::empty()),
        Ok(Reply::Json(text)) => respond(StatusCode::OK, JSON, Body::whole(text)),
        Ok(Reply::Stream(body)) => respond(StatusCode::OK, EVENT_STREAM, Body::Streamed(body)),
        Err(error) => {
            tracing::debug!(%request_id, kind = error.kind, "refused");
            refuse(&error)
        }
    };
    answer::with_request_id(response, request_id)
}

async fn read_call<B>(
    shared: &Arc<Shared>,
    operation: Operation,
    parts: Parts,
    body: B,
    request_id: RequestId,
) -> Result<Call, LogsError>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let scope = identity::scope(&parts.headers, &shared.options.default_region);
    let scope = scope.map_err(|error| LogsError::refused(error.message()))?;
    let limit = match operation.name {
        "PutLogEvents" => limits::LOG_REQUEST_BYTES,
        _ => limits::SMALL_REQUEST_BYTES,
    };
    let held = shared.documents.read(&parts.headers, body, limit).await;
    let held = held.map_err(|error| LogsError::of_body(&error, limit))?;
    Ok(Call {
        shared: Arc::clone(shared),
        request_id,
        scope,
        body: held.bytes,
        _place: held.place,
    })
}

fn respond(status: StatusCode, kind: HeaderValue, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn refuse(error: &LogsError) -> Response<Body> {
    let document = crate::wire::logs::Refusal {
        kind: error.kind,
        message: &error.message,
    };
    let text = serde_json::to_vec(&document).unwrap_or_default();
    let mut response = respond(error.status, JSON, Body::whole(text));
    let kind = HeaderValue::from_static(error.kind);
    response.headers_mut().insert(answer::ERROR_TYPE, kind);
    response
}

impl Call {
    fn logs(&self) -> &LogStore {
        self.shared.dispatcher.logs()
    }

    /// The members of the request. An empty body is `{}`.
    fn members<T: DeserializeOwned>(&self) -> Result<T, LogsError> {
        let text: &[u8] = if self.body.is_empty() {
            b"{}"
        } else {
            &self.body
        };
        let parsed = serde_json::from_slice::<Object<T>>(text);
        parsed.map(|object| object.0).map_err(|error| {
            let reason: String = error.to_string().chars().take(256).collect();
            LogsError::serialization(reason)
        })
    }

    /// `arn:aws:logs:<region>:<account>:log-group:<name>`
    fn group_arn(&self, name: &str) -> String {
        let Scope { account, region } = &self.scope;
        format!("arn:aws:logs:{region}:{account}:log-group:{name}")
    }
}

impl Reply {
    fn json(document: &impl Serialize) -> Answered {
        let text = serde_json::to_vec(document);
        text.map(Self::Json)
            .map_err(|error| LogsError::serialization(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_is_documented() {
        let page = include_str!("../../../../docs/COMPATIBILITY.md");
        let (_, section) = page.split_once("\n## CloudWatch Logs\n").unwrap();
        let (section, _) = section.split_once("\n## ").unwrap();
        let rows = section.lines().filter_map(|line| line.strip_prefix("| "));
        let names = rows.filter_map(|row| row.split(' ').next());
        let documented: Vec<_> = names
            .filter(|name| !["operation", "---"].contains(name))
            .collect();
        let built: Vec<_> = OPERATIONS.iter().map(|operation| operation.name).collect();
        assert_eq!(documented, built);
    }

    #[test]
    fn other_services_are_not_taken_for_this_one() {
        assert!(find("Logs_20140328.FilterLogEvents").is_some());
        for target in [
            "Logs_20140328.StartQuery",
            "Other_1.FilterLogEvents",
            "FilterLogEvents",
            "",
        ] {
            assert!(find(target).is_none(), "{target}");
        }
    }
}
