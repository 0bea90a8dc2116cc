//! Moves a streamed answer from the runtime's connection to its caller, no faster than it may go.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bootlace_types::{RequestId, clock, limits};
use bytes::Bytes;
use http::header::{HeaderMap, HeaderName};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::environment::Environment;
use crate::failure::{self, AnswerFault, UNHANDLED};
use crate::lifecycle::{Answer, Event, Sent, Verdict};
use crate::runtime_api::discard;
use crate::stream::{GuestStream, Passed};
use crate::stream_rate::Bucket;

const ERROR_TYPE: HeaderName = HeaderName::from_static("lambda-runtime-function-error-type");
const ERROR_BODY: HeaderName = HeaderName::from_static("lambda-runtime-function-error-body");
/// A longer error type in a trailer is none.
const ERROR_TYPE_BYTES: usize = 128;

/// One streamed answer. Dropped before its end, the answer counts as truncated.
pub(crate) struct Pump {
    environment: Arc<Environment>,
    id: RequestId,
    stream: GuestStream,
    bucket: Bucket,
    bytes: u64,
    first: Option<Instant>,
    /// The caller is there to get it.
    wanted: bool,
    ended: bool,
}

/// Why nothing more is passed on.
enum Stop {
    /// The connection ended before the answer did.
    Truncated,
    TooLarge,
    /// The invocation is over already.
    Over,
}

impl Pump {
    pub(crate) fn new(environment: Arc<Environment>, id: RequestId, stream: GuestStream) -> Self {
        let bucket = Bucket::new(clock::now(), environment.options.stream_limits);
        Self {
            environment,
            id,
            stream,
            bucket,
            bytes: 0,
            first: None,
            wanted: true,
            ended: false,
        }
    }

    /// Passes the whole body on; gives what the runtime is told.
    pub(crate) async fn run(mut self, mut body: Incoming) -> Verdict {
        self.environment.reads_stream(true);
        // This runs within the connection's task, which has looked for more of the body already;
        // when it looks again it acknowledges the head, for which the runtime may be waiting.
        tokio::task::yield_now().await;
        let passed = self.pass_all(&mut body).await;
        self.environment.reads_stream(false);
        let event = match passed {
            Ok(trailers) => self.complete(trailers.as_ref()),
            Err(Stop::TooLarge) => self.broken(AnswerFault::StreamTooLarge {
                limit: self.environment.options.stream_limits.limit_bytes,
            }),
            Err(Stop::Truncated) => {
                // A runtime that crashed loses its connections first; its end tells more.
                let grace = tokio::time::sleep(limits::STREAM_BREAK_GRACE);
                tokio::select! {
                    () = self.stream.over() => {}
                    () = grace => {}
                }
                self.broken(AnswerFault::Truncated)
            }
            // Refused now; what still comes is thrown away.
            Err(Stop::Over) => {
                discard(body).await;
                self.complete(None)
            }
        };
        self.end(event)
    }

