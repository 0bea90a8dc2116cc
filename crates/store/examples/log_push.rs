//! What it costs an invocation to log a line: `cargo run --release --example log_push`.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "an example measures, and a surprise ends it"
)]

use std::time::{Duration, Instant};

use bootlace_store::StoreClock;
use bootlace_store::logs::{LogOptions, LogStore, StreamName};
use bootlace_types::Scope;

const ROUNDS: u32 = 200;
const LINES: u32 = 1_000;

#[tokio::main]
async fn main() {
    let directory = tempfile::tempdir().unwrap();
    let logs = LogStore::open(directory.path(), LogOptions::default(), StoreClock::wall()).unwrap();
    let scope = Scope::default();
    let name = StreamName {
        scope: &scope,
        group: "/aws/lambda/function",
        stream: "2026/11/26/[$LATEST]0123456789abcdef0123456789abcdef",
    };
    let line = [b'x'; 120];
    let mut took = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for _ in 0..LINES {
            logs.push(name, 1_700_000_000_000, &line);
        }
        took.push(began.elapsed() / LINES);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    took.sort_unstable();
    let median = took[took.len() / 2];
    println!(
        "one line of 120 bytes: median {median:?}, slowest {:?}",
        took[took.len() - 1]
    );
    let began = Instant::now();
    logs.flush().await;
    println!("the rest was written after {:?}", began.elapsed());
    logs.close().await;
    let began = Instant::now();
    let again = LogStore::open(directory.path(), LogOptions::default(), StoreClock::wall());
    println!(
        "{} lines opened again in {:?}",
        ROUNDS * LINES,
        began.elapsed()
    );
    again.unwrap().close().await;
}
