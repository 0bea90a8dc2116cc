//! Whatever happens in whatever order.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Invoke {
        with_report: bool,
    },
    Next,
    Response {
        current: bool,
    },
    Error {
        current: bool,
    },
    Faulty {
        current: bool,
    },
    StreamBegins {
        current: bool,
    },
    StreamEnds {
        current: bool,
    },
    StreamBroken {
        current: bool,
    },
    InitError,
    Register {
        external: bool,
    },
    ExtensionNext {
        external: bool,
    },
    ExtensionFails {
        external: bool,
        init: bool,
    },
    TimedOut {
        current: bool,
    },
    Tick {
        late: bool,
    },
    Exits,
    Breaks,
    Shutdown,
    Gone,
    /// The environment's task does what it is ordered to do.
    Obey,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let yes = || any::<bool>();
    let step = prop_oneof![
        30 => Just(Step::Obey),
        8 => yes().prop_map(|with_report| Step::Invoke { with_report }),
        14 => Just(Step::Next),
        10 => yes().prop_map(|current| Step::Response { current }),
        2 => yes().prop_map(|current| Step::Error { current }),
        2 => yes().prop_map(|current| Step::Faulty { current }),
        3 => yes().prop_map(|current| Step::StreamBegins { current }),
        3 => yes().prop_map(|current| Step::StreamEnds { current }),
        1 => yes().prop_map(|current| Step::StreamBroken { current }),
        1 => Just(Step::InitError),
        4 => yes().prop_map(|external| Step::Register { external }),
        12 => yes().prop_map(|external| Step::ExtensionNext { external }),
        1 => (yes(), yes()).prop_map(|(external, init)| Step::ExtensionFails { external, init }),
        1 => yes().prop_map(|current| Step::TimedOut { current }),
        1 => yes().prop_map(|late| Step::Tick { late }),
        2 => Just(Step::Exits),
        1 => Just(Step::Breaks),
        1 => Just(Step::Shutdown),
        1 => Just(Step::Gone),
    ];
    proptest::collection::vec(step, 0..160)
}

/// What the owner, the callers and the parties believe.
#[derive(Debug, Default)]
struct World {
    with_extension: bool,
    vacant: bool,
    settling: bool,
    starting: bool,
    lost: bool,
    /// An invocation was accepted and has not been reported.
    open: bool,
    answers: u32,
    begun: u32,
    /// Whether the runtime, the external and the internal extension are parked.
    parked: [bool; 3],
}

impl World {
    fn obey(&mut self, machine: &mut Lifecycle, now: Instant) -> Actions {
        match machine.order() {
            Order::Launch => machine.handle(
                now,
                match self.with_extension {
                    true => launched(&["out"]),
                    false => launched(&[]),
                },
            ),
            Order::StartRuntime => machine.handle(now, Event::RuntimeStarted),
            Order::Stop(how) if !how.waits_for.is_empty() && self.parked[1] => {
                machine.handle(now, Event::Farewell { deadline_ms: 1 })
            }
            Order::Stop(_) => {
                self.parked = [false; 3];
                machine.handle(now, Event::Stopped)
            }
            Order::Wait | Order::End => Actions::default(),
        }
    }

    fn see(&mut self, actions: &Actions) -> Result<(), TestCaseError> {
        self.answers += u32::from(actions.answer.is_some());
        self.begun += u32::from(actions.begin.is_some());
        prop_assert!(self.answers <= 1 && self.begun <= 1);
        if let Some(Deliver::Invocation { extensions }) = &actions.deliver {
            prop_assert!(self.open && self.parked[0], "an event for a parked runtime");
            self.parked[0] = false;
            self.release(extensions)?;
        }
        if let Some(Deliver::Shutdown { extensions, .. }) = &actions.deliver {
            for _ in extensions {
                self.parked[1] = false;
            }
        }
        if actions.report.is_some() {
            prop_assert!(self.open && self.answers == 1, "over means answered");
            prop_assert_eq!(self.begun, 1, "and begun");
            self.open = false;
        }
        match &actions.notice {
            Some(Notice::Vacant(was) | Notice::Cold(was)) => {
                prop_assert!(!self.vacant && !self.lost && !self.open);
                prop_assert_eq!(*was == Was::Starting, self.starting);
                prop_assert_eq!(*was == Was::Settling, self.settling);
                (self.vacant, self.starting, self.settling) = (true, false, false);
            }
            Some(Notice::Settling(was)) => {
                prop_assert!(!self.settling && !self.lost);
                prop_assert_eq!(*was == Was::Idle, self.vacant);
                (self.settling, self.vacant) = (true, false);
            }
            Some(Notice::Lost(was, _)) => {
                prop_assert!(!self.lost, "lost once");
                let believed = match was {
                    Was::Starting => self.starting,
                    Was::Idle => self.vacant,
                    Was::Settling => self.settling,
                    Was::Running => !self.starting && !self.vacant && !self.settling,
                };
                prop_assert!(believed, "{was:?} {self:?}");
                (self.lost, self.vacant) = (true, false);
            }
            None => {}
        }
        prop_assert!(!(self.lost && self.open), "nobody waits for what is lost");
        Ok(())
    }

