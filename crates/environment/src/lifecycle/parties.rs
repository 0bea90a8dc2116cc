//! Who takes part in an environment: the runtime and the extensions, and where each of them stands.
//!
//! The names of the states are those of AWS's platform, because its error texts contain them.

use std::time::Instant;

use bootlace_types::limits;
use uuid::Uuid;

use super::words::{ExtensionRefusal, Refusal, Verdict};
use crate::failure::{ExtensionFault, Failure};

/// What an extension can register for.
pub(crate) const INVOKE: &str = "INVOKE";
pub(crate) const SHUTDOWN: &str = "SHUTDOWN";

/// All processes that AWS's APIs know, from one start to the next.
#[derive(Debug, Default)]
pub(crate) struct Parties {
    pub(super) runtime: Runtime,
    pub(super) extensions: Vec<Extension>,
    /// Nobody new may register.
    pub(super) closed: bool,
    /// An extension said that it cannot go on: which fault that is, in its words, and since when.
    pub(super) fault: Option<(ExtensionFault, Box<str>, Instant)>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Runtime {
    /// Its process does not run yet.
    #[default]
    Absent,
    Started,
    /// Parked on `next`.
    Ready,
    /// It has an event.
    Running,
}

/// An extension as the log describes it.
#[derive(Debug)]
pub(crate) struct Party {
    pub(crate) name: Box<str>,
    pub(crate) state: &'static str,
    pub(crate) events: Vec<&'static str>,
    pub(crate) error_type: Option<Box<str>>,
}

/// One extension.
#[derive(Debug)]
pub(crate) struct Extension {
    pub(crate) id: Uuid,
    pub(crate) name: Box<str>,
    /// A process of its own; else it lives in the runtime's.
    pub(crate) external: bool,
    pub(crate) invoke: bool,
    pub(crate) shutdown: bool,
    pub(super) state: ExtensionState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExtensionState {
    /// Its process runs and has not registered.
    Started,
    Registered,
    /// Parked on `event/next`.
    Ready,
    /// It has an event.
    Running,
    InitError,
    ExitError,
}

impl ExtensionState {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Started => "Started",
            Self::Registered => "Registered",
            Self::Ready => "Ready",
            Self::Running => "Running",
            Self::InitError => "InitError",
            Self::ExitError => "ExitError",
        }
    }
}

impl Parties {
    /// The processes of external extensions are about to start.
    pub(super) fn launch(&mut self, names: Vec<Box<str>>) {
        self.extensions = names
            .into_iter()
            .map(|name| Extension::new(name, true))
            .collect();
    }

    pub(super) fn all_external_registered(&self) -> bool {
        let mut external = self.extensions.iter().filter(|one| one.external);
        external.all(|one| one.state != ExtensionState::Started)
    }

    /// Whether everybody is parked, so that initialization is over.
    pub(super) fn all_ready(&self) -> bool {
        let mut extensions = self.extensions.iter();
        self.runtime == Runtime::Ready && extensions.all(|one| one.state == ExtensionState::Ready)
    }

    /// Whether everybody who had the event is parked again.
    pub(super) fn all_back(&self) -> bool {
        let mut invoked = self.extensions.iter().filter(|one| one.invoke);
        self.runtime == Runtime::Ready && invoked.all(|one| one.state == ExtensionState::Ready)
    }

    pub(super) fn any_for_invoke(&self) -> bool {
        self.extensions.iter().any(|one| one.invoke)
    }

    /// The runtime and those who registered for it get an event; gives the places of the latter.
    pub(super) fn invoke(&mut self) -> Vec<usize> {
        self.runtime = Runtime::Running;
        self.release(|one| one.invoke)
    }

    /// Those who registered for it hear of the end; gives their places.
    pub(super) fn farewell(&mut self) -> Vec<usize> {
        self.release(|one| one.shutdown)
    }

    fn release(&mut self, wants: impl Fn(&Extension) -> bool) -> Vec<usize> {
        let extensions = self.extensions.iter_mut().enumerate();
        let those = extensions.filter(|(_, one)| wants(one));
        those
            .map(|(place, one)| {
                one.state = ExtensionState::Running;
                place
            })
            .collect()
    }

