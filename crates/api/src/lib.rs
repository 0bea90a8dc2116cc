//! The HTTP surfaces: AWS's Lambda API, Invoke, and Bootlace's own admin API under `/bootlace/v1/`.
//!
//! It translates: a request into a command for the control plane or the dispatcher, their answers
//! and refusals into AWS's documents. It decides nothing about functions and stores nothing. Read
//! [`serve`] first, then the route table, which names every operation of AWS's interface, built or
//! not. Clients' JSON is in `wire` and nowhere else.

mod account;
mod admin;
mod answer;
mod body;
mod call;
mod content;
mod elsewhere;
mod error;
mod event_stream;
mod function_metrics;
mod functions;
mod guard;
mod identity;
mod invocation;
mod invoke;
mod invoke_stream;
mod layers;
mod logs;
mod router;
mod routes;
mod server;
mod service;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bootlace_control::ControlPlane;
use bootlace_invoke::Dispatcher;
use bootlace_types::{Region, limits};

pub use routes::{AuthClass, OperationInfo, operations};
pub use server::serve;

/// What the surfaces stand on.
#[derive(Debug, Clone)]
pub struct Api {
    pub control: Arc<ControlPlane>,
    pub dispatcher: Arc<Dispatcher>,
    pub options: ApiOptions,
}

/// Gives the metrics as Prometheus text.
pub type MetricsText = Arc<dyn Fn() -> String + Send + Sync>;

/// How the surfaces behave.
#[derive(Clone)]
pub struct ApiOptions {
    /// Names by which clients may call this server, beside the loopback ones.
    pub allowed_hosts: Vec<String>,
    /// Web pages from elsewhere that may call it, as `https://host:port`.
    pub allowed_origins: Vec<String>,
    /// The region of requests that name none.
    pub default_region: Region,
    pub version: &'static str,
    /// A client that takes nothing of its answer for so long is given up.
    pub client_stall: Duration,
    /// Whether `POST /bootlace/v1/reset` works.
    pub reset_allowed: bool,
    /// The sandbox driver's name.
    pub isolation: &'static str,
    pub metrics: MetricsText,
}

impl fmt::Debug for ApiOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiOptions")
            .field("allowed_hosts", &self.allowed_hosts)
            .field("allowed_origins", &self.allowed_origins)
            .field("reset_allowed", &self.reset_allowed)
            .finish_non_exhaustive()
    }
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            default_region: Region::default(),
            version: env!("CARGO_PKG_VERSION"),
            client_stall: limits::CLIENT_STALL,
            reset_allowed: false,
            isolation: "none",
            metrics: Arc::new(String::new),
        }
    }
}
