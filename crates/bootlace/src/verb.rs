//! One file per verb.

pub(crate) mod config;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod env;
pub(crate) mod function;
pub(crate) mod invoke;
mod invoke_stream;
pub(crate) mod layer;
pub(crate) mod logs;
pub(crate) mod serve;
