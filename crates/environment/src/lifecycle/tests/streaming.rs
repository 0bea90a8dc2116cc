//! Answers that go to their caller piece by piece.

use super::*;

#[test]
fn a_stream_begins_in_every_state() {
    let want = [
        "400 id", "400 id", "400 id", "accepted", "400 id", "400 id", "410", "500", "500", "500",
    ];
    check(stream_begins, want);
}

/// Without its beginning it is an answer to nothing.
#[test]
fn a_stream_ends_in_every_state() {
    let want = [
        "400 id", "400 id", "400 id", "400 id", "400 id", "400 id", "410", "500", "500", "500",
    ];
    check(|id| stream_ends(id, None), want);
    check(|id| stream_breaks(id, AnswerFault::Truncated), want);
}

/// Every event in the middle of a streamed answer; its caller waits for the REPORT line or not.
#[test]
fn everything_in_mid_stream() {
    #[track_caller]
    fn check(event: impl Fn(RequestId) -> Event, free: &str, held: &str) {
        let id = RequestId::random();
        let in_state = |state| summary(&machine(state, id).handle(start(), event(id)));
        let got = (in_state("Streaming"), in_state("StreamingHeld"));
        assert_eq!(got, (free.into(), held.into()), "for {:?}", event(id));
    }
    let both = |event: &dyn Fn(RequestId) -> Event, want| check(event, want, want);
    both(&|_| Event::Next, "deliver");
    both(&|id| invoke(id, false), "500");
    both(&response, "400 id");
    both(&stream_begins, "400 id");
    both(&|_| stream_ends(RequestId::random(), None), "400 id");
    let error = |id| Event::Error {
        id: Some(id),
        body: Bytes::new(),
    };
    both(&error, "400 id");
    let faulty = |id| Event::Faulty {
        id: Some(id),
        fault: AnswerFault::Mode,
    };
    both(&faulty, "400 id");
    let init_error = |_| Event::InitError {
        error_type: "Runtime.X".into(),
        body: Bytes::new(),
    };
    both(&init_error, "403 InvocationResponse>InitError");
    check(
        |id| stream_ends(id, None),
        "accepted, settling, answers",
        "accepted",
    );
    check(
        |id| stream_ends(id, Some("Error")),
        "accepted, settling, fails",
        "accepted",
    );
    both(
        &|id| stream_breaks(id, AnswerFault::Truncated),
        "fault Truncated, report Runtime.TruncatedResponse, lost/Running, fails, destroy",
    );
    let limit = 7;
    both(
        &|id| stream_breaks(id, AnswerFault::StreamTooLarge { limit }),
        "fault StreamTooLarge { limit: 7 }, report Function.ResponseSizeTooLarge, lost/Running, \
         fails, destroy",
    );
    both(
        &|id| Event::TimedOut { id },
        "report Sandbox.Timedout, lost/Running, fails, destroy",
    );
    both(
        &|_| Event::Failed(Failure::Exited(End::Exited(1))),
        "report Runtime.ExitError, lost/Running, fails, destroy",
    );
    both(
        &|_| Event::Shutdown,
        "report Runtime.ExitError, lost/Running, fails, destroy",
    );
    both(
        &|_| Event::Gone,
        "report Runtime.ExitError, lost/Running, fails",
    );
}

#[test]
fn a_streamed_answer_that_ended_is_an_answer() {
    let id = RequestId::random();
    let mut machine = machine("StreamingHeld", id);
    machine.handle(start(), stream_ends(id, Some("Error")));
    let actions = machine.handle(start(), stream_ends(id, None));
    assert_eq!(summary(&actions), "400 id", "it ends once");
    let actions = machine.handle(start(), Event::Next);
    assert_eq!(summary(&actions), "park, report, vacant/Running, fails");
    assert_eq!(actions.answer.unwrap().error.as_deref(), Some("Error"));
}

#[test]
fn what_an_answer_took_is_measured() {
    let begin = start();
    let after = |ms: u64| begin + Duration::from_millis(ms);
    let (whole, streamed) = (RequestId::random(), RequestId::random());
    let mut machine = Lifecycle::new();
    machine.handle(begin, Event::Started);
    machine.handle(begin, Event::Next);
    machine.handle(begin, invoke(whole, false));
    machine.handle(after(5), response(whole));
    let report = machine.handle(after(10), Event::Next).report;
    let ms = Duration::from_millis;
    let want = |latency, duration, bytes| {
        Some(Produced {
            latency: ms(latency),
            duration: ms(duration),
            bytes,
        })
    };
    assert_eq!(report.unwrap().produced, want(5, 0, 3));
    machine.handle(after(100), invoke(streamed, false));
    machine.handle(after(102), stream_begins(streamed));
    let ends = Event::StreamEnds {
        id: streamed,
        answer: Answer {
            payload: Bytes::new(),
            error: None,
        },
        sent: Sent {
            first: after(107),
            bytes: 9,
        },
    };
    machine.handle(after(150), ends);
    let report = machine.handle(after(160), Event::Next).report;
    assert_eq!(report.unwrap().produced, want(7, 43, 9));
}
