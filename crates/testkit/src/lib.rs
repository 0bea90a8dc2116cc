//! Scripted guests, the store suite and fixtures: what tests share, and nothing else uses.

pub mod collector;
pub mod guest;

mod guest_wire;
