//! The dispatcher with everything below it, over real sockets; only the processes are scripts.

mod failures;
mod logs;
mod pools;
mod runtime_api;
mod slice;
mod world;
