//! Killed at any moment, the store loses nothing it has acknowledged and opens cleanly.
//!
//! The test starts itself again as the writer, which reports every acknowledgement on its standard
//! output, kills it, and compares.
#![allow(
    clippy::disallowed_methods,
    reason = "the writer is another process, and tasks are tests"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{file, zip};
use bootlace_store::logs::LogOptions;
use bootlace_store::{
    DataDir, Expect, Key, LeaseToken, NewEvent, Outcome, Store, Txn, blob_file, sha256,
};
use bootlace_types::Digest;
use bytes::Bytes;

const DIRECTORY: &str = "BOOTLACE_CRASH_TEST_DIRECTORY";
const ROUND: &str = "BOOTLACE_CRASH_TEST_ROUND";
const ROUNDS: u32 = 20;
const MAX: u64 = 1 << 20;
const LEASE: Duration = Duration::from_secs(3_600);

/// What a writer was told is done.
#[derive(Debug, Default)]
struct Acknowledged {
    documents: BTreeMap<String, u64>,
    enqueued: BTreeSet<String>,
    /// Handed to `finish`, with or without an answer.
    finishing: BTreeSet<String>,
    finished: BTreeSet<String>,
    blobs: BTreeSet<Digest>,
    zips: BTreeSet<Digest>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost() {
    let temp = tempfile::tempdir().unwrap();
    let mut acknowledged = Acknowledged::default();
    let mut total = 0;
    for round in 0..ROUNDS {
        total += write_and_kill(temp.path(), round, &mut acknowledged);
        check(temp.path(), &mut acknowledged).await;
    }
    eprintln!(
        "{total} acknowledgements over {ROUNDS} kills, {} events",
        acknowledged.enqueued.len()
    );
    assert!(total > 20 * ROUNDS, "the writers hardly wrote: {total}");
}

/// Runs a writer for a random while, and gives the number of its acknowledgements.
fn write_and_kill(directory: &Path, round: u32, acknowledged: &mut Acknowledged) -> u32 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "crash::the_writer_that_is_killed",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(DIRECTORY, directory)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut count = 0;
    // Once it writes, any moment is as good as another.
    let ready = lines
        .by_ref()
        .map_while(Result::ok)
        .find(|line| line.ends_with("ready"));
    assert!(ready.is_some(), "the writer could not open what was left");
    let moment = uuid::Uuid::new_v4().as_u128() % 120_000;
    let moment = Duration::from_micros(u64::try_from(moment).unwrap());
    let killer = std::thread::spawn(move || {
        std::thread::sleep(moment);
        child.kill().unwrap();
        child.wait().unwrap();
    });
    for line in lines.map_while(Result::ok) {
        // A line that was cut off is no acknowledgement.
        let Some(line) = line.strip_suffix('.') else {
            continue;
        };
        let (what, rest) = line.split_once(' ').unwrap();
        match what {
            "document" => {
                let (name, number) = rest.split_once(' ').unwrap();
                acknowledged
                    .documents
                    .insert(name.to_owned(), number.parse().unwrap());
            }
            "event" => drop(acknowledged.enqueued.insert(rest.to_owned())),
            "finishing" => drop(acknowledged.finishing.insert(rest.to_owned())),
            "finished" => drop(acknowledged.finished.insert(rest.to_owned())),
            "blob" => drop(acknowledged.blobs.insert(rest.parse().unwrap())),
            "zip" => drop(acknowledged.zips.insert(rest.parse().unwrap())),
            other => panic!("{other}"),
        }
        count += 1;
    }
    killer.join().unwrap();
    count
}

