//! What only files can show: torn ends, full disks, what is removed, and when a line is there.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_torn_anywhere_keeps_what_precedes() {
    for fsync in [Fsync::Never, Fsync::Interval, Fsync::Always] {
        let subject = Subject::files(LogOptions {
            fsync,
            ..LogOptions::default()
        });
        for index in 0..20_u64 {
            subject.push("g", "s", START_MS + index, &format!("line {index}"));
        }
        let subject = subject.again().await;
        subject.logs.close().await;
        let directory = subject.directory.as_ref().unwrap().path();
        let file = directory.join("00000000000000000001.log");
        let length = std::fs::metadata(&file).unwrap().len();
        for cut in [length - 1, length - 60, length / 2, 16] {
            let opened = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
            opened.set_len(cut).unwrap();
            let subject = Subject {
                logs: LogStore::open(directory, LogOptions::default(), subject.clock.clone())
                    .unwrap(),
                clock: subject.clock.clone(),
                options: LogOptions::default(),
                directory: None,
            };
            let before = subject.texts(query("g")).await;
            let want: Vec<_> = (0..before.len())
                .map(|index| format!("line {index}"))
                .collect();
            assert_eq!(before, want);
            subject.push("g", "s", START_MS + 100, "behind it");
            let mut after = subject.texts(query("g")).await;
            assert_eq!(after.pop().as_deref(), Some("behind it"));
            assert_eq!(after, want);
            subject.logs.close().await;
            // What was appended must go before the next cut is a shorter one.
            let opened = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
            opened.set_len(cut).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_hold_only_what_is_gone_are_removed() {
    let subject = Subject::files(small());
    let scope = Scope::default();
    for index in 0..60_u64 {
        subject.push("g", "s", START_MS + index, &"q".repeat(10_000));
        subject.logs.flush().await;
    }
    let count = |subject: &Subject| {
        let directory = subject.directory.as_ref().unwrap().path();
        let names = std::fs::read_dir(directory).unwrap();
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
        let names = names
            .map(name)
            .filter(|name| name.to_string_lossy().ends_with(".log"));
        names.count()
    };
    assert!(count(&subject) > 3);
    subject.logs.delete_group(&scope, "g").await.unwrap();
    // A start looks for what is dead; a running server does so every minute.
    let subject = subject.again().await;
    assert_eq!(count(&subject), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_is_in_the_file_within_a_tenth_of_a_second_without_anybody_asking() {
    let subject = Subject::files(LogOptions::default());
    let directory = subject.directory.as_ref().unwrap().path();
    let file = directory.join("00000000000000000001.log");
    let mut took = Vec::new();
    for index in 0..20_u32 {
        let text = format!("REPORT {index:04}");
        let began = std::time::Instant::now();
        subject.push("g", "s", START_MS, &text);
        let there = || {
            let bytes = std::fs::read(&file).unwrap_or_default();
            bytes
                .windows(text.len())
                .any(|window| window == text.as_bytes())
        };
        while !there() {
            assert!(
                began.elapsed() < Duration::from_secs(10),
                "it is never written"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        took.push(began.elapsed());
        // Now and then the writer is at rest when the next line comes.
        if index % 10 == 9 {
            std::thread::sleep(Duration::from_millis(1_200));
        }
    }
    took.sort_unstable();
    println!("median {:?}, slowest {:?}", took[10], took[19]);
    // The machine may be busy with something else now and then, but not most of the time.
    assert!(took[10] < limits::LOG_FLUSH_MAX, "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_that_could_not_be_written_are_counted_and_told_later() {
    let subject = Subject::files(LogOptions::default());
    let scope = Scope::default();
    let directory = subject.directory.as_ref().unwrap().path();
    subject
        .logs
        .create_group(&scope, "g", BTreeMap::new())
        .await
        .unwrap();
    subject
        .logs
        .create_stream(name(&scope, "g", "s"))
        .await
        .unwrap();
    // No file can be made where a directory is.
    let obstacle = directory.join("00000000000000000001.log");
    std::fs::create_dir(&obstacle).unwrap();
    for line in ["one", "two", "three"] {
        subject.push("g", "s", START_MS, line);
    }
    subject.logs.flush().await;
    let events = [(START_MS, "put".to_owned())];
    let put = subject.logs.put(name(&scope, "g", "s"), &events).await;
    assert!(matches!(put, Err(LogError::Failed(_))), "{put:?}");
    std::fs::remove_dir(&obstacle).unwrap();
    subject.push("g", "s", START_MS + 1, "after it");
    let found = subject.texts(query("g")).await;
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("[bootlace] 4 lines (17 bytes) of this stream were lost"));
    assert_eq!(found[1], "after it");
}