    /// Gives the trailers, if there are any.
    async fn pass_all(&mut self, body: &mut Incoming) -> Result<Option<HeaderMap>, Stop> {
        let mut trailers = None;
        loop {
            let frame = tokio::select! {
                biased;
                () = self.stream.over() => return Err(Stop::Over),
                frame = body.frame() => frame,
            };
            let Some(frame) = frame else {
                return Ok(trailers);
            };
            match frame.map_err(|_| Stop::Truncated)?.into_data() {
                Ok(data) => self.pass(&data).await?,
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
        }
    }

    async fn pass(&mut self, mut data: &[u8]) -> Result<(), Stop> {
        if !data.is_empty() {
            self.first.get_or_insert_with(clock::now);
        }
        while !data.is_empty() {
            let left = self.environment.options.stream_limits.limit_bytes - self.bytes;
            let left = usize::try_from(left).unwrap_or(usize::MAX);
            let most = data.len().min(limits::STREAM_CHUNK_BYTES).min(left);
            if most == 0 {
                return Err(Stop::TooLarge);
            }
            let allowed = self.allowance(most).await?;
            let (piece, rest) = data.split_at(allowed);
            if self.wanted {
                // Copied: a small piece must not keep the connection's whole buffer alive.
                match self.stream.pass(Bytes::copy_from_slice(piece)).await {
                    Passed::On => {}
                    Passed::Nobody => self.wanted = false,
                    Passed::Over => return Err(Stop::Over),
                }
            }
            self.bytes += piece.len() as u64;
            data = rest;
        }
        Ok(())
    }

    /// How many of so many bytes may go, as soon as any may.
    async fn allowance(&mut self, wanted: usize) -> Result<usize, Stop> {
        loop {
            match self.bucket.take(clock::now(), wanted as u64) {
                Ok(allowed) => return Ok(usize::try_from(allowed).unwrap_or(wanted)),
                Err(when) => tokio::select! {
                    biased;
                    () = self.stream.over() => return Err(Stop::Over),
                    () = tokio::time::sleep_until(when.into()) => {}
                },
            }
        }
    }

    fn complete(&self, trailers: Option<&HeaderMap>) -> Event {
        let answer = match trailers.and_then(error_in) {
            Some(error) => Answer {
                payload: error.document,
                error: Some(error.code),
            },
            None => Answer {
                payload: Bytes::new(),
                error: None,
            },
        };
        let (id, sent) = (self.id, self.sent());
        Event::StreamEnds { id, answer, sent }
    }

    fn broken(&self, fault: AnswerFault) -> Event {
        let (id, sent) = (self.id, self.sent());
        Event::StreamBroken { id, fault, sent }
    }

    fn sent(&self) -> Sent {
        Sent {
            first: self.first.unwrap_or_else(clock::now),
            bytes: self.bytes,
        }
    }

    fn end(&mut self, event: Event) -> Verdict {
        self.ended = true;
        if matches!(event, Event::StreamBroken { .. }) {
            self.environment.log.drain();
        }
        self.environment.happen(event)
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        if !self.ended {
            self.environment.reads_stream(false);
            let event = self.broken(AnswerFault::Truncated);
            self.end(event);
        }
    }
}

/// An error that came in the trailers of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TrailerError {
    pub(crate) code: Cow<'static, str>,
    pub(crate) document: Bytes,
}

/// The error that trailers tell of: its type, and in base64 its document.
pub(crate) fn error_in(trailers: &HeaderMap) -> Option<TrailerError> {
    let (error_type, body) = (trailers.get(ERROR_TYPE), trailers.get(ERROR_BODY));
    if error_type.is_none() && body.is_none() {
        return None;
    }
    let code = error_type
        .and_then(|value| value.to_str().ok())
        .filter(|text| !text.is_empty() && text.len() <= ERROR_TYPE_BYTES)
        .map_or(Cow::Borrowed(UNHANDLED), |text| text.to_owned().into());
    let document = match body {
        // What is not base64 is passed on as it is, rather than lost.
        Some(value) => STANDARD
            .decode(value.as_bytes())
            .map_or_else(|_| Bytes::copy_from_slice(value.as_bytes()), Bytes::from),
        None => failure::document(&code, "Unknown error"),
    };
    Some(TrailerError { code, document })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(
        error_type: Option<&'static str>,
        body: Option<&'static str>,
        want: Option<(&str, &str)>,
    ) {
        let mut trailers = HeaderMap::new();
        for (name, value) in [(ERROR_TYPE, error_type), (ERROR_BODY, body)] {
            if let Some(value) = value {
                trailers.insert(name, HeaderValue::from_static(value));
            }
        }
        let error = error_in(&trailers);
        let got = error
            .as_ref()
            .map(|error| (&*error.code, std::str::from_utf8(&error.document).unwrap()));
        assert_eq!(got, want);
    }

    #[test]
    fn trailers_tell_of_an_error() {
        check(None, None, None);
        check(
            Some("Runtime.X"),
            Some("eyJhIjoxfQ=="),
            Some(("Runtime.X", "{\"a\":1}")),
        );
        check(None, Some("eyJhIjoxfQ=="), Some(("Unhandled", "{\"a\":1}")));
        check(
            Some(""),
            Some("no base64"),
            Some(("Unhandled", "no base64")),
        );
        check(
            Some("Error"),
            None,
            Some((
                "Error",
                "{\"errorType\":\"Error\",\"errorMessage\":\"Unknown error\"}",
            )),
        );
    }
}
