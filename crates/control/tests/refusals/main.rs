//! Every text with which AWS refuses a request to the operations that are built, as tables.

#![allow(clippy::unwrap_used, reason = "a surprise ends a test")]

mod create;
mod layers;
mod names;
mod settings;
mod world;
