//! The log store's contract, against files and memory; and what only files can show.

mod damage;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bootlace_store::StoreClock;
use bootlace_store::logs::{
    Direction, Fsync, LogError, LogLine, LogOptions, LogPage, LogQuery, LogStore, StreamName,
    TailQuery, Which,
};
use bootlace_types::{Scope, limits};

const START_MS: u64 = 1_700_000_000_000;
const DAY: Duration = Duration::from_secs(86_400);

struct Subject {
    logs: LogStore,
    clock: StoreClock,
    options: LogOptions,
    directory: Option<tempfile::TempDir>,
}

impl Subject {
    fn files(options: LogOptions) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = StoreClock::manual(START_MS);
        let logs = LogStore::open(directory.path(), options.clone(), clock.clone()).unwrap();
        Self {
            logs,
            clock,
            options,
            directory: Some(directory),
        }
    }

    fn memory(options: LogOptions) -> Self {
        let clock = StoreClock::manual(START_MS);
        Self {
            logs: LogStore::memory(options.clone(), clock.clone()),
            clock,
            options,
            directory: None,
        }
    }

    /// Closes and opens the files; memory goes on.
    async fn again(self) -> Self {
        let Some(directory) = &self.directory else {
            return self;
        };
        self.logs.close().await;
        let (path, options) = (directory.path(), self.options.clone());
        let logs = LogStore::open(path, options, self.clock.clone()).unwrap();
        Self { logs, ..self }
    }

    fn push(&self, group: &str, stream: &str, time_ms: u64, line: &str) {
        let scope = Scope::default();
        let name = StreamName {
            scope: &scope,
            group,
            stream,
        };
        self.logs.push(name, time_ms, line.as_bytes());
    }

    async fn texts(&self, query: LogQuery) -> Vec<String> {
        texts(&self.all(query).await)
    }

    /// All pages.
    async fn all(&self, mut query: LogQuery) -> Vec<LogLine> {
        let mut events = Vec::new();
        loop {
            let page = self.logs.read(query.clone()).await.unwrap();
            match query.direction {
                Direction::Forward => events.extend(page.events),
                Direction::Backward => {
                    events.splice(0..0, page.events);
                }
            }
            match page.next {
                None => return events,
                next => {
                    assert_ne!(next, query.after, "no progress");
                    query.after = next;
                }
            }
        }
    }
}

fn query(group: &str) -> LogQuery {
    LogQuery {
        scope: Scope::default(),
        group: group.to_owned(),
        streams: Which::All,
        from_ms: 0,
        before_ms: u64::MAX,
        after: None,
        direction: Direction::Forward,
        limit: 10_000,
        matches: None,
    }
}

fn texts(events: &[LogLine]) -> Vec<String> {
    let text = |event: &LogLine| {
        String::from_utf8_lossy(&event.message)
            .trim_end()
            .to_owned()
    };
    events.iter().map(text).collect()
}

fn name<'a>(scope: &'a Scope, group: &'a str, stream: &'a str) -> StreamName<'a> {
    StreamName {
        scope,
        group,
        stream,
    }
}

async fn what_is_logged_is_read(subject: Subject) {
    subject.push("/aws/lambda/f", "one", START_MS + 1, "first");
    subject.push("/aws/lambda/f", "two", START_MS + 2, "second");
    subject.push("/aws/lambda/f", "one", START_MS + 3, "third");
    subject.push("/aws/lambda/g", "one", START_MS + 2, "elsewhere");
    let subject = subject.again().await;
    let all = subject.all(query("/aws/lambda/f")).await;
    assert_eq!(texts(&all), ["first", "second", "third"]);
    assert_eq!(all[0].message, b"first\n");
    assert_eq!(
        (&*all[1].stream, all[1].position.time_ms),
        ("two", START_MS + 2)
    );
    assert_eq!(all[0].ingested_ms, START_MS);
    let of = |streams| LogQuery {
        streams,
        ..query("/aws/lambda/f")
    };
    let named = Which::Named(vec!["one".into()]);
    assert_eq!(subject.texts(of(named)).await, ["first", "third"]);
    assert_eq!(
        subject.texts(of(Which::Prefix("t".into()))).await,
        ["second"]
    );
    let missing = of(Which::Named(vec!["three".into()]));
    assert_eq!(subject.logs.read(missing).await, Err(LogError::NoStream));
    assert_eq!(
        subject.logs.read(query("none")).await,
        Err(LogError::NoGroup)
    );
    let between = LogQuery {
        from_ms: START_MS + 2,
        before_ms: START_MS + 3,
        ..query("/aws/lambda/f")
    };
    assert_eq!(subject.texts(between).await, ["second"]);
    let matching = LogQuery {
        matches: Some(Arc::new(|message: &[u8]| message.starts_with(b"th"))),
        ..query("/aws/lambda/f")
    };
    assert_eq!(subject.texts(matching).await, ["third"]);
}

