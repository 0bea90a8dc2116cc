//! Requests to other AWS services: with one endpoint for all, clients send them here too. They are
//! refused by name, in the shape that the service's clients read.

use bootlace_types::RequestId;
use bytes::Bytes;
use http::request::Parts;
use hyper::body::{Body as HttpBody, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};

use crate::answer::{self, Body};
use crate::call::parse_query;
use crate::error::ApiError;
use crate::identity;
use crate::logs;
use crate::service::Shared;
use crate::wire::logs::Refusal;

/// How a service's clients write requests and read errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Elsewhere {
    /// JSON, with the operation in `X-Amz-Target`.
    Json { target: String },
    /// A form with an `Action`; errors are XML. The service is known when the request is signed.
    Form { service: Option<String> },
    /// Anything else that is signed for another service.
    Other { service: String },
}

/// Size of a form, bytes; only its action is looked at.
const FORM_BYTES: usize = 256 * 1024;

/// The service that a request is for, unless it is Lambda or ours.
pub(crate) fn service_of(request: &Request<Incoming>) -> Option<Elsewhere> {
    classify(request.method(), request.uri().path(), request.headers())
}

fn classify(method: &Method, path: &str, headers: &HeaderMap) -> Option<Elsewhere> {
    if path.starts_with("/bootlace/") {
        return None;
    }
    if let Some(target) = headers.get("x-amz-target") {
        return Some(Elsewhere::Json {
            target: plain(target.to_str().unwrap_or_default()),
        });
    }
    let service = identity::credential(headers).map(|credential| plain(credential.service));
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default();
    if path == "/"
        && method == Method::POST
        && kind.starts_with("application/x-www-form-urlencoded")
    {
        return Some(Elsewhere::Form { service });
    }
    service
        .filter(|service| service != "lambda")
        .map(|service| Elsewhere::Other { service })
}

impl Elsewhere {
    /// What is here after all: the operations of CloudWatch Logs that are built.
    pub(crate) fn logs_operation(&self, parts: &Parts) -> Option<logs::Operation> {
        match self {
            Self::Json { target } if parts.method == Method::POST && parts.uri.path() == "/" => {
                logs::find(target)
            }
            _ => None,
        }
    }
}

/// Names of services and operations are words; what else a caller sends is not repeated.
fn plain(text: &str) -> String {
    let word = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    text.chars().filter(word).take(128).collect()
}

pub(crate) async fn refuse<B>(
    shared: &Shared,
    elsewhere: Elsewhere,
    parts: Parts,
    body: B,
    request_id: RequestId,
) -> Response<Body>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    match elsewhere {
        Elsewhere::Json { target } => {
            let (service, operation) = target.rsplit_once('.').unwrap_or(("", &target));
            let service = service.split('_').next().unwrap_or_default();
            json_error(service, operation, request_id)
        }
        Elsewhere::Form { service } => {
            let held = shared
                .documents
                .read(&parts.headers, body, FORM_BYTES)
                .await;
            let form = held.map(|held| String::from_utf8_lossy(&held.bytes).into_owned());
            let form = parse_query(Some(&form.unwrap_or_default()));
            let action = form.iter().find(|(name, _)| name == "Action");
            let action = action.map(|(_, value)| plain(value)).unwrap_or_default();
            xml_error(&service.unwrap_or_default(), &action, request_id)
        }
        Elsewhere::Other { service } if service == "s3" => {
            xml_error("s3", parts.method.as_str(), request_id)
        }
        Elsewhere::Other { service } => json_error(&service, parts.method.as_str(), request_id),
    }
}

/// Names the operation, as far as the request does.
fn name(service: &str, operation: &str) -> String {
    match (service, operation) {
        ("", "") => "A service other than Lambda".to_owned(),
        ("", operation) => format!("{operation} of a service other than Lambda"),
        (service, operation) => format!("{operation} of the service {service}"),
    }
}

/// The type is in the header and in the document, because clients look in either.
fn json_error(service: &str, operation: &str, request_id: RequestId) -> Response<Body> {
    let error = ApiError::not_built(&name(service, operation));
    let response = answer::refusal(&error, request_id);
    let document = Refusal {
        kind: error.kind(),
        message: error.message(),
    };
    let text = serde_json::to_vec(&document).unwrap_or_default();
    response.map(|_| Body::whole(text))
}

fn xml_error(service: &str, operation: &str, request_id: RequestId) -> Response<Body> {
    let error = ApiError::not_built(&name(service, operation));
    // The message is made of words only, so nothing in it needs escaping.
    let text = error.message();
    let document = match service {
        "s3" => format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>NotImplemented</Code>\
             <Message>{text}</Message><RequestId>{request_id}</RequestId></Error>"
        ),
        _ => format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>NotImplemented</Code>\
             <Message>{text}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
        ),
    };
    let mut response = Response::new(Body::whole(document));
    *response.status_mut() = StatusCode::NOT_IMPLEMENTED;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    answer::with_request_id(response, request_id)
}