async fn check(directory: &Path, acknowledged: &mut Acknowledged) {
    let data_dir = DataDir::open(directory).expect("opening is clean");
    assert_eq!(
        std::fs::read_dir(directory.join("trees/staging"))
            .unwrap()
            .count(),
        0
    );
    let store = Store::open(&data_dir, LogOptions::default())
        .await
        .expect("opening is clean");
    for (name, number) in &mut acknowledged.documents {
        let entry = store
            .kv
            .get(&Key::new(name.clone()))
            .await
            .unwrap()
            .expect(name);
        let found: u64 = std::str::from_utf8(&entry.value).unwrap().parse().unwrap();
        // One more may have been written and not acknowledged.
        assert!(
            (*number..=*number + 1).contains(&found),
            "{name}: {number}, found {found}"
        );
        // The next writer goes on from here.
        *number = found;
        let twin = store
            .kv
            .get(&Key::new(format!("{name}/twin")))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (twin.value, twin.rev),
            (entry.value, entry.rev),
            "half a commit"
        );
    }
    let mut queued = BTreeSet::new();
    loop {
        let leased = store.kv.lease(256, LEASE).await.unwrap();
        if leased.is_empty() {
            break;
        }
        for event in leased {
            let body = String::from_utf8(event.body.to_vec()).unwrap();
            assert!(queued.insert(body), "an event twice");
        }
    }
    for body in &acknowledged.enqueued {
        assert!(
            queued.contains(body) || acknowledged.finishing.contains(body),
            "{body} is lost"
        );
    }
    for body in &acknowledged.finished {
        assert!(!queued.contains(body), "{body} is back");
    }
    for digest in &acknowledged.blobs {
        let bytes = store
            .blobs
            .get(digest)
            .await
            .unwrap()
            .expect("a blob is lost");
        assert_eq!(sha256(&bytes), *digest);
    }
    for digest in &acknowledged.zips {
        let tree = store.trees.tree(digest).await.unwrap();
        assert_eq!(std::fs::read_dir(tree.join("d")).unwrap().count(), 5);
        assert!(blob_file(directory, digest).exists());
    }
    store.close().await;
    let database = rusqlite::Connection::open(directory.join("bootlace.db")).unwrap();
    let verdict: String = database
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(verdict, "ok");
}

/// Not a test of its own: the process that the test above starts and kills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_writer_that_is_killed() {
    let (Ok(directory), Ok(round)) = (std::env::var(DIRECTORY), std::env::var(ROUND)) else {
        return;
    };
    let data_dir = DataDir::open(Path::new(&directory)).unwrap();
    let store = Store::open(&data_dir, LogOptions::default()).await.unwrap();
    say("ready");
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..4 {
        tasks.spawn(write_documents(store.clone(), format!("counter/{writer}")));
        tasks.spawn(write_events(store.clone(), format!("{round}-{writer}")));
    }
    tasks.spawn(finish_events(store.clone()));
    tasks.spawn(write_blobs(store.clone(), round.clone()));
    tasks.spawn(write_zips(store, round));
    tasks.join_all().await;
}

/// One write, so that a line is whole or cut off.
fn say(line: &str) {
    let line = if line == "ready" {
        format!("{line}\n")
    } else {
        format!("{line}.\n")
    };
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
}

async fn write_documents(store: Store, name: String) {
    let key = Key::new(name.clone());
    loop {
        let found = store.kv.get(&key).await.unwrap();
        let expect = found
            .as_ref()
            .map_or(Expect::Absent, |entry| Expect::Rev(entry.rev));
        let number = found.map_or(0, |entry| {
            std::str::from_utf8(&entry.value)
                .unwrap()
                .parse::<u64>()
                .unwrap()
                + 1
        });
        let value = Bytes::from(number.to_string());
        let twin = Key::new(format!("{name}/twin"));
        let txn = Txn {
            checks: vec![(key.clone(), expect)],
            puts: vec![(key.clone(), value.clone()), (twin, value)],
            ..Txn::default()
        };
        store.kv.commit(txn).await.unwrap();
        say(&format!("document {name} {number}"));
    }
}

async fn write_events(store: Store, name: String) {
    for number in 0_u64.. {
        let body = format!("{name}-{number}");
        store
            .kv
            .enqueue(vec![NewEvent::new(Bytes::from(body.clone()))])
            .await
            .unwrap();
        say(&format!("event {body}"));
    }
}

async fn finish_events(store: Store) {
    loop {
        let leased = store.kv.lease(2, LEASE).await.unwrap();
        for event in &leased {
            say(&format!(
                "finishing {}",
                std::str::from_utf8(&event.body).unwrap()
            ));
        }
        let acks: Vec<(LeaseToken, Outcome)> = leased
            .iter()
            .map(|event| (event.token, Outcome::Ack))
            .collect();
        store.kv.finish(acks).await.unwrap();
        for event in &leased {
            say(&format!(
                "finished {}",
                std::str::from_utf8(&event.body).unwrap()
            ));
        }
        tokio::task::yield_now().await;
    }
}

async fn write_blobs(store: Store, name: String) {
    for number in 0_u64.. {
        let bytes = Bytes::from(format!("{name}-{number}-").repeat(2_000));
        let digest = sha256(&bytes);
        store.blobs.put_if_absent(&digest, bytes).await.unwrap();
        say(&format!("blob {digest}"));
    }
}

async fn write_zips(store: Store, name: String) {
    for number in 0_u64.. {
        let text = format!("{name}-{number}");
        let files: Vec<_> = (0..5)
            .map(|file_number| file(&format!("d/{file_number}"), &text))
            .collect();
        let code = store.ingest_zip(zip(&files), MAX).await.unwrap();
        say(&format!("zip {}", code.digest));
    }
}