async fn pages_are_in_the_order_of_time_from_either_end(subject: Subject) {
    // Times jump, and some are the same.
    let times: Vec<u64> = (0..500_u64).map(|i| START_MS + (i * 7_919) % 101).collect();
    for (index, time) in times.iter().enumerate() {
        subject.push(
            "g",
            ["a", "b", "c"][index % 3],
            *time,
            &format!("{index:04} {}", "x".repeat(600)),
        );
    }
    let mut want: Vec<(u64, String)> = times
        .iter()
        .enumerate()
        .map(|(index, time)| (*time, format!("{index:04}")))
        .collect();
    want.sort();
    let want: Vec<&str> = want.iter().map(|(_, text)| text.as_str()).collect();
    for direction in [Direction::Forward, Direction::Backward] {
        for limit in [1, 7, 100, 10_000] {
            let asked = LogQuery {
                direction,
                limit,
                ..query("g")
            };
            let found = subject.texts(asked).await;
            let found: Vec<&str> = found.iter().map(|text| &text[..4]).collect();
            assert_eq!(found, want, "{direction:?} {limit}");
        }
    }
}

async fn pages_have_a_size(subject: Subject) {
    let long = "y".repeat(limits::LOG_EVENT_BYTES - 100);
    for time in 0..5 {
        subject.push("g", "s", START_MS + time, &long);
    }
    let page = subject.logs.read(query("g")).await.unwrap();
    assert_eq!(page.events.len(), 1);
    assert_eq!(subject.all(query("g")).await.len(), 5);
}

async fn accounts_and_regions_are_apart(subject: Subject) {
    let one = Scope::default();
    let two = Scope {
        account: "111122223333".parse().unwrap(),
        ..Scope::default()
    };
    let abroad = Scope {
        region: "eu-west-1".parse().unwrap(),
        ..Scope::default()
    };
    for (scope, line) in [(&one, "one"), (&two, "two"), (&abroad, "abroad")] {
        subject
            .logs
            .push(name(scope, "g", "s"), START_MS, line.as_bytes());
    }
    let subject = subject.again().await;
    for (scope, line) in [(&one, "one"), (&two, "two"), (&abroad, "abroad")] {
        let asked = LogQuery {
            scope: scope.clone(),
            ..query("g")
        };
        assert_eq!(subject.texts(asked).await, [line]);
    }
    subject.logs.delete_group(&two, "g").await.unwrap();
    assert_eq!(subject.texts(query("g")).await, ["one"]);
}

