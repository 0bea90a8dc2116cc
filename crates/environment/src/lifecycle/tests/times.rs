//! What is measured, and what time brings.

use super::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A machine that has handled these events at these milliseconds.
fn timed(begin: Instant, events: Vec<(u64, Event)>) -> Lifecycle {
    let mut machine = Lifecycle::new(INIT_LIMIT);
    for (at, event) in events {
        machine.handle(begin + ms(at), event);
    }
    machine
}

fn idle_at(at: u64) -> Vec<(u64, Event)> {
    vec![
        (0, Event::Provisioned),
        (0, launched(&[])),
        (0, Event::RuntimeStarted),
        (at, Event::Next),
    ]
}

#[test]
fn initialization_is_measured_once_and_a_timeout_lasts_its_limit() {
    let begin = start();
    let (first, second) = (RequestId::random(), RequestId::random());
    let mut machine = timed(begin, idle_at(100));
    machine.handle(begin + ms(200), invoke(first, false));
    machine.handle(begin + ms(205), response(first));
    let report = machine.handle(begin + ms(210), Event::Next).report;
    let report = report.expect("a report");
    assert_eq!((report.duration, report.init), (ms(10), Some(ms(100))));
    machine.handle(begin + ms(300), invoke(second, false));
    assert_eq!(machine.overdue(begin + ms(3_299)), None);
    assert_eq!(machine.overdue(begin + ms(3_300)), Some(second));
    let report = machine
        .handle(begin + ms(3_350), Event::TimedOut { id: second })
        .report;
    let report = report.expect("a report");
    assert_eq!((report.duration, report.init), (LIMIT, None));
}

#[test]
fn what_an_answer_took_is_measured() {
    let begin = start();
    let (whole, streamed) = (RequestId::random(), RequestId::random());
    let mut machine = timed(begin, idle_at(0));
    machine.handle(begin, invoke(whole, false));
    machine.handle(begin + ms(5), response(whole));
    let actions = machine.handle(begin + ms(10), Event::Next);
    let want = |latency, duration, bytes| {
        Some(words::Produced {
            latency: ms(latency),
            duration: ms(duration),
            bytes,
        })
    };
    assert_eq!(actions.report.unwrap().produced, want(5, 0, 3));
    let done = actions.runtime_done.unwrap();
    assert_eq!((done.duration, done.overhead), (ms(10), Some(ms(5))));
    machine.handle(begin + ms(100), invoke(streamed, false));
    machine.handle(begin + ms(102), stream_begins(streamed));
    let ends = Event::StreamEnds {
        id: streamed,
        answer: Answer {
            payload: Bytes::new(),
            error: None,
        },
        sent: Sent {
            first: begin + ms(107),
            bytes: 9,
        },
    };
    machine.handle(begin + ms(150), ends);
    let report = machine.handle(begin + ms(160), Event::Next).report;
    assert_eq!(report.unwrap().produced, want(7, 43, 9));
}

#[test]
fn a_streamed_answer_that_ended_is_an_answer() {
    let id = RequestId::random();
    let mut machine = machine("Idle", id);
    machine.handle(start(), invoke(id, true));
    machine.handle(start(), stream_begins(id));
    machine.handle(start(), stream_ends(id, Some("Error")));
    let actions = machine.handle(start(), stream_ends(id, None));
    assert_eq!(summary(&actions), "400 id", "it ends once");
    let actions = machine.handle(start(), Event::Next);
    assert_eq!(
        summary(&actions),
        "park, done ok, REPORT ok, vacant/Running, fails"
    );
    assert_eq!(actions.answer.unwrap().error.as_deref(), Some("Error"));
}

#[test]
fn the_overhead_of_extensions_is_from_the_runtimes_return_to_the_last_ones() {
    let begin = start();
    let id = RequestId::random();
    let mut machine = machine("Together", id);
    machine.handle(begin, invoke(id, false));
    machine.handle(begin + ms(5), response(id));
    machine.handle(begin + ms(6), Event::ExtensionNext { id: IN });
    let actions = machine.handle(begin + ms(10), Event::Next);
    assert_eq!(summary(&actions), "park, done ok");
    assert_eq!(summary(&machine.handle(begin, Event::Next)), "park");
    let report = machine
        .handle(begin + ms(35), Event::ExtensionNext { id: OUT })
        .report;
    let report = report.unwrap();
    assert_eq!(
        (report.duration, report.extension_overhead),
        (ms(35), Some(ms(25)))
    );
}

