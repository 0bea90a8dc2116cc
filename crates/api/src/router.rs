use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{FromRequestParts as _, RawPathParams, Request};
use axum::routing::any;
use bootlace_types::RequestId;
use hyper::Response;

use crate::answer::{self, Body};
use crate::body::Place;
use crate::call::{Call, parse_query};
use crate::error::ApiError;
use crate::routes::{Answered, AuthClass, OPERATIONS, OWN, Route};
use crate::service::{Shared, unknown_operation};
use crate::{guard, identity};

/// Builds the router from the route table.
pub(crate) fn build(shared: &Arc<Shared>) -> Router {
    let mut by_pattern: BTreeMap<&str, Vec<&'static Route>> = BTreeMap::new();
    for route in OPERATIONS.iter().chain(OWN) {
        by_pattern.entry(route.pattern()).or_default().push(route);
    }
    let mut router = Router::new();
    for (pattern, mut routes) in by_pattern {
        // Those that are recognized by their query are asked first.
        routes.sort_by_key(|route| route.query().is_none());
        let routes: Arc<[&'static Route]> = routes.into();
        // Older SDKs send a slash at the end.
        for pattern in [pattern.to_owned(), format!("{pattern}/")] {
            let (shared, routes) = (Arc::clone(shared), Arc::clone(&routes));
            let handler = move |request: Request| {
                let (shared, routes) = (Arc::clone(&shared), Arc::clone(&routes));
                async move { into_axum(dispatch(shared, &routes, request).await) }
            };
            router = router.route(&pattern, any(handler));
        }
    }
    router.fallback(|request: Request| async move {
        into_axum(answer::refusal(&unknown_operation(), request_id(&request)))
    })
}

fn into_axum(response: Response<Body>) -> Response<axum::body::Body> {
    response.map(|body| match body {
        Body::Whole(body) => axum::body::Body::new(body),
        Body::Streamed(body) => body,
    })
}

fn request_id(request: &Request) -> RequestId {
    request
        .extensions()
        .get()
        .copied()
        .unwrap_or_else(RequestId::random)
}

async fn dispatch(
    shared: Arc<Shared>,
    routes: &[&'static Route],
    request: Request,
) -> Response<Body> {
    let request_id = request_id(&request);
    let answered = match find(routes, &request) {
        Ok(route) => run(shared, route, request_id, request).await,
        Err(error) => Err(error),
    };
    match answered {
        Ok(response) => response,
        Err(error) => {
            let (status, kind) = (error.status().as_u16(), error.kind());
            tracing::debug!(%request_id, status, kind, "refused");
            answer::refusal(&error, request_id)
        }
    }
}

/// The operation of this path that the method and query mean.
fn find(routes: &[&'static Route], request: &Request) -> Result<&'static Route, ApiError> {
    let query = parse_query(request.uri().query());
    let asked = |(name, value): (&str, &str)| query.iter().any(|(n, v)| n == name && v == value);
    let method = match request.method().as_str() {
        "HEAD" => "GET",
        method => method,
    };
    let mut candidates = routes.iter().filter(|route| route.method == method);
    let found = candidates.find(|route| route.query().is_none_or(asked));
    found.copied().ok_or_else(unknown_operation)
}

async fn run(
    shared: Arc<Shared>,
    route: &'static Route,
    request_id: RequestId,
    request: Request,
) -> Answered {
    let Some(handler) = route.handler else {
        return Err(ApiError::not_built(route.operation));
    };
    let (mut parts, body) = request.into_parts();
    let params = RawPathParams::from_request_parts(&mut parts, &()).await;
    let params = params.map_err(|_| unknown_operation())?;
    let params = params
        .iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let authority = guard::authority(&parts.headers, &parts.uri)
        .unwrap_or_default()
        .to_owned();
    let default_region = &shared.options.default_region;
    let scope = match identity::scope(&parts.headers, default_region) {
        // What is ours is in no region.
        Err(_) if route.auth != AuthClass::Sigv4 => identity::unsigned(default_region),
        scope => scope?,
    };
    let call = Call {
        operation: route.operation,
        request_id,
        scope,
        authority,
        params,
        query: parse_query(parts.uri.query()),
        headers: parts.headers,
        body: Mutex::new(body),
        place: Place::default(),
        shared,
    };
    handler(call).await
}