async fn groups_and_streams_are_made_changed_and_deleted(subject: Subject) {
    let scope = Scope::default();
    let logs = &subject.logs;
    let tags = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
    logs.create_group(&scope, "g", tags.clone()).await.unwrap();
    assert_eq!(
        logs.create_group(&scope, "g", tags).await,
        Err(LogError::GroupExists)
    );
    logs.create_stream(name(&scope, "g", "s")).await.unwrap();
    assert_eq!(
        logs.create_stream(name(&scope, "g", "s")).await,
        Err(LogError::StreamExists)
    );
    assert_eq!(
        logs.create_stream(name(&scope, "h", "s")).await,
        Err(LogError::NoGroup)
    );
    let events = [(START_MS, "put".to_owned())];
    logs.put(name(&scope, "g", "s"), &events).await.unwrap();
    assert_eq!(
        logs.put(name(&scope, "g", "t"), &events).await,
        Err(LogError::NoStream)
    );
    logs.set_retention(&scope, "g", Some(7)).await.unwrap();
    logs.change_tags(&scope, "g", |tags| {
        tags.insert("l".into(), "w".into());
    })
    .await
    .unwrap();
    let subject = subject.again().await;
    let logs = &subject.logs;
    let group = logs.group(&scope, "g").unwrap();
    assert_eq!((group.retention_days, group.tags.len()), (Some(7), 2));
    assert_eq!((group.created_ms, group.stored_bytes), (START_MS, 29));
    let streams = logs
        .streams_by_name(name(&scope, "g", ""), None, false, 50)
        .unwrap();
    assert_eq!(
        (streams[0].first_ms, streams[0].stored_bytes),
        (Some(START_MS), 29)
    );
    logs.delete_stream(name(&scope, "g", "s")).await.unwrap();
    assert_eq!(logs.read(query("g")).await, Ok(LogPage::default()));
    logs.delete_group(&scope, "g").await.unwrap();
    assert_eq!(logs.delete_group(&scope, "g").await, Err(LogError::NoGroup));
    let subject = subject.again().await;
    assert_eq!(subject.logs.read(query("g")).await, Err(LogError::NoGroup));
    subject.push("g", "s", START_MS, "anew");
    assert_eq!(subject.texts(query("g")).await, ["anew"]);
    subject.logs.clear().await.unwrap();
    assert_eq!(subject.logs.read(query("g")).await, Err(LogError::NoGroup));
    subject.push("g", "s", START_MS, "after all");
    let subject = subject.again().await;
    assert_eq!(subject.texts(query("g")).await, ["after all"]);
}