#[test]
fn initialization_has_a_limit_only_while_nobody_waits() {
    let begin = start();
    let id = RequestId::random();
    let mut machine = timed(begin, vec![(0, Event::Provisioned)]);
    assert_eq!(machine.deadline(), Some(begin + INIT_LIMIT));
    let early = machine.handle(begin + INIT_LIMIT - ms(1), Event::Tick);
    assert_eq!(summary(&early), "");
    let late = machine.handle(begin + INIT_LIMIT, Event::Tick);
    assert_eq!(summary(&late), "init/Init Sandbox.Timedout, wake");
    assert_eq!(machine.deadline(), None);
    let stopped = machine.handle(begin, Event::Stopped);
    assert_eq!(summary(&stopped), "cold/Starting");
    machine.handle(begin, invoke(id, false));
    assert_eq!(machine.deadline(), None);
}

#[test]
fn under_an_invocation_initialization_counts_as_its_duration() {
    let begin = start();
    let id = RequestId::random();
    let mut machine = machine("Cold", id);
    machine.handle(begin, invoke(id, false));
    machine.handle(begin, launched(&[]));
    machine.handle(begin, Event::RuntimeStarted);
    let actions = machine.handle(begin + ms(50), Event::Next);
    assert_eq!(summary(&actions), "park, init/Invoke ok, START, event []");
    machine.handle(begin + ms(60), response(id));
    let report = machine.handle(begin + ms(61), Event::Next).report.unwrap();
    assert_eq!((report.duration, report.init), (ms(61), None));
    assert_eq!(report.produced.unwrap().latency, ms(10));
}

#[test]
fn an_extension_that_reported_a_fault_fails_by_its_end_or_after_a_while() {
    let begin = start();
    let grace = limits::PARTY_ERROR_GRACE;
    let faulty = |fault| {
        let mut machine = machine("Shared", RequestId::random());
        machine.handle(begin, extension_fails(OUT, fault));
        machine
    };
    let told = |actions: Actions| {
        let failure = actions.report.unwrap().failure.unwrap();
        (failure.report_type().to_owned(), failure.to_string())
    };
    let mut ended = faulty(ExtensionFault::Exit);
    assert_eq!(ended.deadline(), Some(begin + grace));
    assert_eq!(
        told(ended.handle(begin, crashes())),
        ("Extension.ExitError".into(), "exit status 1".into())
    );
    let mut silent = faulty(ExtensionFault::Exit);
    assert_eq!(
        told(silent.handle(begin + grace, Event::Tick)),
        ("Extension.ExitError".into(), "Extension.Reported".into())
    );
    let mut registered = machine("Registered", RequestId::random());
    registered.handle(begin, extension_fails(OUT, ExtensionFault::Init));
    let init = registered.handle(begin, crashes()).init.unwrap();
    let failure = init.failure.unwrap();
    assert_eq!(failure.report_type(), "Extension.InitError");
}

#[test]
fn the_end_takes_as_long_as_who_registered_may_need() {
    let how = |state: &str| match machine(state, RequestId::random()).order() {
        Order::Stop(how) => how,
        other => panic!("{state}: {other:?}"),
    };
    let alone = how("TimedOut");
    assert_eq!((alone.budget, alone.runtime_ends), (Duration::ZERO, false));
    assert!(how("InitError").runtime_ends);
    let all = how("Farewell");
    assert_eq!((all.budget, all.for_good), (ms(2_000), false));
    assert_eq!(all.waits_for, ["out".into()]);
    assert!(how("ForGood").for_good);
    let mut internal = machine("Initializing", RequestId::random());
    internal.handle(start(), register("in", &["INVOKE"], IN));
    internal.handle(start(), exits());
    let Order::Stop(internal) = internal.order() else {
        panic!("not stopping");
    };
    assert_eq!((internal.budget, internal.waits_for), (ms(500), vec![]));
    let mut silent = machine("Launched", RequestId::random());
    silent.handle(start(), exits());
    assert!(matches!(silent.order(), Order::Stop(how) if how.budget.is_zero()));
}

#[test]
fn there_are_at_most_ten_extensions() {
    let mut machine = machine("Registered", RequestId::random());
    for number in 3..=10_u128 {
        let one = register(&format!("in{number}"), &[], Uuid::from_u128(number));
        assert_eq!(summary(&machine.handle(start(), one)), "registered, wake");
    }
    let one_more = register("more", &[], Uuid::max());
    assert_eq!(summary(&machine.handle(start(), one_more)), "403 TooMany");
}
