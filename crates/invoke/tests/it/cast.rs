//! Several scripted processes in one environment: a runtime and extensions, each known by the name
//! of its program, and a journal of who did what in which order.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bootlace_invoke::DispatcherOptions;
use bootlace_sandbox::{Driver, ExitStatus, FakeDriver, FakeGuest};
use bootlace_testkit::guest::{Action, Guest, Transcript};
use tokio::sync::watch;

use crate::world::{World, text};

/// What one program does, start after start; the last script goes on for ever.
#[derive(Clone)]
pub(crate) struct Role {
    pub(crate) name: &'static str,
    pub(crate) scripts: Vec<Guest>,
    /// Whether it goes on when it is asked to end.
    pub(crate) stubborn: bool,
}

impl Role {
    pub(crate) fn new(name: &'static str, scripts: Vec<Guest>) -> Self {
        Self {
            name,
            scripts,
            stubborn: false,
        }
    }

    pub(crate) fn stubborn(mut self) -> Self {
        self.stubborn = true;
        self
    }
}

#[derive(Clone, Default)]
pub(crate) struct Journal {
    lines: Arc<Mutex<Vec<String>>>,
    changed: Arc<watch::Sender<usize>>,
    pub(crate) environments: Arc<Mutex<HashMap<String, HashMap<String, String>>>>,
}

impl Journal {
    pub(crate) fn all(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Waits until there are so many lines.
    pub(crate) async fn at_least(&self, count: usize) -> Vec<String> {
        let mut changed = self.changed.subscribe();
        let enough = changed.wait_for(|lines| *lines >= count);
        let waited = tokio::time::timeout(Duration::from_secs(10), enough).await;
        assert!(waited.is_ok(), "only {:?}", self.all());
        self.all()
    }

    fn write(&self, line: String) {
        let mut lines = self.lines.lock().unwrap();
        lines.push(line);
        self.changed.send_replace(lines.len());
    }
}

/// Writes how a process ended, if nobody let it say so itself.
struct Killed(Journal, String, bool);

impl Drop for Killed {
    fn drop(&mut self) {
        if !self.2 {
            self.0.write(format!("kill {}", self.1));
        }
    }
}

/// A world in which each program plays its role.
pub(crate) async fn world(options: DispatcherOptions, roles: Vec<Role>) -> (World, Journal) {
    let journal = Journal::default();
    let into = journal.clone();
    let started: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
    let driver = FakeDriver::new(move |fake| {
        let name = fake.program.file_name().unwrap().to_string_lossy();
        let name = name.into_owned();
        let role = roles.iter().find(|role| role.name == name);
        let role = role
            .unwrap_or_else(|| panic!("nobody plays {name}"))
            .clone();
        let round = {
            let mut started = started.lock().unwrap();
            let round = started.entry(name.clone()).or_default();
            *round += 1;
            *round - 1
        };
        let guest = role.scripts[round.min(role.scripts.len() - 1)].clone();
        into.write(format!("start {name}"));
        into.environments
            .lock()
            .unwrap()
            .insert(name.clone(), fake.env.clone());
        play(fake, guest, role.stubborn, into.clone(), name)
    });
    let world = World::driven(options, Driver::Fake(driver), Arc::default()).await;
    (world, journal)
}

async fn play(
    fake: FakeGuest,
    guest: Guest,
    stubborn: bool,
    journal: Journal,
    name: String,
) -> ExitStatus {
    let mut guard = Killed(journal.clone(), name.clone(), false);
    let mut terminated = fake.terminated.clone();
    let run = guest.run(fake.address, fake.output);
    tokio::pin!(run);
    let asked = async {
        // The sender lives as long as the process.
        let _ = terminated.wait_for(|asked| *asked).await;
        journal.write(format!("term {name}"));
        if stubborn {
            std::future::pending::<()>().await;
        }
    };
    let status = tokio::select! {
        code = run => ExitStatus::exited(code),
        () = asked => ExitStatus::signaled(15),
    };
    guard.2 = true;
    if status.end != bootlace_sandbox::End::Signaled(15) {
        journal.write(format!("exit {name}"));
    }
    status
}

/// What an extension was told, one word per event.
pub(crate) fn events(transcript: &Transcript) -> Vec<String> {
    let seen = transcript.all().into_iter();
    let events = seen.filter(|seen| seen.call.ends_with("/event/next"));
    events
        .map(|seen| {
            let event: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
            match event["eventType"].as_str() {
                Some("SHUTDOWN") => event["shutdownReason"].as_str().unwrap().to_owned(),
                Some(other) => other.to_owned(),
                None => seen.text(),
            }
        })
        .collect()
}

pub(crate) const BOTH: &str = r#"["INVOKE","SHUTDOWN"]"#;

pub(crate) fn echo() -> Role {
    Role::new("bootstrap", vec![Guest::echo()])
}

/// Registers and then does nothing but ask for events.
pub(crate) fn listens(name: &'static str, registers_for: &'static str) -> Guest {
    Guest::new(vec![
        Action::Register(name.into(), registers_for),
        Action::Loop(vec![Action::EventNext]),
    ])
}

/// The same, and ends when it is told so after `rounds` invocations.
pub(crate) fn follows(name: &'static str, rounds: usize) -> Guest {
    let mut actions = vec![Action::Register(name.into(), BOTH)];
    actions.extend(vec![Action::EventNext; rounds + 1]);
    Guest::new(actions)
}

pub(crate) async fn answers(world: &World, payload: &str) {
    let answer = world.invoke("f", payload).await.expect("an answer");
    assert_eq!(text(&answer), payload);
}