async fn lists_have_pages(subject: Subject) {
    let scope = Scope::default();
    for index in 0..5_u64 {
        subject.push(&format!("g{index}"), "s", START_MS, "x");
        subject.push("g0", &format!("s{index}"), START_MS + 10 - index, "x");
    }
    subject.logs.flush().await;
    let names = |prefix: &str, after: Option<&str>, limit| {
        let groups = subject
            .logs
            .groups(&scope, prefix, after, limit, |name| name != "g3");
        groups
            .iter()
            .map(|group| group.name.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(names("", None, 2), ["g0", "g1"]);
    assert_eq!(names("g", Some("g1"), 50), ["g2", "g4"]);
    assert_eq!(names("g2", None, 50), ["g2"]);
    let streams = |after, descending, limit| {
        let named = name(&scope, "g0", "s");
        let streams = subject
            .logs
            .streams_by_name(named, after, descending, limit)
            .unwrap();
        streams
            .iter()
            .map(|stream| stream.name.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(streams(None, false, 3), ["s", "s0", "s1"]);
    assert_eq!(streams(Some("s1"), false, 3), ["s2", "s3", "s4"]);
    assert_eq!(streams(Some("s1"), true, 3), ["s0", "s"]);
    let by_time = |after, descending| {
        let named = name(&scope, "g0", "");
        let streams = subject
            .logs
            .streams_by_time(named, after, descending, 3)
            .unwrap();
        streams
            .iter()
            .map(|stream| stream.name.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(by_time(None, false), ["s", "s4", "s3"]);
    assert_eq!(
        by_time(Some((START_MS + 9, "s1")), true),
        ["s2", "s3", "s4"]
    );
}

async fn what_is_too_old_is_gone(subject: Subject) {
    let scope = Scope::default();
    subject.push("short", "s", START_MS, "old");
    subject.push("long", "s", START_MS, "kept");
    subject.logs.flush().await;
    subject
        .logs
        .set_retention(&scope, "short", Some(1))
        .await
        .unwrap();
    subject.clock.advance(DAY + DAY);
    subject.push("short", "s", START_MS + 2 * 86_400_000, "new");
    assert_eq!(subject.texts(query("short")).await, ["new"]);
    assert_eq!(subject.texts(query("long")).await, ["kept"]);
    subject
        .logs
        .set_retention(&scope, "short", None)
        .await
        .unwrap();
    assert_eq!(subject.texts(query("short")).await, ["old", "new"]);
}

async fn what_is_too_much_is_gone(subject: Subject) {
    let line = "z".repeat(10_000);
    for index in 0..600_u64 {
        subject.push(
            "g",
            &format!("s{}", index / 100),
            START_MS + index,
            &format!("{index} {line}"),
        );
        if index % 20 == 0 {
            subject.logs.flush().await;
        }
    }
    let subject = subject.again().await;
    let kept = subject.texts(query("g")).await;
    assert!(kept.len() < 110 && kept.len() > 60, "{}", kept.len());
    assert!(kept.last().unwrap().starts_with("599 "));
    let streams = subject
        .logs
        .streams_by_name(name(&Scope::default(), "g", ""), None, false, 50);
    let streams = streams.unwrap();
    assert!(streams.len() <= 2, "{streams:?}");
    let stored: u64 = streams.iter().map(|stream| stream.stored_bytes).sum();
    assert!(stored <= 1 << 20, "{stored}");
}

async fn a_tail_gets_what_comes_once(subject: Subject) {
    subject.push("g", "s", START_MS, "before");
    subject.logs.flush().await;
    let mut written = subject.logs.written();
    let mut asked = TailQuery {
        scope: Scope::default(),
        groups: vec![("g".into(), Which::Named(vec!["s".into(), "later".into()]))],
        after_seq: *written.borrow_and_update(),
        limit: 2,
        matches: None,
    };
    // The times do not matter.
    for (stream, line) in [
        ("s", "one"),
        ("other", "no"),
        ("later", "two"),
        ("s", "three"),
    ] {
        subject.push("g", stream, 5, line);
    }
    written.changed().await.unwrap();
    let mut seen = Vec::new();
    while asked.after_seq < *written.borrow() {
        let streams = vec!["s".into(), "later".into()];
        asked.groups = vec![("g".into(), Which::Named(streams))];
        let (lines, next) = subject.logs.tail(asked.clone()).await.unwrap();
        assert!(lines.len() <= 2);
        seen.extend(texts(&lines));
        asked.after_seq = next;
    }
    assert_eq!(seen, ["one", "two", "three"]);
}

async fn more_than_there_is_room_for_is_counted_and_told(subject: Subject) {
    let scope = Scope::default();
    let line = vec![b'f'; 100_000];
    // Nothing is written before it is asked for: the store's interval is long in this test.
    let many = 1_000;
    for _ in 0..many {
        subject.logs.push(name(&scope, "g", "s"), START_MS, &line);
    }
    let events = subject.all(query("g")).await;
    let told: Vec<_> = events
        .iter()
        .filter(|event| event.message.starts_with(b"[bootlace] "))
        .collect();
    let lost: usize = texts(
        &told
            .iter()
            .map(|event| (*event).clone())
            .collect::<Vec<_>>(),
    )
    .iter()
    .map(|text| text.split(' ').nth(1).unwrap().parse::<usize>().unwrap())
    .sum();
    assert_eq!(events.len() - told.len() + lost, many);
    assert!(events.len() * line.len() > limits::LOG_QUEUE_BYTES / 2);
    subject.push("g", "s", START_MS + 1, "and on it goes");
    let last = subject.all(query("g")).await;
    assert_eq!(last.last().unwrap().message, b"and on it goes\n");
}

fn small() -> LogOptions {
    LogOptions {
        max_bytes: 1 << 20,
        ..LogOptions::default()
    }
}

/// Each name is a test that runs against files and against memory.
macro_rules! conformance {
    ($($test:ident($options:expr);)*) => {
        mod files {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(Subject::files($options)).await;
            })*
        }
        mod memory {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(Subject::memory($options)).await;
            })*
        }
    };
}

conformance! {
    what_is_logged_is_read(LogOptions::default());
    pages_are_in_the_order_of_time_from_either_end(LogOptions::default());
    pages_have_a_size(LogOptions::default());
    accounts_and_regions_are_apart(LogOptions::default());
    groups_and_streams_are_made_changed_and_deleted(LogOptions::default());
    lists_have_pages(LogOptions::default());
    what_is_too_old_is_gone(LogOptions::default());
    what_is_too_much_is_gone(small());
    a_tail_gets_what_comes_once(LogOptions::default());
    more_than_there_is_room_for_is_counted_and_told(LogOptions::default());
}
