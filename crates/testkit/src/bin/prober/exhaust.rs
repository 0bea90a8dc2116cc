//! Uses up what is limited, within bounds of its own in case it is not.
#![allow(unsafe_code, reason = "a fork bomb is made of forks")]

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

/// No limit of a test is above these.
const FILL_BYTES: usize = 2 << 30;
const FILES: usize = 500_000;
const FORKS: usize = 2_000;
const MEMORY_BYTES: usize = 4 << 30;
const CHUNK_BYTES: usize = 1 << 20;
const CONNECTIONS: usize = 200;
const STALL: Duration = Duration::from_millis(500);
const SOCKET_BYTES: usize = 512 << 20;

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

/// Sends to itself what it never reads, on many connections; tells how much the kernel took.
pub(crate) fn sockets() -> Value {
    let mut taken = 0;
    let mut held = Vec::new();
    let chunk = vec![1_u8; CHUNK_BYTES];
    let error = (|| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        while held.len() < CONNECTIONS && taken < SOCKET_BYTES {
            let mut sender = TcpStream::connect(listener.local_addr()?)?;
            let (mut receiver, _) = listener.accept()?;
            // At the limit nothing moves any more.
            sender.set_write_timeout(Some(STALL))?;
            receiver.set_read_timeout(Some(STALL))?;
            // A receiver that reads well at first is given a larger buffer.
            for _ in 0..4 {
                sender.write_all(&chunk[..64 << 10])?;
                receiver.read_exact(&mut vec![0; 64 << 10])?;
            }
            sender.set_nonblocking(true)?;
            while let Ok(count) = sender.write(&chunk) {
                taken += count;
            }
            held.push((sender, receiver));
        }
        Ok::<_, std::io::Error>(())
    })();
    json!({ "bytes": taken, "connections": held.len(),
        "errno": error.err().and_then(|error| error.raw_os_error()) })
}
