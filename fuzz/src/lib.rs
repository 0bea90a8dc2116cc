//! What the fuzz targets share: a whole server whose sandboxes are scripts, and the small language in
//! which a target's input is written.
//!
//! A target gets bytes; [`tokens::expand`] lets a byte stand for a piece of the protocol, so that the
//! fuzzer finds deep states by exchanging pieces. The server is real down to its sockets. A panic
//! anywhere in it ends the process, which is how libFuzzer learns of it.

pub mod http;
pub mod tokens;
pub mod world;
