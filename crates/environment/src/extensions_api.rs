//! The Extensions API, version 2020-01-01, as one sandbox's processes see it.
//!
//! Everything here was written by a guest and is hostile: it is bounded, and at worst refused.

use std::sync::Arc;

use bootlace_types::limits;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::environment::Environment;
use crate::failure::ExtensionFault;
use crate::hands::NextAnswer;
use crate::lifecycle::{Event, ExtensionRefusal, Refusal, Verdict};
use crate::runtime_api::{Answer, JSON, accepted_or, discard, empty, refuse};

pub(crate) const VERSION: &str = "/2020-01-01";
const NAME: HeaderName = HeaderName::from_static("lambda-extension-name");
const IDENTIFIER: HeaderName = HeaderName::from_static("lambda-extension-identifier");
const FEATURES: HeaderName = HeaderName::from_static("lambda-extension-accept-feature");
const ERROR_TYPE: HeaderName = HeaderName::from_static("lambda-extension-function-error-type");
/// The feature that adds the account to the answer.
const ACCOUNT_ID: &str = "accountId";

/// Answers one call; `path` is what follows the version.
pub(crate) async fn serve(
    environment: &Arc<Environment>,
    path: &str,
    request: Request<Incoming>,
) -> Answer {
    let (get, post) = (
        request.method() == Method::GET,
        request.method() == Method::POST,
    );
    match path {
        "/extension/register" if post => register(environment, request).await,
        "/extension/event/next" if get => next(environment, request.headers()).await,
        "/extension/init/error" if post => fails(environment, ExtensionFault::Init, request).await,
        "/extension/exit/error" if post => fails(environment, ExtensionFault::Exit, request).await,
        "/extension/register"
        | "/extension/event/next"
        | "/extension/init/error"
        | "/extension/exit/error" => empty(StatusCode::METHOD_NOT_ALLOWED),
        _ => empty(StatusCode::NOT_FOUND),
    }
}

#[derive(Deserialize)]
struct Registration {
    #[serde(default)]
    events: Option<Vec<Box<str>>>,
    #[serde(default, rename = "configurationKeys")]
    configuration_keys: Option<Vec<serde::de::IgnoredAny>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Registered<'a> {
    function_name: &'a str,
    function_version: &'a str,
    handler: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<String>,
}

async fn register(environment: &Arc<Environment>, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let name = head.headers.get(NAME).map(HeaderValue::as_bytes);
    let name: Box<str> = String::from_utf8_lossy(name.unwrap_or_default()).into();
    let wrong = match name.len() {
        0 => Some("Empty extension name"),
        length if length > limits::EXTENSION_NAME_BYTES => Some("Extension name too long"),
        _ => None,
    };
    if let Some(text) = wrong {
        discard(body).await;
        return forbidden("Extension.InvalidExtensionName", text);
    }
    let events = match registration(body).await {
        Ok(events) => events,
        Err(text) => return forbidden("InvalidRequestFormat", &text),
    };
    let id = Uuid::new_v4();
    let verdict = environment.happen(Event::Register { name, events, id });
    if verdict != Verdict::Registered {
        return accepted_or(verdict);
    }
    let spec = &environment.spec;
    let registered = Registered {
        function_name: &spec.function.name,
        function_version: &spec.version,
        handler: &spec.handler,
        account_id: accepts_account(&head.headers).then(|| spec.function.scope.account.to_string()),
    };
    // Strings always serialize; an empty body is the honest rest.
    let body = serde_json::to_vec(&registered).unwrap_or_default();
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    answer.headers_mut().insert(header::CONTENT_TYPE, JSON);
    if let Ok(id) = HeaderValue::from_maybe_shared(Bytes::from(id.to_string())) {
        answer.headers_mut().insert(IDENTIFIER, id);
    }
    answer
}

/// The events of a registration, or what is wrong with it.
async fn registration(body: Incoming) -> Result<Vec<Box<str>>, String> {
    let body = Limited::new(body, limits::EXTENSION_BODY_BYTES);
    let body = body.collect().await.map_err(|error| error.to_string())?;
    let registration: Registration =
        serde_json::from_slice(&body.to_bytes()).map_err(|error| error.to_string())?;
    if registration
        .configuration_keys
        .is_some_and(|keys| !keys.is_empty())
    {
        let text = "configurationKeys are deprecated; use environment variables instead";
        return Err(text.into());
    }
    Ok(registration.events.unwrap_or_default())
}

