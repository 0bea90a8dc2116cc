//! Runs functions: which version a call means, whether it may run now, and in which environment.
//!
//! It knows the store only to follow the functions in it, and environments only as leases. It does
//! not know HTTP, how a sandbox is made, or what the Runtime API looks like. Read [`Dispatcher`]
//! first; `pool` and `concurrency` are the two decisions in it, both plain synchronous code.

mod catalog;
mod concurrency;
mod dispatcher;
mod fleet;
pub mod logs;
mod meeting;
pub mod metrics_names;
mod observation;
mod pool;
mod request;
mod series;
mod spans;
mod stream;

pub use bootlace_environment::{
    Driver, EnvironmentInfo, EnvironmentState, LogEvent, LogOrigin, LogSink, StreamLimits,
};
pub use dispatcher::{Dispatcher, DispatcherOptions, StartError};
pub use request::{InvokeError, InvokeRequest, InvokeResponse, throttle};
pub use series::{BUCKET_MS, Durations, MetricsPoint, MetricsQuery, MetricsSeries};
pub use spans::{ColdStart, InvocationSpan, SpanSink, count_spans};
pub use stream::{InvokeStream, StreamEnd, StreamError, StreamEvent};
