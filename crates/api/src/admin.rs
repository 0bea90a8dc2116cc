//! Bootlace's own API under `/bootlace/v1/`; `docs/openapi.yaml` describes it.

use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

use crate::answer::{self, Body};
use crate::call::Call;
use crate::error::ApiError;
use crate::routes::Answered;
use crate::wire::admin::{Environments, Health, Ready};

pub(crate) async fn health(call: Call) -> Answered {
    let options = &call.shared.options;
    answer::json(
        StatusCode::OK,
        &Health {
            status: "ok",
            version: options.version,
        },
    )
}

/// Whether new work is taken.
pub(crate) async fn ready(call: Call) -> Answered {
    let stopping = *call.shared.stopping.borrow();
    let (status, word) = match stopping {
        false => (StatusCode::OK, "ready"),
        true => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
    };
    let isolation = call.shared.options.isolation;
    answer::json(
        status,
        &Ready {
            status: word,
            isolation,
        },
    )
}

pub(crate) async fn metrics(call: Call) -> Answered {
    let text = (call.shared.options.metrics)();
    let mut response = Response::new(Body::whole(text));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

pub(crate) async fn environments(call: Call) -> Answered {
    let environments = call.shared.dispatcher.environments();
    answer::json(StatusCode::OK, &Environments { environments })
}

/// Empties the store, for tests.
pub(crate) async fn reset(call: Call) -> Answered {
    if !call.shared.options.reset_allowed {
        return Err(ApiError::access_denied(
            "This server does not allow reset: it is for servers on a loopback address that ask \
             for no authentication.",
        ));
    }
    let rev = call.shared.control.reset().await?;
    call.reached(rev).await;
    Ok(answer::empty(StatusCode::NO_CONTENT))
}