fn accepts_account(headers: &HeaderMap) -> bool {
    let features = headers.get(FEATURES).and_then(|value| value.to_str().ok());
    let mut features = features.unwrap_or_default().split(',');
    features.any(|feature| feature.trim() == ACCOUNT_ID)
}

async fn next(environment: &Arc<Environment>, headers: &HeaderMap) -> Answer {
    let id = match identifier(headers) {
        Ok(id) => id,
        Err(refusal) => return *refusal,
    };
    match environment.extension_next(id) {
        NextAnswer::Event(event) => event.into_response(),
        NextAnswer::Parked(event) => match event.await {
            Ok(event) => event.into_response(),
            // The environment ended.
            Err(_) => refuse(Refusal::Unusable),
        },
        NextAnswer::Refused(verdict) => accepted_or(verdict),
    }
}

async fn fails(
    environment: &Arc<Environment>,
    fault: ExtensionFault,
    request: Request<Incoming>,
) -> Answer {
    let (head, body) = request.into_parts();
    // What it says is nobody's matter but its own.
    discard(body).await;
    let id = match identifier(&head.headers) {
        Ok(id) => id,
        Err(refusal) => return *refusal,
    };
    let reported = head.headers.get(ERROR_TYPE).map(HeaderValue::as_bytes);
    let reported = String::from_utf8_lossy(reported.unwrap_or_default());
    if reported.is_empty() {
        let text = "Lambda-Extension-Function-Error-Type not found";
        return forbidden("Extension.MissingHeader", text);
    }
    let graphic = reported.chars().filter(char::is_ascii_graphic);
    let reported: String = graphic.take(limits::ERROR_TYPE_CHARS).collect();
    environment.log.drain();
    accepted_or(environment.happen(Event::ExtensionFails {
        id,
        fault,
        reported: reported.into(),
    }))
}

/// Who calls, or what is wrong with how it says so.
pub(crate) fn identifier(headers: &HeaderMap) -> Result<Uuid, Box<Answer>> {
    let Some(value) = headers.get(IDENTIFIER).filter(|value| !value.is_empty()) else {
        return Err(Box::new(forbidden(
            "Extension.MissingExtensionIdentifier",
            "Missing Lambda-Extension-Identifier header",
        )));
    };
    Uuid::try_parse_ascii(value.as_bytes()).map_err(|_| {
        Box::new(forbidden(
            "Extension.InvalidExtensionIdentifier",
            "Invalid Lambda-Extension-Identifier",
        ))
    })
}

/// AWS's types and texts.
pub(crate) fn refusal(why: &ExtensionRefusal) -> Answer {
    let (error_type, text) = match why {
        ExtensionRefusal::Transition { from, to, who } => (
            "Extension.InvalidExtensionState",
            format!(
                "State transition from {from} to {to} failed for extension {who}. \
                 Error: State transition is not allowed"
            ),
        ),
        ExtensionRefusal::RegistrationClosed => (
            "Extension.RegistrationClosed",
            "Extension registration closed already".into(),
        ),
        ExtensionRefusal::NameTaken => (
            "Extension.InvalidExtensionState",
            "Extension with this name already registered".into(),
        ),
        ExtensionRefusal::TooMany => (
            "Extension.TooManyExtensions",
            format!("Extension limit ({}) reached", limits::EXTENSIONS),
        ),
        ExtensionRefusal::InvalidEventType { event, reason } => {
            ("Extension.InvalidEventType", format!("{event}: {reason}"))
        }
        ExtensionRefusal::Unknown(id) => (
            "Extension.UnknownExtensionIdentifier",
            format!("Unknown extension {id}"),
        ),
        ExtensionRefusal::UnknownIdentifier => (
            "Extension.UnknownExtensionIdentifier",
            "Unknown Lambda-Extension-Identifier".into(),
        ),
    };
    forbidden(error_type, &text)
}

fn forbidden(error_type: &str, text: &str) -> Answer {
    crate::runtime_api::document(StatusCode::FORBIDDEN, error_type, text)
}
