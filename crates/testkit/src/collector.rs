//! A subscriber of telemetry: it listens on a port, keeps the records that come, and answers what
//! it is told to.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bootlace_tasks::TaskKind;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const COLLECTOR: TaskKind = TaskKind::disposable("collector");

/// A subscriber for as long as this lives.
#[derive(Debug)]
pub struct Collector {
    pub port: u16,
    kept: Arc<Kept>,
    task: tokio::task::AbortHandle,
}

#[derive(Debug, Default)]
struct Kept {
    records: Mutex<Vec<Value>>,
    /// Deliveries so far.
    deliveries: watch::Sender<usize>,
    connections: watch::Sender<usize>,
}

/// How a subscriber takes records.
#[derive(Debug, Clone)]
pub enum Takes {
    /// Answers each delivery over HTTP with the next of these; the last goes on for ever. What is
    /// not answered with 2xx is not kept.
    Http(Vec<&'static str>),
    /// Lines over TCP.
    Tcp,
    /// Accepts connections and never reads.
    Nothing,
}

/// The answer of a subscriber that took a delivery.
pub const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

impl Collector {
    /// Listens on a free port.
    pub async fn start(takes: Takes) -> std::io::Result<Self> {
        Ok(Self::on(TcpListener::bind(("127.0.0.1", 0)).await?, takes))
    }

    #[must_use]
    pub fn on(listener: TcpListener, takes: Takes) -> Self {
        let port = listener.local_addr().map_or(0, |address| address.port());
        let kept = Arc::new(Kept::default());
        let into = Arc::clone(&kept);
        let task = bootlace_tasks::spawn(COLLECTOR, async move {
            let mut open = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                into.connections.send_modify(|count| *count += 1);
                let (takes, into) = (takes.clone(), Arc::clone(&into));
                open.push(AbortOnDrop(
                    bootlace_tasks::spawn(COLLECTOR, async move {
                        match takes {
                            Takes::Http(answers) => into.http(stream, &answers).await,
                            Takes::Tcp => into.lines(stream).await,
                            Takes::Nothing => {
                                let _stream = stream;
                                std::future::pending().await
                            }
                        }
                    })
                    .abort_handle(),
                ));
            }
        });
        Self {
            port,
            kept,
            task: task.abort_handle(),
        }
    }

    #[must_use]
    pub fn records(&self) -> Vec<Value> {
        let records = self.kept.records.lock();
        records.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The `type` of each record.
    #[must_use]
    pub fn kinds(&self) -> Vec<String> {
        let records = self.records();
        let kinds = records.iter().map(|record| record["type"].as_str());
        kinds.map(|kind| kind.unwrap_or_default().into()).collect()
    }

    #[must_use]
    pub fn deliveries(&self) -> usize {
        *self.kept.deliveries.borrow()
    }

    #[must_use]
    pub fn connections(&self) -> usize {
        *self.kept.connections.borrow()
    }

    /// Waits until the subscriber is in this state.
    ///
    /// # Panics
    /// When that does not happen.
    pub async fn until(&self, what: &str, ready: impl Fn(&Self) -> bool) {
        let mut deliveries = self.kept.deliveries.subscribe();
        let mut connections = self.kept.connections.subscribe();
        let waiting = async {
            while !ready(self) {
                tokio::select! {
                    _ = deliveries.changed() => {}
                    _ = connections.changed() => {}
                }
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), waiting).await;
        assert!(waited.is_ok(), "{what} did not come: {:?}", self.kinds());
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Kept {
    async fn http(&self, stream: TcpStream, answers: &[&str]) {
        let mut stream = BufReader::new(stream);
        while let Some(body) = read_request(&mut stream).await {
            let next = self.deliveries.borrow().min(answers.len() - 1);
            let answer = answers[next];
            if answer.starts_with("HTTP/1.1 2") {
                self.keep(serde_json::from_slice(&body).unwrap_or_default());
            }
            self.deliveries.send_modify(|count| *count += 1);
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }

    async fn lines(&self, stream: TcpStream) {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            self.keep(vec![serde_json::from_str(&line).unwrap_or_default()]);
            self.deliveries.send_modify(|count| *count += 1);
        }
    }

    fn keep(&self, records: Vec<Value>) {
        let mut all = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(records);
    }
}

/// The body of a delivery; nothing when the connection ends or it is not one.
async fn read_request(stream: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let (mut length, mut is_json, mut is_post) = (0, false, false);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_ascii_lowercase();
        is_post |= line.starts_with("post /");
        is_json |= line == "content-type: application/json";
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().ok()?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    (is_post && is_json).then_some(body)
}
