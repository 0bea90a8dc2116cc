//! Every event in every state. What the machine says is in `table.txt`, which is reviewed by eye
//! against AWS's rules; `BLESS=1` writes it anew.

use std::fmt::Write as _;

use super::*;

const STATES: [&str; 23] = [
    "Provisioning",
    "Launching",
    "Launched",
    "Initializing",
    "Registered",
    "Waiting",
    "Idle",
    "Together",
    "Running",
    "Streaming",
    "Answered",
    "Held",
    "Shared",
    "Overhead",
    "Faulty",
    "Cold",
    "Suppressed",
    "TimedOut",
    "InitError",
    "Farewell",
    "ForGood",
    "Destroyed",
    "Terminated",
];

type Make = Box<dyn Fn(RequestId) -> Event>;

fn events() -> Vec<(&'static str, Make)> {
    use Event as E;
    fn row(
        name: &'static str,
        make: impl Fn(RequestId) -> Event + 'static,
    ) -> (&'static str, Make) {
        (name, Box::new(make))
    }
    let other = RequestId::random;
    vec![
        row("Provisioned", |_| E::Provisioned),
        row("Launched", |_| launched(&["out"])),
        row("Launched eleven", |_| launched(&["x"; 11])),
        row("RuntimeStarted", |_| E::RuntimeStarted),
        row("Invoke", |_| invoke(RequestId::random(), false)),
        row("Next", |_| E::Next),
        row("Response", response),
        row("Response to another", move |_| response(other())),
        row("Response to nobody", |_| E::Response {
            id: None,
            body: Bytes::new(),
        }),
        row("Error", |id| E::Error {
            id: Some(id),
            error_type: "Runtime.Unknown".into(),
            body: Bytes::new(),
        }),
        row("Faulty", |id| E::Faulty {
            id: Some(id),
            fault: AnswerFault::TooLarge,
        }),
        row("StreamBegins", stream_begins),
        row("StreamEnds", |id| stream_ends(id, None)),
        row("StreamEnds with an error", |id| stream_ends(id, Some("E"))),
        row("StreamBroken", |id| E::StreamBroken {
            id,
            fault: AnswerFault::Truncated,
            sent: Sent {
                first: start(),
                bytes: 3,
            },
        }),
        row("InitError", |_| init_error()),
        row("Register out", |_| {
            register("out", &["INVOKE", "SHUTDOWN"], OUT)
        }),
        row("Register new", |_| {
            register("new", &["INVOKE"], Uuid::max())
        }),
        row("Register in again", |_| register("in", &[], Uuid::max())),
        row("Register new for SHUTDOWN", |_| {
            register("new", &["INVOKE", "SHUTDOWN"], Uuid::max())
        }),
        row("Register out for nonsense", |_| {
            register("out", &["X"], OUT)
        }),
        row("ExtensionNext out", |_| E::ExtensionNext { id: OUT }),
        row("ExtensionNext in", |_| E::ExtensionNext { id: IN }),
        row("ExtensionNext unknown", |_| E::ExtensionNext {
            id: Uuid::max(),
        }),
        row("ExtensionFails init out", |_| {
            extension_fails(OUT, ExtensionFault::Init)
        }),
        row("ExtensionFails exit out", |_| {
            extension_fails(OUT, ExtensionFault::Exit)
        }),
        row("ExtensionFails unknown", |_| {
            extension_fails(Uuid::max(), ExtensionFault::Exit)
        }),
        row("TimedOut", |id| E::TimedOut { id }),
        row("TimedOut of another", move |_| E::TimedOut { id: other() }),
        row("Tick", |_| E::Tick),
        row("Failed: the runtime exits", |_| exits()),
        row("Failed: an extension exits", |_| crashes()),
        row("Failed: the sandbox breaks", |_| breaks()),
        row("Farewell", |_| E::Farewell { deadline_ms: 7 }),
        row("Stopped", |_| E::Stopped),
        row("Shutdown", |_| E::Shutdown),
        row("Gone", |_| E::Gone),
    ]
}

#[test]
fn every_event_in_every_state() {
    let mut table = String::new();
    for (name, event) in events() {
        let _ = writeln!(table, "{name}");
        for state in STATES {
            let id = RequestId::random();
            let said = summary(&machine(state, id).handle(start(), event(id)));
            let _ = writeln!(table, "{}", format!("    {state:<13}{said}").trim_end());
        }
    }
    if std::env::var_os("BLESS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/lifecycle/tests/table.txt");
        std::fs::write(path, &table).unwrap();
    }
    let want = include_str!("table.txt");
    for (got, want) in table.lines().zip(want.lines()) {
        assert_eq!(got, want);
    }
    assert_eq!(table.lines().count(), want.lines().count());
}

/// What the task has to do in each state.
#[test]
fn the_order_in_every_state() {
    for state in STATES {
        let order = machine(state, RequestId::random()).order();
        let want = match state {
            "Launching" => "Launch",
            "TimedOut" | "InitError" | "Farewell" | "ForGood" => "Stop",
            "Destroyed" | "Terminated" => "End",
            _ => "Wait",
        };
        assert_eq!(first_word(&order), want, "{state}");
    }
    let mut cold = machine("Cold", RequestId::random());
    cold.handle(start(), invoke(RequestId::random(), false));
    assert_eq!(cold.order(), Order::Launch);
    cold.handle(start(), launched(&[]));
    assert_eq!(cold.order(), Order::StartRuntime);
}