    /// Answers a registration. `id` is what a newcomer will be called.
    pub(super) fn register(&mut self, name: &str, events: &[Box<str>], id: Uuid) -> Verdict {
        let known = self.extensions.iter().position(|one| &*one.name == name);
        let external = known.is_some_and(|place| self.extensions[place].external);
        for event in events {
            let reason = match &**event {
                INVOKE => continue,
                SHUTDOWN if external => continue,
                SHUTDOWN => "ShutdownEventNotSupportedForInternalExtension",
                _ => "ErrorInvalidEventType",
            };
            let event = event.clone();
            return refuse(ExtensionRefusal::InvalidEventType { event, reason });
        }
        let place = match known {
            Some(place) if external => {
                let state = self.extensions[place].state;
                if state != ExtensionState::Started {
                    return refuse(ExtensionRefusal::Transition {
                        from: state.name(),
                        to: "Registered",
                        who: name.into(),
                    });
                }
                place
            }
            _ if self.closed => return refuse(ExtensionRefusal::RegistrationClosed),
            _ if self.extensions.len() >= limits::EXTENSIONS => {
                return refuse(ExtensionRefusal::TooMany);
            }
            Some(_) => return refuse(ExtensionRefusal::NameTaken),
            None => {
                self.extensions.push(Extension::new(name.into(), false));
                self.extensions.len() - 1
            }
        };
        let one = &mut self.extensions[place];
        one.id = id;
        one.invoke = events.iter().any(|event| &**event == INVOKE);
        one.shutdown = events.iter().any(|event| &**event == SHUTDOWN);
        one.state = ExtensionState::Registered;
        Verdict::Registered
    }

    /// An extension asks for its next event: it is parked, if it may ask now.
    pub(super) fn extension_ready(&mut self, id: Uuid) -> Verdict {
        let Some(one) = self.find(id) else {
            return refuse(ExtensionRefusal::Unknown(id));
        };
        match one.state {
            ExtensionState::Registered | ExtensionState::Running => {
                one.state = ExtensionState::Ready;
                Verdict::Park
            }
            other => refuse(ExtensionRefusal::Transition {
                from: other.name(),
                to: "Ready",
                who: id.to_string().into(),
            }),
        }
    }

    /// An extension says that it cannot go on.
    pub(super) fn extension_fails(
        &mut self,
        now: Instant,
        id: Uuid,
        fault: ExtensionFault,
        reported: Box<str>,
    ) -> Verdict {
        use ExtensionState as E;
        let Some(one) = self.find(id) else {
            return refuse(ExtensionRefusal::UnknownIdentifier);
        };
        let (next, to) = match fault {
            ExtensionFault::Init => (E::InitError, "InitError"),
            // The platform's own text says it so.
            ExtensionFault::Exit | ExtensionFault::Crash | ExtensionFault::Launch => {
                (E::ExitError, "Exited")
            }
        };
        let allowed = match (one.state, next) {
            (E::Registered, _) | (E::Ready | E::Running, E::ExitError) => true,
            (state, next) => state == next,
        };
        if !allowed {
            let from = one.state.name();
            let who = id.to_string().into();
            return refuse(ExtensionRefusal::Transition { from, to, who });
        }
        one.state = next;
        self.fault.get_or_insert((fault, reported, now));
        Verdict::Accepted
    }

    /// What an extension is called.
    pub(crate) fn name(&self, id: Uuid) -> Option<&str> {
        self.place(id).map(|place| &*self.extensions[place].name)
    }

    /// How many extensions there are.
    pub(crate) fn count(&self) -> usize {
        self.extensions.len()
    }

    /// All extensions; `failure` is what initialization failed of.
    pub(crate) fn describe(&self, failure: Option<&Failure>) -> Vec<Party> {
        let described = self.extensions.iter().map(|one| {
            let error_type = match (one.state, failure) {
                (ExtensionState::InitError | ExtensionState::ExitError, Some(failure)) => {
                    Some(failure.report_type().into())
                }
                _ => None,
            };
            let events = [(one.invoke, INVOKE), (one.shutdown, SHUTDOWN)];
            let events = events.into_iter().filter(|(wanted, _)| *wanted);
            Party {
                name: one.name.clone(),
                state: match failure {
                    // They may have been given an event in the same moment.
                    None => ExtensionState::Ready.name(),
                    Some(_) => one.state.name(),
                },
                events: events.map(|(_, event)| event).collect(),
                error_type,
            }
        });
        described.collect()
    }

    /// Where an extension stands in the list.
    pub(crate) fn place(&self, id: Uuid) -> Option<usize> {
        self.extensions
            .iter()
            .position(|one| one.is_registered() && one.id == id)
    }

    /// How long the end of what runs may take.
    pub(super) fn budget(&self) -> std::time::Duration {
        let extensions = self.extensions.iter();
        let mut registered = extensions.filter(|one| one.is_registered()).peekable();
        if registered.peek().is_none() {
            std::time::Duration::ZERO
        } else if registered.any(|one| one.external) {
            limits::SHUTDOWN_EXTERNAL
        } else {
            limits::SHUTDOWN_INTERNAL
        }
    }

    fn find(&mut self, id: Uuid) -> Option<&mut Extension> {
        let place = self.place(id)?;
        self.extensions.get_mut(place)
    }
}

impl Extension {
    fn is_registered(&self) -> bool {
        self.state != ExtensionState::Started
    }

    fn new(name: Box<str>, external: bool) -> Self {
        Self {
            id: Uuid::nil(),
            name,
            external,
            invoke: false,
            shutdown: false,
            state: ExtensionState::Started,
        }
    }
}

fn refuse(why: ExtensionRefusal) -> Verdict {
    Verdict::Refused(Refusal::Extension(why))
}
