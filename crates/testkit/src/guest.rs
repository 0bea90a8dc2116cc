//! A runtime as a list of actions, spoken over a real socket, byte by byte as written here.
//!
//! A [`Guest`] is what a `bootstrap` would be. It runs against any Runtime API: the fake sandbox
//! driver runs it as a task. What it saw is in its [`Transcript`].

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;

use crate::guest_wire::Wire;

/// One step of a scripted runtime.
#[derive(Debug, Clone)]
pub enum Action {
    /// Asks for the next event and keeps it as the current one.
    Next,
    /// Asks for the next event on a connection of its own and does not wait for it.
    ParkElsewhere,
    /// Answers the current event.
    Respond(Body),
    /// Answers with more headers, complete lines; `{attempt}` is the invocation's identifier.
    RespondWith(Body, &'static str),
    /// Answers for a request id given as text.
    RespondFor(String, Body),
    /// Answers in streaming mode, piece by piece.
    RespondChunked(Chunked),
    /// Announces a longer body than it sends, and closes.
    RespondTruncated,
    /// Reports an error of the current event.
    Error(&'static str),
    /// Reports an error for a request id given as text.
    ErrorFor(String, &'static str),
    /// Reports that initialization failed: header, body.
    InitError(&'static str, &'static str),
    /// Any other call: method and path.
    Call(&'static str, &'static str),
    /// Any other call: method, path, headers as complete lines, body.
    CallWith(&'static str, String, String, String),
    /// Registers as an extension under this name for these events, JSON text; keeps the identifier.
    Register(String, &'static str),
    /// Subscribes to telemetry as that extension: path and body.
    Subscribe(&'static str, String),
    /// Asks for the extension's next event.
    EventNext,
    /// Asks for it on a connection of its own and does not wait.
    EventParkElsewhere,
    /// Says that the extension cannot go on: `init` or `exit`, and the error's type.
    ExtensionFails(&'static str, &'static str),
    /// Writes to standard output.
    Print(Body),
    Sleep(Duration),
    /// Closes the connection; the next call makes a new one.
    Disconnect,
    /// Sends bytes on a connection of its own and waits until the server closes it.
    Garbage(Vec<u8>),
    /// Opens connections and keeps them silent.
    Hoard(usize),
    /// Waits until the test opens the gate.
    Gate(watch::Receiver<bool>),
    /// Does nothing until it is killed.
    Hang,
    /// Repeats its steps for ever.
    Loop(Vec<Action>),
    /// Ends the process with this code.
    Exit(i32),
}

/// A streamed answer.
#[derive(Debug, Clone, Default)]
pub struct Chunked {
    pub pieces: Vec<Piece>,
    /// More headers, complete lines.
    pub headers: &'static str,
    /// Trailers, complete lines.
    pub trailers: &'static str,
    pub end: End,
    /// Small pieces wait until those before are acknowledged, as with official clients.
    pub nagle: bool,
    /// Bytes that were written so far.
    pub written: watch::Sender<u64>,
}

/// A step of a streamed answer.
#[derive(Debug, Clone)]
pub enum Piece {
    /// One chunk.
    Data(Body),
    /// So many chunks of so many bytes.
    Many(usize, usize),
    /// Waits until the test opens the gate.
    Gate(watch::Receiver<bool>),
}

/// How a streamed answer ends.
#[derive(Debug, Clone, Copy, Default)]
pub enum End {
    /// With its last chunk.
    #[default]
    Whole,
    /// The connection is closed before.
    Truncated,
    /// The process ends before, with this code.
    Exit(i32),
}

impl Chunked {
    /// Text in pieces.
    #[must_use]
    pub fn texts(texts: &[&'static str]) -> Self {
        let pieces = texts.iter().map(|text| Piece::Data(Body::Text(text)));
        Self {
            pieces: pieces.collect(),
            ..Self::default()
        }
    }
}

/// What is written somewhere.
#[derive(Debug, Clone)]
pub enum Body {
    Text(&'static str),
    /// The payload of the current event.
    Echo,
    /// The request id of the current event.
    RequestId,
    /// So many bytes of `x`.
    Filler(usize),
}

/// One answer of the Runtime API.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The call: method and path.
    pub call: String,
    pub status: u16,
    /// Names exactly as they came.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Seen {
    /// The value of a header, if it came with exactly this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// All that the processes of one guest saw, in order.
#[derive(Debug, Clone, Default)]
pub struct Transcript {
    seen: Arc<Mutex<Vec<Seen>>>,
    changed: Arc<watch::Sender<usize>>,
}

impl Transcript {
    #[must_use]
    pub fn all(&self) -> Vec<Seen> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until there are so many answers, and gives them.
    pub async fn at_least(&self, count: usize) -> Vec<Seen> {
        let mut changed = self.changed.subscribe();
        let enough = changed.wait_for(|seen| *seen >= count);
        let waited = tokio::time::timeout(Duration::from_secs(10), enough).await;
        assert!(
            matches!(waited, Ok(Ok(_))),
            "the guest saw only {:?}",
            self.all()
        );
        self.all()
    }

    fn push(&self, seen: Seen) {
        let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(seen);
        self.changed.send_replace(all.len());
    }
}

/// A scripted runtime.
#[derive(Debug, Clone)]
pub struct Guest {
    actions: Arc<[Action]>,
    pub transcript: Transcript,
}

impl Guest {
    /// Ends with code 0 after the last action.
    #[must_use]
    pub fn new(actions: Vec<Action>) -> Self {
        Self {
            actions: actions.into(),
            transcript: Transcript::default(),
        }
    }

    /// Answers every event with itself.
    #[must_use]
    pub fn echo() -> Self {
        Self::new(vec![Action::Loop(vec![
            Action::Next,
            Action::Respond(Body::Echo),
        ])])
    }

    /// Runs as one process; gives its exit code.
    pub async fn run<W: AsyncWrite + Unpin>(self, address: SocketAddr, output: W) -> i32 {
        let mut run = Run {
            address,
            output,
            wire: None,
            current: Seen::default(),
            identifier: String::new(),
            transcript: self.transcript,
            kept: Vec::new(),
        };
        run.steps(&self.actions).await.unwrap_or(0)
    }
}

struct Run<W> {
    address: SocketAddr,
    output: W,
    wire: Option<Wire>,
    current: Seen,
    /// The header line that says which extension it is.
    identifier: String,
    transcript: Transcript,
    kept: Vec<Wire>,
}

/// The exit code of a guest whose connection broke.
const BROKEN: i32 = 111;

impl<W: AsyncWrite + Unpin> Run<W> {
    /// The exit code, if one of the steps ends the process.
    async fn steps(&mut self, actions: &[Action]) -> Option<i32> {
        for action in actions {
            if let Action::Loop(steps) = action {
                loop {
                    let end = Box::pin(self.steps(steps)).await;
                    if end.is_some() {
                        return end;
                    }
                }
            }
            match self.step(action).await {
                Ok(None) => {}
                Ok(Some(code)) => return Some(code),
                Err(_) => return Some(BROKEN),
            }
        }
        None
    }

    async fn step(&mut self, action: &Action) -> std::io::Result<Option<i32>> {
        match action {
            Action::Next => {
                self.current = self.call("GET", NEXT, "", &[]).await?;
            }
            Action::ParkElsewhere => {
                let mut wire = Wire::connect(self.address).await?;
                wire.send("GET", NEXT, "", &[]).await?;
                self.kept.push(wire);
            }
            Action::Respond(body) => {
                self.reply(&self.id(), "response", "", &self.bytes(body))
                    .await?;
            }
            Action::RespondWith(body, headers) => {
                let attempt = self.current.header("Lambda-Runtime-Invocation-Id");
                let headers = headers.replace("{attempt}", attempt.unwrap_or("none"));
                self.reply(&self.id(), "response", &headers, &self.bytes(body))
                    .await?;
            }
            Action::RespondFor(id, body) => {
                self.reply(id, "response", "", &self.bytes(body)).await?;
            }
            Action::RespondChunked(answer) => return self.stream(answer).await,
            Action::RespondTruncated => {
                let path = format!("/2018-06-01/runtime/invocation/{}/response", self.id());
                let mut wire = Wire::connect(self.address).await?;
                let text =
                    format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nfew");
                wire.raw(text.as_bytes()).await?;
            }
            Action::Error(body) => self.reply(&self.id(), "error", "", body.as_bytes()).await?,
            Action::ErrorFor(id, body) => self.reply(id, "error", "", body.as_bytes()).await?,
            Action::InitError(error_type, body) => {
                let header = format!("Lambda-Runtime-Function-Error-Type: {error_type}\r\n");
                let path = "/2018-06-01/runtime/init/error";
                self.call("POST", path, &header, body.as_bytes()).await?;
            }
            Action::Call(method, path) => {
                self.call(method, path, "", &[]).await?;
            }
            Action::CallWith(method, path, headers, body) => {
                self.call(method, path, headers, body.as_bytes()).await?;
            }
            Action::Register(name, events) => {
                let headers = format!("Lambda-Extension-Name: {name}\r\n");
                let body = format!("{{\"events\":{events}}}");
                let path = "/2020-01-01/extension/register";
                let seen = self.call("POST", path, &headers, body.as_bytes()).await?;
                if let Some(identifier) = seen.header("Lambda-Extension-Identifier") {
                    self.identifier = format!("Lambda-Extension-Identifier: {identifier}\r\n");
                }
            }
            Action::Subscribe(path, body) => {
                let identifier = self.identifier.clone();
                self.call("PUT", path, &identifier, body.as_bytes()).await?;
            }
            Action::EventNext => {
                let path = "/2020-01-01/extension/event/next";
                let identifier = self.identifier.clone();
                self.call("GET", path, &identifier, &[]).await?;
            }
            Action::EventParkElsewhere => {
                let mut wire = Wire::connect(self.address).await?;
                let path = "/2020-01-01/extension/event/next";
                wire.send("GET", path, &self.identifier, &[]).await?;
                self.kept.push(wire);
            }
            Action::ExtensionFails(when, error_type) => {
                let path = format!("/2020-01-01/extension/{when}/error");
                let headers = format!(
                    "{}Lambda-Extension-Function-Error-Type: {error_type}\r\n",
                    self.identifier
                );
                self.call("POST", &path, &headers, b"{}").await?;
            }
            Action::Print(body) => {
                let bytes = self.bytes(body);
                self.output.write_all(&bytes).await?;
            }
            Action::Sleep(time) => tokio::time::sleep(*time).await,
            Action::Disconnect => self.wire = None,
            Action::Garbage(bytes) => self.garbage(bytes).await?,
            Action::Hoard(count) => {
                for _ in 0..*count {
                    self.kept.push(Wire::connect(self.address).await?);
                }
            }
            Action::Gate(gate) => {
                // A test that ended has opened every gate.
                let _ = gate.clone().wait_for(|open| *open).await;
            }
            Action::Hang => std::future::pending().await,
            Action::Loop(_) => {}
            Action::Exit(code) => return Ok(Some(*code)),
        }
        Ok(None)
    }

    async fn stream(&mut self, answer: &Chunked) -> std::io::Result<Option<i32>> {
        let path = format!("/2018-06-01/runtime/invocation/{}/response", self.id());
        let mut wire = match self.wire.take() {
            Some(wire) => wire,
            None => Wire::connect(self.address).await?,
        };
        wire.nagle(answer.nagle)?;
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: runtime\r\nTransfer-Encoding: chunked\r\n\
             Lambda-Runtime-Function-Response-Mode: streaming\r\n{}\r\n",
            answer.headers
        );
        wire.raw(head.as_bytes()).await?;
        for piece in &answer.pieces {
            let (count, bytes) = match piece {
                Piece::Data(body) => (1, self.bytes(body)),
                Piece::Many(count, size) => (*count, vec![b'x'; *size]),
                Piece::Gate(gate) => {
                    let _ = gate.clone().wait_for(|open| *open).await;
                    continue;
                }
            };
            for _ in 0..count {
                wire.chunk(&bytes).await?;
                answer
                    .written
                    .send_modify(|written| *written += bytes.len() as u64);
            }
        }
        match answer.end {
            End::Whole => {}
            End::Truncated => return Ok(None),
            End::Exit(code) => return Ok(Some(code)),
        }
        let end = format!("0\r\n{}\r\n", answer.trailers);
        wire.raw(end.as_bytes()).await?;
        let seen = Seen {
            call: format!("POST {path}"),
            ..wire.receive().await?
        };
        self.wire = Some(wire);
        self.transcript.push(seen);
        Ok(None)
    }

    async fn garbage(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let mut wire = Wire::connect(self.address).await?;
        // The server may close before it has read all of it.
        let _ = wire.raw(bytes).await;
        wire.closed().await
    }

    async fn reply(
        &mut self,
        id: &str,
        what: &str,
        headers: &str,
        body: &[u8],
    ) -> std::io::Result<()> {
        let path = format!("/2018-06-01/runtime/invocation/{id}/{what}");
        self.call("POST", &path, headers, body).await.map(|_| ())
    }

    async fn call(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> std::io::Result<Seen> {
        let mut wire = match self.wire.take() {
            Some(wire) => wire,
            None => Wire::connect(self.address).await?,
        };
        wire.send(method, path, headers, body).await?;
        let seen = Seen {
            call: format!("{method} {path}"),
            ..wire.receive().await?
        };
        self.wire = Some(wire);
        self.transcript.push(seen.clone());
        Ok(seen)
    }

    fn id(&self) -> String {
        self.current
            .header("Lambda-Runtime-Aws-Request-Id")
            .unwrap_or("none")
            .to_owned()
    }

    fn bytes(&self, body: &Body) -> Vec<u8> {
        match body {
            Body::Text(text) => text.as_bytes().to_vec(),
            Body::Echo => self.current.body.clone(),
            Body::RequestId => self.id().into_bytes(),
            Body::Filler(count) => vec![b'x'; *count],
        }
    }
}

const NEXT: &str = "/2018-06-01/runtime/invocation/next";
