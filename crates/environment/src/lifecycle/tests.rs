use bootlace_sandbox::End;
use bytes::Bytes;
use uuid::Uuid;

use super::*;
use crate::failure::AnswerFault;

mod sequences;
mod table;
mod times;

const LIMIT: Duration = Duration::from_secs(3);
const INIT_LIMIT: Duration = Duration::from_secs(10);
/// The identifiers of an external and an internal extension.
const OUT: Uuid = Uuid::from_u128(1);
const IN: Uuid = Uuid::from_u128(2);

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

fn stream_ends(id: RequestId, error: Option<&'static str>) -> Event {
    let answer = Answer {
        payload: Bytes::new(),
        error: error.map(Into::into),
    };
    let sent = Sent {
        first: start(),
        bytes: 3,
    };
    Event::StreamEnds { id, answer, sent }
}

fn launched(names: &[&str]) -> Event {
    Event::Launched {
        external: names.iter().map(|name| (*name).into()).collect(),
    }
}

fn register(name: &str, events: &[&str], id: Uuid) -> Event {
    Event::Register {
        name: name.into(),
        events: events.iter().map(|event| (*event).into()).collect(),
        id,
    }
}

fn init_error() -> Event {
    Event::InitError {
        error_type: "Runtime.X".into(),
        body: Bytes::new(),
    }
}

fn extension_fails(id: Uuid, fault: ExtensionFault) -> Event {
    Event::ExtensionFails {
        id,
        fault,
        reported: "Extension.Reported".into(),
    }
}

fn exits() -> Event {
    Event::Failed(Failure::Exited(End::Exited(1)))
}

fn crashes() -> Event {
    Event::Failed(Failure::extension(ExtensionFault::Crash, "exit status 1"))
}

fn breaks() -> Event {
    Event::Failed(Failure::Platform {
        context: "x".into(),
    })
}

/// The events that bring a new machine into a state.
fn path(state: &str, id: RequestId) -> Vec<Event> {
    use Event as E;
    let mut path = match state {
        "Provisioning" | "Destroyed" => vec![],
        "Launching" => vec![E::Provisioned],
        "Launched" => vec![E::Provisioned, launched(&["out"])],
        "Initializing" => vec![E::Provisioned, launched(&[]), E::RuntimeStarted],
        "Idle" => [path("Initializing", id), vec![E::Next]].concat_events(),
        "Running" => [path("Idle", id), vec![invoke(id, false)]].concat_events(),
        "Streaming" => [path("Running", id), vec![stream_begins(id)]].concat_events(),
        "Answered" => [path("Running", id), vec![response(id)]].concat_events(),
        "Held" => [path("Idle", id), vec![invoke(id, true), response(id)]].concat_events(),
        // A runtime, an external extension for both events, and an internal one.
        "Registered" => vec![
            E::Provisioned,
            launched(&["out"]),
            register("out", &["INVOKE", "SHUTDOWN"], OUT),
            E::RuntimeStarted,
            register("in", &["INVOKE"], IN),
        ],
        "Waiting" => [path("Registered", id), vec![E::Next]].concat_events(),
        "Together" => {
            let ready = [OUT, IN].map(|id| E::ExtensionNext { id });
            [path("Waiting", id), ready.into()].concat_events()
        }
        "Shared" => [path("Together", id), vec![invoke(id, false)]].concat_events(),
        "Overhead" => [path("Shared", id), vec![response(id), E::Next]].concat_events(),
        "Faulty" => {
            let fails = extension_fails(OUT, ExtensionFault::Exit);
            [path("Shared", id), vec![fails]].concat_events()
        }
        "TimedOut" => [path("Running", id), vec![E::TimedOut { id }]].concat_events(),
        "InitError" => [path("Initializing", id), vec![init_error()]].concat_events(),
        "Farewell" => {
            let leave = vec![exits(), E::Farewell { deadline_ms: 7 }];
            [path("Together", id), leave].concat_events()
        }
        "Cold" => [path("TimedOut", id), vec![E::Stopped]].concat_events(),
        "Suppressed" => {
            let again = vec![invoke(id, false), launched(&[]), E::RuntimeStarted];
            [path("Cold", id), again].concat_events()
        }
        "ForGood" => [path("Idle", id), vec![E::Shutdown]].concat_events(),
        "Ending" => vec![E::Shutdown],
        "Terminated" => vec![E::Gone],
        other => panic!("no state {other}"),
    };
    if state == "Destroyed" {
        path = [super::tests::path("ForGood", id), vec![E::Stopped]].concat_events();
    }
    path
}

trait ConcatEvents {
    fn concat_events(self) -> Vec<Event>;
}

impl ConcatEvents for [Vec<Event>; 2] {
    fn concat_events(self) -> Vec<Event> {
        self.into_iter().flatten().collect()
    }
}

/// A machine in one of the states that it can be in, with the id of the invocation it has.
fn machine(state: &str, id: RequestId) -> Lifecycle {
    let mut machine = Lifecycle::new(INIT_LIMIT);
    for event in path(state, id) {
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
            parts.push(format!("403 {from}>{to}"));
        }
        Verdict::Refused(Refusal::InvalidRequestId) => parts.push("400 id".into()),
        Verdict::Refused(Refusal::InvokeTimeout) => parts.push("410".into()),
        Verdict::Refused(Refusal::Fault(fault)) => parts.push(format!("fault {fault:?}")),
        Verdict::Refused(Refusal::Extension(why)) => parts.push(match why {
            ExtensionRefusal::Transition { from, to, .. } => format!("403 {from}>{to}"),
            ExtensionRefusal::InvalidEventType { event, reason } => {
                format!("403 {event}: {reason}")
            }
            other => format!("403 {}", first_word(other)),
        }),
        Verdict::Refused(Refusal::Unusable) => parts.push("500".into()),
        other => parts.push(first_word(other).to_lowercase()),
    }
    let outcome = |failure: &Option<Failure>| {
        let failure = failure.as_ref();
        failure.map_or("ok".to_owned(), |failure| failure.report_type().to_owned())
    };
    if let Some(init) = &actions.init {
        parts.push(format!("init/{:?} {}", init.phase, outcome(&init.failure)));
    }
    if actions.begin.is_some() {
        parts.push("START".into());
    }
    match &actions.deliver {
        None => {}
        Some(Deliver::Invocation { extensions }) => parts.push(format!("event {extensions:?}")),
        Some(Deliver::Shutdown {
            extensions, reason, ..
        }) => {
            parts.push(format!("{} {extensions:?}", reason.as_str()));
        }
    }
    if let Some(done) = &actions.runtime_done {
        parts.push(format!("done {}", outcome(&done.failure)));
    }
    if let Some(report) = &actions.report {
        parts.push(format!("REPORT {}", outcome(&report.failure)));
    }
    match &actions.notice {
        None => {}
        Some(Notice::Vacant(was)) => parts.push(format!("vacant/{was:?}")),
        Some(Notice::Cold(was)) => parts.push(format!("cold/{was:?}")),
        Some(Notice::Settling(was)) => parts.push(format!("settling/{was:?}")),
        Some(Notice::Lost(was, _)) => parts.push(format!("lost/{was:?}")),
    }
    match actions.answer.as_ref().map(|answer| answer.error.is_some()) {
        None => {}
        Some(true) => parts.push("fails".into()),
        Some(false) => parts.push("answers".into()),
    }
    if actions.wake {
        parts.push("wake".into());
    }
    parts.join(", ")
}

fn first_word(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    let end = text.find(|c: char| !c.is_alphanumeric());
    text[..end.unwrap_or(text.len())].to_owned()
}
