//! The dispatcher with everything below it, over real sockets; only the processes are scripts.

mod slice;
mod world;
