//! How much the embedded store does in a second, and what group commit is worth: each line is one
//! second or two of work on a fresh store below the current directory (or the one named).
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark fails by panicking, and its tasks are its own"
)]

use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

use bootlace_store::logs::LogOptions;
use bootlace_store::{DataDir, Key, NewEvent, Outcome, Store, Txn};
use bytes::Bytes;

const SECONDS: Duration = Duration::from_millis(1_500);
const BODY: Bytes = Bytes::from_static(&[7; 1_024]);
const LEASE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() {
    let below = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let temp = tempfile::tempdir_in(below).unwrap();
    println!(
        "{:<44} {:>10}  {:>9} {:>9}",
        "durable, 1 KiB each", "per second", "p50 µs", "p99 µs"
    );
    floor(temp.path());

    let started = Instant::now();
    let data_dir = DataDir::open(&temp.path().join("data")).unwrap();
    let store = Store::open(&data_dir, LogOptions::default()).await.unwrap();
    println!(
        "{:<44} {:>10.1} ms",
        "open, new",
        started.elapsed().as_secs_f64() * 1e3
    );
    let mut rates = Vec::new();
    for enqueuers in [1, 64] {
        let work = |store: Store, _| async move {
            let _ = store.kv.enqueue(vec![NewEvent::new(BODY)]).await.unwrap();
        };
        rates.push(
            measure(
                &store,
                &format!("enqueue, {enqueuers} at once"),
                enqueuers,
                work,
            )
            .await,
        );
    }
    println!(
        "{:<44} {:>10.1}x",
        "  group commit, 64 over 1",
        rates[1] / rates[0]
    );

    let work = |store: Store, _| async move {
        let leased = store.kv.lease(1, LEASE).await.unwrap();
        let acks = leased
            .iter()
            .map(|event| (event.token, Outcome::Ack))
            .collect();
        store.kv.finish(acks).await.unwrap();
    };
    measure(&store, "lease and finish one, 64 at once", 64, work).await;

    let mut rates = Vec::new();
    for writers in [1, 64] {
        let work = |store: Store, writer| async move {
            let puts = vec![(Key::new(format!("document/{writer}")), BODY)];
            let _ = store
                .kv
                .commit(Txn {
                    puts,
                    ..Txn::default()
                })
                .await
                .unwrap();
        };
        rates.push(measure(&store, &format!("commit, {writers} at once"), writers, work).await);
    }
    println!(
        "{:<44} {:>10.1}x",
        "  group commit, 64 over 1",
        rates[1] / rates[0]
    );

    let work = |store: Store, writer| async move {
        let _ = store
            .kv
            .get(&Key::new(format!("document/{writer}")))
            .await
            .unwrap();
    };
    measure(&store, "get (not durable), 1 at once", 1, work).await;

    let started = Instant::now();
    store.close().await;
    println!(
        "{:<44} {:>10.1} ms",
        "close",
        started.elapsed().as_secs_f64() * 1e3
    );
    drop(data_dir);
    let started = Instant::now();
    let data_dir = DataDir::open(&temp.path().join("data")).unwrap();
    let store = Store::open(&data_dir, LogOptions::default()).await.unwrap();
    println!(
        "{:<44} {:>10.1} ms",
        "open, with what is left",
        started.elapsed().as_secs_f64() * 1e3
    );
    store.close().await;
}

/// What the disk alone does.
fn floor(path: &std::path::Path) {
    let mut file = File::create(path.join("floor")).unwrap();
    let mut times = Vec::new();
    let started = Instant::now();
    while started.elapsed() < SECONDS / 2 {
        let before = Instant::now();
        file.write_all(&[7; 1_024]).unwrap();
        file.sync_data().unwrap();
        times.push(before.elapsed());
    }
    report("the floor: append and fdatasync", started.elapsed(), times);
}

async fn measure<F, W>(store: &Store, name: &str, at_once: u64, work: W) -> f64
where
    F: Future<Output = ()> + Send + 'static,
    W: Fn(Store, u64) -> F + Send + Copy + 'static,
{
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for worker in 0..at_once {
        let store = store.clone();
        tasks.spawn(async move {
            let mut times = Vec::new();
            while started.elapsed() < SECONDS {
                let before = Instant::now();
                work(store.clone(), worker).await;
                times.push(before.elapsed());
            }
            times
        });
    }
    let times: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    report(name, started.elapsed(), times)
}

fn report(name: &str, elapsed: Duration, mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() * part / 100).min(times.len() - 1)].as_micros();
    let rate = f64::from(u32::try_from(times.len()).unwrap()) / elapsed.as_secs_f64();
    println!("{name:<44} {rate:>10.0}  {:>9} {:>9}", at(50), at(99));
    rate
}
