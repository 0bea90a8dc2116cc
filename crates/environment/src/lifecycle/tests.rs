use bootlace_sandbox::End;
use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::failure::AnswerFault;

mod streaming;

const LIMIT: Duration = Duration::from_secs(3);

fn start() -> Instant {
    bootlace_types::clock::now()
}

fn invoke(request_id: RequestId, with_report: bool) -> Event {
    Event::Invoke {
        request_id,
        limit: LIMIT,
        with_report,
    }
}

fn response(id: RequestId) -> Event {
    Event::Response {
        id: Some(id),
        body: Bytes::from_static(b"yes"),
    }
}

fn stream_begins(id: RequestId) -> Event {
    Event::StreamBegins { id: Some(id) }
}

fn sent(bytes: u64) -> Sent {
    let first = start();
    Sent { first, bytes }
}

fn stream_ends(id: RequestId, error: Option<&'static str>) -> Event {
    let answer = Answer {
        payload: Bytes::new(),
        error: error.map(Into::into),
    };
    let sent = sent(3);
    Event::StreamEnds { id, answer, sent }
}

fn stream_breaks(id: RequestId, fault: AnswerFault) -> Event {
    let sent = sent(3);
    Event::StreamBroken { id, fault, sent }
}

/// A machine in one of the states that it can be in, with the id of the invocation it has.
fn machine(state: &str, id: RequestId) -> Lifecycle {
    let mut machine = Lifecycle::new();
    let timed_out = || Event::TimedOut { id };
    let init_error = || Event::InitError {
        error_type: "Runtime.X".into(),
        body: Bytes::new(),
    };
    let path: Vec<Event> = match state {
        "Provisioning" => vec![],
        "Initializing" => vec![Event::Started],
        "Idle" => vec![Event::Started, Event::Next],
        "Running" => vec![Event::Started, Event::Next, invoke(id, false)],
        "Streaming" => vec![
            Event::Started,
            Event::Next,
            invoke(id, false),
            stream_begins(id),
        ],
        "StreamingHeld" => vec![
            Event::Started,
            Event::Next,
            invoke(id, true),
            stream_begins(id),
        ],
        "Answered" => vec![Event::Started, Event::Next, invoke(id, false), response(id)],
        "Held" => vec![Event::Started, Event::Next, invoke(id, true), response(id)],
        "TimedOut" => vec![Event::Started, Event::Next, invoke(id, false), timed_out()],
        "InitError" => vec![Event::Started, init_error()],
        "Ending" => vec![Event::Shutdown],
        "Terminated" => vec![Event::Gone],
        other => panic!("no state {other}"),
    };
    for event in path {
        machine.handle(start(), event);
    }
    machine
}

/// What the machine decided, in one line.
fn summary(actions: &Actions) -> String {
    let mut parts = Vec::new();
    match &actions.verdict {
        Verdict::None => {}
        Verdict::Refused(Refusal::Transition { from, to }) => {
            parts.push(format!("403 {from}>{to}"))
        }
        Verdict::Refused(Refusal::InvalidRequestId) => parts.push("400 id".into()),
        Verdict::Refused(Refusal::InvokeTimeout) => parts.push("410".into()),
        Verdict::Refused(Refusal::Fault(fault)) => parts.push(format!("fault {fault:?}")),
        Verdict::Refused(Refusal::Unusable) => parts.push("500".into()),
        other => parts.push(format!("{other:?}").to_lowercase()),
    }
    if let Some(report) = &actions.report {
        parts.push(match &report.failure {
            None => "report".into(),
            Some(failure) => format!("report {}", failure.report_type()),
        });
    }
    match &actions.notice {
        None => {}
        Some(Notice::Vacant(was)) => parts.push(format!("vacant/{was:?}")),
        Some(Notice::Settling) => parts.push("settling".into()),
        Some(Notice::Lost(was, _)) => parts.push(format!("lost/{was:?}")),
    }
    if let Some(answer) = &actions.answer {
        parts.push(
            if answer.error.is_some() {
                "fails"
            } else {
                "answers"
            }
            .into(),
        );
    }
    if actions.destroy {
        parts.push("destroy".into());
    }
    parts.join(", ")
}

const STATES: [&str; 10] = [
    "Provisioning",
    "Initializing",
    "Idle",
    "Running",
    "Answered",
    "Held",
    "TimedOut",
    "InitError",
    "Ending",
    "Terminated",
];

/// One row per event, one cell per state of `STATES`.
#[track_caller]
fn check(event: impl Fn(RequestId) -> Event, want: [&str; 10]) {
    let id = RequestId::random();
    let got = STATES.map(|state| summary(&machine(state, id).handle(start(), event(id))));
    assert_eq!(got, want.map(str::to_owned), "for {:?}", event(id));
}

#[test]
fn next_in_every_state() {
    check(
        |_| Event::Next,
        [
            "403 Started>Ready",
            "park, vacant/Starting",
            "park",
            "deliver",
            "park, report, vacant/Settling",
            "park, report, vacant/Running, answers",
            "500",
            "403 InitError>Ready",
            "500",
            "500",
        ],
    );
}

