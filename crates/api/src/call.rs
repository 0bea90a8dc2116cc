use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use bootlace_control::Rev;
use bootlace_types::{RequestId, Scope, limits};
use hyper::HeaderMap;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;

use crate::body::{Held, Place};
use crate::error::ApiError;
use crate::service::Shared;
use crate::wire::object::Object;

/// One request to one operation, taken apart.
pub(crate) struct Call {
    pub(crate) shared: Arc<Shared>,
    pub(crate) operation: &'static str,
    pub(crate) request_id: RequestId,
    pub(crate) scope: Scope,
    /// `host:port` by which the client calls this server; it has been checked.
    pub(crate) authority: String,
    pub(crate) headers: HeaderMap,
    /// Decoded, by the names in the route table.
    pub(crate) params: Vec<(String, String)>,
    /// Decoded.
    pub(crate) query: Vec<(String, String)>,
    /// Taken by the first who reads it. The mutex is never waited for: it makes the call shareable.
    pub(crate) body: Mutex<Body>,
    /// Of the body that was read: what was read of it, a zip say, is in memory until the answer.
    pub(crate) place: Place,
}

impl Call {
    /// A part of the path.
    pub(crate) fn param(&self, name: &str) -> &str {
        self.params
            .iter()
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value)
    }

    /// A parameter of the query.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
    }

    /// A whole number of the query.
    pub(crate) fn query_number(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let parse = |text: String| {
            text.parse()
                .map_err(|_| ApiError::serialization(format!("{name} is no whole number.")))
        };
        self.query(name).map(parse).transpose()
    }

    /// The JSON document in the body of a request that may carry a zip. An empty body is `{}`.
    pub(crate) async fn document_with_zip<T: DeserializeOwned>(&mut self) -> Result<T, ApiError> {
        self.document(limits::REQUEST_BYTES).await
    }

    /// The JSON document in the body of any other request.
    pub(crate) async fn small_document<T: DeserializeOwned>(&mut self) -> Result<T, ApiError> {
        self.document(limits::SMALL_REQUEST_BYTES).await
    }

    async fn document<T: DeserializeOwned>(&mut self, limit: usize) -> Result<T, ApiError> {
        let held = self.read(limit).await?;
        let text: &[u8] = if held.bytes.is_empty() {
            b"{}"
        } else {
            &held.bytes
        };
        let parsed = serde_json::from_slice::<Object<T>>(text);
        self.place = held.place;
        parsed.map(|object| object.0).map_err(|error| {
            let reason: String = error.to_string().chars().take(256).collect();
            ApiError::serialization(format!("Could not parse request body into json: {reason}"))
        })
    }

    pub(crate) async fn read(&mut self, limit: usize) -> Result<Held, ApiError> {
        let body = self.take_body();
        let held = self.shared.documents.read(&self.headers, body, limit).await;
        held.map_err(|error| error.of_operation(self.operation, limit))
    }

    pub(crate) fn take_body(&mut self) -> Body {
        std::mem::take(self.body.get_mut().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns when invocations see what was written, so that a caller finds what it wrote.
    pub(crate) async fn reached(&self, rev: Rev) {
        self.shared.dispatcher.reached(rev).await;
    }
}

/// Decodes a query string; what is no UTF-8 becomes replacement characters and matches nothing.
pub(crate) fn parse_query(query: Option<&str>) -> Vec<(String, String)> {
    let pairs = query
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty());
    let decode = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
    };
    let split = |pair: &str| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key), decode(value))
    };
    pairs.map(split).collect()
}
