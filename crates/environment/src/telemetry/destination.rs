//! The way to a subscriber inside the sandbox. Who answers there is a guest, and hostile: what it
//! sends is bounded and thrown away, and how long it takes is its caller's matter.

use std::pin::Pin;

use bootlace_sandbox::Connector;
use bootlace_types::limits;
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::subscription::Destination;

/// A delivery did not reach its subscriber; why is the guest's matter.
#[derive(Debug)]
pub(super) struct Failed;

/// Head of an answer, bytes.
const HEAD_BYTES: usize = 16 * 1_024;

#[derive(Debug)]
pub(super) struct Line {
    connector: Connector,
    destination: Destination,
    open: Option<Open>,
}

#[derive(Debug)]
enum Open {
    Tcp(TcpStream),
    Http(Http),
}

#[derive(Debug)]
struct Http {
    sender: http1::SendRequest<Full<Bytes>>,
    /// Driven only while something is sent.
    connection: Pin<Box<http1::Connection<TokioIo<TcpStream>, Full<Bytes>>>>,
    ended: bool,
}

impl Line {
    pub(super) fn new(connector: Connector, destination: Destination) -> Self {
        Self {
            connector,
            destination,
            open: None,
        }
    }

    /// Records as they are sent: an array over HTTP, lines over TCP.
    pub(super) fn body(&self, records: Vec<String>) -> Bytes {
        let length: usize = records.iter().map(|record| record.len() + 1).sum();
        let mut body = String::with_capacity(length + 1);
        let is_array = matches!(self.destination, Destination::Http { .. });
        for record in records {
            match (is_array, body.is_empty()) {
                (true, true) => body.push('['),
                (true, false) => body.push(','),
                (false, _) => {}
            }
            body.push_str(&record);
            if !is_array {
                body.push('\n');
            }
        }
        if is_array {
            body.push(']');
        }
        body.into()
    }

    pub(super) fn disconnect(&mut self) {
        self.open = None;
    }

    pub(super) async fn send(&mut self, body: &Bytes) -> Result<(), Failed> {
        if matches!(&self.open, Some(Open::Http(http)) if http.ended) {
            self.open = None;
        }
        let open = match self.open.take() {
            Some(open) => open,
            None => self.connect().await?,
        };
        match self.open.insert(open) {
            Open::Tcp(stream) => stream.write_all(body).await.map_err(|_| Failed),
            Open::Http(http) => {
                let request = request(&self.destination, body)?;
                http.exchange(request).await
            }
        }
    }

    async fn connect(&self) -> Result<Open, Failed> {
        let (Destination::Http { port, .. } | Destination::Tcp { port }) = &self.destination;
        let stream = self.connector.connect(*port).await.map_err(|_| Failed)?;
        // Small deliveries must not wait for each other.
        let _ = stream.set_nodelay(true);
        if let Destination::Tcp { .. } = self.destination {
            return Ok(Open::Tcp(stream));
        }
        let (sender, connection) = http1::Builder::new()
            .max_headers(limits::HEADERS_COUNT)
            .max_buf_size(HEAD_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|_| Failed)?;
        Ok(Open::Http(Http {
            sender,
            connection: Box::pin(connection),
            ended: false,
        }))
    }
}

impl Http {
    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<(), Failed> {
        let sender = &mut self.sender;
        let answered = async {
            sender.ready().await.map_err(|_| Failed)?;
            let answer = sender.send_request(request).await.map_err(|_| Failed)?;
            let accepted = answer.status().is_success();
            let mut body = answer.into_body();
            let mut read = 0;
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|_| Failed)?;
                read += frame.data_ref().map_or(0, Bytes::len);
                if read > limits::TELEMETRY_ANSWER_BYTES {
                    return Err(Failed);
                }
            }
            if accepted { Ok(()) } else { Err(Failed) }
        };
        let mut answered = std::pin::pin!(answered);
        tokio::select! {
            biased;
            answer = answered.as_mut() => answer,
            _ = self.connection.as_mut() => {
                self.ended = true;
                // What came before the end is still there.
                answered.await
            }
        }
    }
}

fn request(destination: &Destination, body: &Bytes) -> Result<Request<Full<Bytes>>, Failed> {
    let Destination::Http {
        authority, path, ..
    } = destination
    else {
        return Err(Failed);
    };
    let mut request = Request::new(Full::new(body.clone()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = path.clone().into();
    let headers = request.headers_mut();
    let host = HeaderValue::from_str(authority).map_err(|_| Failed)?;
    headers.insert(header::HOST, host);
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    Ok(request)
}