#[test]
fn invoke_in_every_state() {
    let refused = "500";
    check(
        |id| invoke(id, false),
        [
            refused, refused, "accepted", refused, refused, refused, refused, refused, refused,
            refused,
        ],
    );
}

#[test]
fn response_in_every_state() {
    check(
        response,
        [
            "400 id",
            "400 id",
            "400 id",
            "accepted, settling, answers",
            "400 id",
            "400 id",
            "410",
            "500",
            "500",
            "500",
        ],
    );
    let foreign = |_| response(RequestId::random());
    check(
        foreign,
        [
            "400 id", "400 id", "400 id", "400 id", "400 id", "400 id", "410", "500", "500", "500",
        ],
    );
    let nobody = |_| Event::Response {
        id: None,
        body: Bytes::new(),
    };
    check(
        nobody,
        [
            "400 id", "400 id", "400 id", "400 id", "400 id", "400 id", "410", "500", "500", "500",
        ],
    );
}

#[test]
fn error_in_every_state() {
    check(
        |id| Event::Error {
            id: Some(id),
            body: Bytes::new(),
        },
        [
            "400 id",
            "400 id",
            "400 id",
            "accepted, settling, fails",
            "400 id",
            "400 id",
            "410",
            "500",
            "500",
            "500",
        ],
    );
}

#[test]
fn a_faulty_answer_in_every_state() {
    check(
        |id| Event::Faulty {
            id: Some(id),
            fault: AnswerFault::TooLarge,
        },
        [
            "400 id",
            "400 id",
            "400 id",
            "fault TooLarge, settling, fails",
            "400 id",
            "400 id",
            "410",
            "500",
            "500",
            "500",
        ],
    );
}

#[test]
fn init_error_in_every_state() {
    check(
        |_| Event::InitError {
            error_type: "Runtime.X".into(),
            body: Bytes::new(),
        },
        [
            "403 Started>InitError",
            "accepted, lost/Starting, destroy",
            "403 Ready>InitError",
            "403 Running>InitError",
            "403 RuntimeResponseSentState>InitError",
            "403 RuntimeResponseSentState>InitError",
            "500",
            "403 InitError>InitError",
            "500",
            "500",
        ],
    );
}

#[test]
fn the_timeout_in_every_state() {
    check(
        |id| Event::TimedOut { id },
        [
            "",
            "",
            "",
            "report Sandbox.Timedout, lost/Running, fails, destroy",
            "report Sandbox.Timedout, lost/Settling, destroy",
            "report Sandbox.Timedout, lost/Running, answers, destroy",
            "",
            "",
            "",
            "",
        ],
    );
    let stale = |_| Event::TimedOut {
        id: RequestId::random(),
    };
    check(stale, [""; 10]);
}

#[test]
fn failure_in_every_state() {
    check(
        |_| Event::Failed(Failure::Exited(End::Exited(1))),
        [
            "lost/Starting, destroy",
            "lost/Starting, destroy",
            "lost/Idle, destroy",
            "report Runtime.ExitError, lost/Running, fails, destroy",
            "report Runtime.ExitError, lost/Settling, destroy",
            "report Runtime.ExitError, lost/Running, answers, destroy",
            "",
            "",
            "",
            "",
        ],
    );
}

#[test]
fn shutdown_in_every_state() {
    check(
        |_| Event::Shutdown,
        [
            "lost/Starting, destroy",
            "lost/Starting, destroy",
            "lost/Idle, destroy",
            "report Runtime.ExitError, lost/Running, fails, destroy",
            "report Runtime.ExitError, lost/Settling, destroy",
            "report Runtime.ExitError, lost/Running, answers, destroy",
            "",
            "",
            "",
            "",
        ],
    );
}

#[test]
fn gone_in_every_state() {
    check(
        |_| Event::Gone,
        [
            "lost/Starting",
            "lost/Starting",
            "lost/Idle",
            "report Runtime.ExitError, lost/Running, fails",
            "report Runtime.ExitError, lost/Settling",
            "report Runtime.ExitError, lost/Running, answers",
            "",
            "",
            "",
            "",
        ],
    );
}

#[test]
fn started_in_every_state() {
    check(|_| Event::Started, [""; 10]);
    let mut machine = Lifecycle::new();
    machine.handle(start(), Event::Started);
    assert!(matches!(machine.state(), State::Initializing { .. }));
}

