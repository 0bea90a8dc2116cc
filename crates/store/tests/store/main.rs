//! The store from outside: the contract against every back end, strangers' archives, a real data
//! directory, and being killed.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, spawns as it likes and starts itself as another process"
)]

mod archive;
mod conformance;
mod crash;
mod data;
mod logs;
mod suite;
mod support;
