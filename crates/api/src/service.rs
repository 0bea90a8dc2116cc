use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bootlace_control::ControlPlane;
use bootlace_invoke::Dispatcher;
use bootlace_types::{RequestId, limits};
use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use tokio::sync::{Semaphore, watch};
use tower::ServiceExt as _;

use crate::answer::Body;
use crate::content::Signer;
use crate::error::ApiError;
use crate::{Api, ApiOptions, answer, body, elsewhere, guard, invoke, logs, router};

/// What every request can reach.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) control: Arc<ControlPlane>,
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) options: ApiOptions,
    pub(crate) signer: Signer,
    pub(crate) documents: body::Room,
    pub(crate) events: body::Room,
    pub(crate) live_tails: Arc<Semaphore>,
    pub(crate) stopping: watch::Receiver<bool>,
}

/// Answers requests. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    shared: Arc<Shared>,
    router: Router,
}

impl Service {
    pub(crate) fn new(api: Api, stopping: watch::Receiver<bool>) -> Self {
        let Api {
            control,
            dispatcher,
            options,
        } = api;
        let shared = Arc::new(Shared {
            control,
            dispatcher,
            options,
            signer: Signer::random(),
            documents: body::Room::of_documents(),
            events: body::Room::of_events(),
            live_tails: Arc::new(Semaphore::new(limits::LIVE_TAILS)),
            stopping,
        });
        let router = router::build(&shared);
        Self { shared, router }
    }

    pub(crate) fn client_stall(&self) -> Duration {
        self.shared.options.client_stall
    }

    /// Answers one request: Invoke without any detour, everything else through the router.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let options = &self.shared.options;
        let origin = match guard::check(options, request.headers(), request.uri()) {
            Ok(origin) => origin,
            Err(error) => return answer::refusal(&error, RequestId::random()),
        };
        let mut response = match invoke::function_name(request.method(), request.uri().path()) {
            Some(_) => invoke::answer(&self.shared, request).await,
            None => Box::pin(self.detour(request, origin.as_ref())).await,
        };
        if let Some(origin) = origin {
            guard::allow(origin, response.headers_mut());
        }
        response
    }

    async fn detour(
        &self,
        request: Request<Incoming>,
        origin: Option<&http::HeaderValue>,
    ) -> Response<Body> {
        if origin.is_some() && request.method() == Method::OPTIONS {
            return guard::preflight(request.headers());
        }
        let request_id = RequestId::random();
        if let Some(elsewhere) = elsewhere::service_of(&request) {
            let (parts, body) = request.into_parts();
            if let Some(operation) = elsewhere.logs_operation(&parts) {
                let shared = &self.shared;
                return logs::answer(shared, operation, parts, body, request_id).await;
            }
            return elsewhere::refuse(&self.shared, elsewhere, parts, body, request_id).await;
        }
        let mut request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(request_id);
        let response = match self.router.clone().oneshot(request).await {
            Ok(response) => response.map(Body::Streamed),
            Err(never) => match never {},
        };
        answer::with_request_id(response, request_id)
    }
}

/// What a path that is no operation's is answered.
pub(crate) fn unknown_operation() -> ApiError {
    ApiError::unknown_operation("There is no operation with this method and path.")
}