    fn release(&mut self, extensions: &[usize]) -> Result<(), TestCaseError> {
        // Places are in the order of registration; with an external one it is the first.
        for place in extensions {
            let which = match (self.with_extension, place) {
                (true, 0) => 1,
                _ => 2,
            };
            prop_assert!(self.parked[which], "an event for a parked extension");
            self.parked[which] = false;
        }
        Ok(())
    }
}

proptest! {
    /// Nothing panics. Each accepted invocation is answered, begun and reported once, before another
    /// begins. What the owner is told fits what it was told before. Events go to those who wait.
    /// And from wherever it got, the environment comes to rest when its parties do their part.
    #[test]
    fn any_sequence_keeps_the_promises(steps in steps(), with_extension in any::<bool>()) {
        let mut machine = Lifecycle::new(INIT_LIMIT);
        let mut now = start();
        let mut current = RequestId::random();
        let mut world = World { with_extension, starting: true, ..World::default() };
        let first = machine.handle(now, Event::Provisioned);
        world.see(&first)?;
        for step in steps {
            now += Duration::from_millis(7);
            let id = |is_current| if is_current { current } else { RequestId::random() };
            let body = Bytes::new;
            let asked = RequestId::random();
            let extension = |external| if external { OUT } else { IN };
            let event = match step {
                Step::Obey => {
                    let actions = world.obey(&mut machine, now);
                    world.see(&actions)?;
                    continue;
                }
                Step::Invoke { with_report } => invoke(asked, with_report),
                Step::Next => Event::Next,
                Step::Response { current } => Event::Response { id: Some(id(current)), body: body() },
                Step::Error { current } => Event::Error {
                    id: Some(id(current)),
                    error_type: "Runtime.Unknown".into(),
                    body: body(),
                },
                Step::Faulty { current } => {
                    Event::Faulty { id: Some(id(current)), fault: AnswerFault::Mode }
                }
                Step::StreamBegins { current } => stream_begins(id(current)),
                Step::StreamEnds { current } => stream_ends(id(current), None),
                Step::StreamBroken { current } => Event::StreamBroken {
                    id: id(current),
                    fault: AnswerFault::Truncated,
                    sent: Sent { first: now, bytes: 1 },
                },
                Step::InitError => init_error(),
                Step::Register { external: true } => register("out", &["INVOKE", "SHUTDOWN"], OUT),
                Step::Register { external: false } => register("in", &["INVOKE"], IN),
                Step::ExtensionNext { external } => Event::ExtensionNext { id: extension(external) },
                Step::ExtensionFails { external, init } => {
                    let fault = if init { ExtensionFault::Init } else { ExtensionFault::Exit };
                    extension_fails(extension(external), fault)
                }
                Step::TimedOut { current } => Event::TimedOut { id: id(current) },
                Step::Tick { late } => {
                    if late {
                        now += INIT_LIMIT;
                    }
                    Event::Tick
                }
                Step::Exits => exits(),
                Step::Breaks => breaks(),
                Step::Shutdown => Event::Shutdown,
                Step::Gone => Event::Gone,
            };
            let party = match &event {
                Event::Next => Some(0),
                Event::ExtensionNext { id } => Some(if *id == OUT { 1 } else { 2 }),
                _ => None,
            };
            let invoked = matches!(event, Event::Invoke { .. });
            let actions = machine.handle(now, event);
            if let (Some(party), Verdict::Park) = (party, &actions.verdict) {
                world.parked[party] = true;
            }
            if invoked && actions.verdict == Verdict::Accepted {
                prop_assert!(world.vacant && !world.lost, "only vacant environments are invoked");
                prop_assert!(!world.open, "one invocation at a time");
                (world.vacant, world.open, world.answers, world.begun) = (false, true, 0, 0);
                current = asked;
            }
            world.see(&actions)?;
        }
        // Everybody does its part, or the time is over.
        for _ in 0..20 {
            let actions = world.obey(&mut machine, now);
            world.see(&actions)?;
            if let State::Invoking(_) = machine.state() {
                let actions = machine.handle(now, Event::TimedOut { id: current });
                world.see(&actions)?;
            }
            now += INIT_LIMIT;
            let actions = machine.handle(now, Event::Tick);
            world.see(&actions)?;
        }
        prop_assert!(!world.open, "no caller is forgotten");
        prop_assert!(world.vacant || world.lost, "{:?}", machine.state());
    }
}
