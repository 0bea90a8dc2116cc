//! The calls by which extensions subscribe.

use std::sync::Arc;

use bootlace_types::limits;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use uuid::Uuid;

use super::subscription::{Api, Subscription};
use super::{Gate, Subscriber};
use crate::environment::Environment;
use crate::extensions_api::{identifier, refusal};
use crate::lifecycle::{ExtensionRefusal, Lifecycle};
use crate::platform_event::PlatformEvent;
use crate::runtime_api::{Answer, JSON, discard, document, empty};

/// Which API a path belongs to.
pub(crate) fn route(path: &str) -> Option<Api> {
    match path {
        "/2022-07-01/telemetry" => Some(Api::Telemetry),
        "/2020-08-15/logs" => Some(Api::Logs),
        _ => None,
    }
}

/// Answers one call.
pub(crate) async fn serve(
    environment: &Arc<Environment>,
    api: Api,
    request: Request<Incoming>,
) -> Answer {
    let (head, body) = request.into_parts();
    if head.method != Method::PUT {
        return empty(StatusCode::METHOD_NOT_ALLOWED);
    }
    let id = match identifier(&head.headers) {
        Ok(id) => id,
        Err(refusal) => {
            discard(body).await;
            return *refusal;
        }
    };
    if environment.extension_name(id).is_none() {
        discard(body).await;
        return refusal(&ExtensionRefusal::Unknown(id));
    }
    let body = Limited::new(body, limits::EXTENSION_BODY_BYTES).collect();
    let subscription = match body.await {
        Ok(body) => Subscription::parse(api, &body.to_bytes()),
        Err(error) => Err(format!("failed to read the body: {error}")),
    };
    match subscription {
        Ok(subscription) => subscribe(environment, id, api, &subscription),
        Err(text) => document(StatusCode::BAD_REQUEST, "ValidationError", &text),
    }
}

fn subscribe(
    environment: &Arc<Environment>,
    id: Uuid,
    api: Api,
    subscription: &Subscription,
) -> Answer {
    match environment.subscribe(id, subscription) {
        Ok(()) => {
            let mut answer = Response::new(Full::new(Bytes::from_static(b"\"OK\"")));
            answer.headers_mut().insert(header::CONTENT_TYPE, JSON);
            answer
        }
        Err(Unsubscribed::Unknown) => refusal(&ExtensionRefusal::Unknown(id)),
        Err(Unsubscribed::Closed) => {
            let (error_type, text) = match api {
                Api::Telemetry => (
                    "Telemetry.SubscriptionClosed",
                    "Telemetry API subscription is closed",
                ),
                Api::Logs => ("Logs.SubscriptionClosed", "Logs API subscription is closed"),
            };
            document(StatusCode::FORBIDDEN, error_type, text)
        }
    }
}

/// Why nobody was subscribed.
enum Unsubscribed {
    /// No extension has this id.
    Unknown,
    /// Initialization is over.
    Closed,
}

impl Environment {
    fn extension_name(&self, id: Uuid) -> Option<Box<str>> {
        self.with_lifecycle(|machine| machine.parties().name(id).map(Into::into))
    }

    fn subscribe(&self, id: Uuid, subscription: &Subscription) -> Result<(), Unsubscribed> {
        let name = self.extension_name(id).ok_or(Unsubscribed::Unknown)?;
        let sandbox = self.sandbox().ok_or(Unsubscribed::Closed)?;
        let gate = Gate::new(self.frozen.subscribe());
        if !self.with_lifecycle(Lifecycle::is_initializing) {
            return Err(Unsubscribed::Closed);
        }
        let room = Arc::clone(&self.telemetry_room);
        let subscriber = Subscriber::start(id, subscription, sandbox.connector(), gate, room);
        // The log refuses what comes after the end of the initialization.
        if !self.log.subscribe(subscriber, id) {
            return Err(Unsubscribed::Closed);
        }
        self.log.platform(|| PlatformEvent::Subscription {
            name: &name,
            state: "Subscribed",
            types: subscription.type_names.clone(),
            of_logs_api: subscription.schema.is_of_logs_api(),
        });
        Ok(())
    }
}