#[test]
fn initialization_is_measured_once_and_a_timeout_lasts_its_limit() {
    let begin = start();
    let after = |ms: u64| begin + Duration::from_millis(ms);
    let (first, second) = (RequestId::random(), RequestId::random());
    let mut machine = Lifecycle::new();
    machine.handle(begin, Event::Started);
    machine.handle(after(100), Event::Next);
    machine.handle(after(200), invoke(first, false));
    machine.handle(after(205), response(first));
    let report = machine
        .handle(after(210), Event::Next)
        .report
        .expect("a report");
    let init = Some(Duration::from_millis(100));
    assert_eq!(
        (report.duration, report.init),
        (Duration::from_millis(10), init)
    );
    machine.handle(after(300), invoke(second, false));
    assert_eq!(machine.overdue(after(3_299)), None);
    assert_eq!(machine.overdue(after(3_300)), Some(second));
    let report = machine
        .handle(after(3_350), Event::TimedOut { id: second })
        .report;
    let report = report.expect("a report");
    assert_eq!((report.duration, report.init), (LIMIT, None));
}

#[derive(Debug, Clone)]
enum Step {
    Started,
    Invoke { with_report: bool },
    Next,
    Response { current: bool },
    Error { current: bool },
    Faulty { current: bool },
    StreamBegins { current: bool },
    StreamEnds { current: bool },
    StreamBroken { current: bool },
    InitError,
    TimedOut { current: bool },
    Failed,
    Shutdown,
    Gone,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Started),
        8 => any::<bool>().prop_map(|with_report| Step::Invoke { with_report }),
        12 => Just(Step::Next),
        8 => any::<bool>().prop_map(|current| Step::Response { current }),
        2 => any::<bool>().prop_map(|current| Step::Error { current }),
        2 => any::<bool>().prop_map(|current| Step::Faulty { current }),
        6 => any::<bool>().prop_map(|current| Step::StreamBegins { current }),
        6 => any::<bool>().prop_map(|current| Step::StreamEnds { current }),
        1 => any::<bool>().prop_map(|current| Step::StreamBroken { current }),
        1 => Just(Step::InitError),
        1 => any::<bool>().prop_map(|current| Step::TimedOut { current }),
        1 => Just(Step::Failed),
        1 => Just(Step::Shutdown),
        1 => Just(Step::Gone),
    ];
    proptest::collection::vec(step, 0..80)
}

proptest! {
    /// Whatever happens in whatever order: each accepted invocation is answered at most once and
    /// reported at most once, both before another begins; after an end nothing happens any more;
    /// vacant and lost alternate as an owner needs it.
    #[test]
    fn any_sequence_keeps_the_promises(steps in steps()) {
        let mut machine = Lifecycle::new();
        let mut now = start();
        let mut current = RequestId::random();
        let (mut answers, mut reports, mut open) = (0, 0, false);
        let (mut vacant, mut lost, mut destroyed) = (false, false, false);
        for step in steps {
            now += Duration::from_millis(7);
            let id = |is_current| Some(if is_current { current } else { RequestId::random() });
            let body = Bytes::new;
            let asked = RequestId::random();
            let event = match step {
                Step::Started => Event::Started,
                Step::Invoke { with_report } => invoke(asked, with_report),
                Step::Next => Event::Next,
                Step::Response { current } => Event::Response { id: id(current), body: body() },
                Step::Error { current } => Event::Error { id: id(current), body: body() },
                Step::Faulty { current } => {
                    Event::Faulty { id: id(current), fault: AnswerFault::Mode }
                }
                Step::StreamBegins { current } => Event::StreamBegins { id: id(current) },
                Step::StreamEnds { current } => stream_ends(id(current).unwrap_or(asked), None),
                Step::StreamBroken { current } => {
                    stream_breaks(id(current).unwrap_or(asked), AnswerFault::Truncated)
                }
                Step::InitError => Event::InitError { error_type: "x".into(), body: body() },
                Step::TimedOut { current: is } => {
                    Event::TimedOut { id: if is { current } else { RequestId::random() } }
                }
                Step::Failed => Event::Failed(Failure::OutOfMemory),
                Step::Shutdown => Event::Shutdown,
                Step::Gone => Event::Gone,
            };
            let invoked = matches!(step, Step::Invoke { .. });
            let actions = machine.handle(now, event);
            if invoked && actions.verdict == Verdict::Accepted {
                prop_assert!(vacant && !lost, "only vacant environments are invoked");
                prop_assert!(!open, "one invocation at a time");
                (vacant, open, answers, reports, current) = (false, true, 0, 0, asked);
            }
            answers += u32::from(actions.answer.is_some());
            reports += u32::from(actions.report.is_some());
            prop_assert!(answers <= 1 && reports <= 1);
            if actions.report.is_some() {
                prop_assert!(open && answers == 1, "over means answered");
                open = false;
            }
            match actions.notice {
                Some(Notice::Vacant(_)) => {
                    prop_assert!(!vacant && !lost);
                    vacant = true;
                }
                Some(Notice::Lost(was, _)) => {
                    prop_assert!(!lost, "lost once");
                    prop_assert_eq!(was == Was::Idle, vacant);
                    (lost, vacant) = (true, false);
                }
                Some(Notice::Settling) => prop_assert!(open && answers == 1),
                None => {}
            }
            if actions.destroy {
                prop_assert!(lost && !destroyed);
                destroyed = true;
            }
            if lost {
                prop_assert!(!open);
            }
        }
    }
}
