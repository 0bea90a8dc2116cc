//! Runs functions: which version a call means, whether it may run now, and in which environment.
//!
//! It knows the store only to follow the functions in it, and environments only as leases. It does
//! not know HTTP, how a sandbox is made, or what the Runtime API looks like. Read [`Dispatcher`]
//! first; `pool` and `concurrency` are the two decisions in it, both plain synchronous code.

mod request;

pub use request::{InvokeError, InvokeRequest, InvokeResponse, throttle};
