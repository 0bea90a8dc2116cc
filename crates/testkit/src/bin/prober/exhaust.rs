//! Uses up what is limited, within bounds of its own in case it is not.
#![allow(unsafe_code, reason = "a fork bomb is made of forks")]

use std::fs::File;
use std::io::Write;

use serde_json::{Value, json};

/// No limit of a test is above these.
const FILL_BYTES: usize = 2 << 30;
const FILES: usize = 500_000;
const FORKS: usize = 2_000;
const MEMORY_BYTES: usize = 4 << 30;
const CHUNK_BYTES: usize = 1 << 20;

/// Writes until nothing more fits.
pub(crate) fn fill(path: &str) -> Value {
    let chunk = vec![1_u8; CHUNK_BYTES];
    let mut written = 0;
    let error = (|| {
        let mut file = File::create(path)?;
        while written < FILL_BYTES {
            written += file.write(&chunk)?;
        }
        Ok::<_, std::io::Error>(())
    })();
    let _ = std::fs::remove_file(path);
    json!({ "bytes": written, "errno": error.err().and_then(|error| error.raw_os_error()) })
}

/// Makes empty files until no more are allowed.
pub(crate) fn files(dir: &str) -> Value {
    let mut made = 0;
    let mut errno = None;
    while made < FILES {
        match File::create(format!("{dir}/{made}")) {
            Ok(_) => made += 1,
            Err(error) => {
                errno = error.raw_os_error();
                break;
            }
        }
    }
    json!({ "files": made, "errno": errno })
}

/// Starts children that never end, until no more are allowed.
pub(crate) fn fork() -> Value {
    let mut children = 0;
    let mut errno = None;
    while children < FORKS {
        // SAFETY: this process has one thread; the child only sleeps.
        match unsafe { libc::fork() } {
            0 => loop {
                // SAFETY: sleeps.
                unsafe { libc::pause() };
            },
            -1 => {
                errno = std::io::Error::last_os_error().raw_os_error();
                break;
            }
            _ => children += 1,
        }
    }
    json!({ "children": children, "errno": errno })
}

/// Touches memory until there is none.
pub(crate) fn memory() -> Value {
    let mut chunks: Vec<Vec<u8>> = Vec::new();
    while chunks.len() * CHUNK_BYTES < MEMORY_BYTES {
        let mut chunk = vec![0_u8; CHUNK_BYTES];
        for byte in chunk.iter_mut().step_by(4096) {
            *byte = 1;
        }
        chunks.push(std::hint::black_box(chunk));
    }
    json!({ "bytes": chunks.len() * CHUNK_BYTES })
}
