//! Spans of invocations to a collector: OTLP over HTTP, in JSON.
//!
//! One task takes them from a bounded queue and sends them in batches. What the queue cannot take, or
//! the collector will not, is lost and counted; an invocation never waits for either.

mod document;

use std::future::Future;
use std::time::Duration;

use anyhow::{Context, anyhow};
use bootlace_invoke::{InvocationSpan, count_spans};
use bootlace_tasks::TaskKind;
use bootlace_types::limits;
use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

const EXPORTER: TaskKind = TaskKind::disposable("span exporter").finished();
const CONNECTION: TaskKind = TaskKind::disposable("span exporter connection");
/// Before a batch is sent again, for the first time; twice as long for the next.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The running exporter.
pub(crate) struct Exporter {
    task: JoinHandle<Option<()>>,
    stop: oneshot::Sender<()>,
}

/// Where the spans go.
#[derive(Debug, Clone)]
struct Collector {
    /// `host:port`
    authority: String,
    path: String,
}

/// Whether spans could be sent there.
pub(crate) fn is_endpoint(endpoint: &str) -> bool {
    Collector::parse(endpoint).is_ok()
}

impl Exporter {
    /// Exports what comes out of the queue to `<endpoint>/v1/traces`.
    pub(crate) fn start(
        endpoint: &str,
        queue: mpsc::Receiver<InvocationSpan>,
    ) -> anyhow::Result<Self> {
        let collector = Collector::parse(endpoint)?;
        let (stop, stopped) = oneshot::channel();
        let task = bootlace_tasks::spawn(EXPORTER, export(collector, queue, stopped));
        Ok(Self { task, stop })
    }

    /// Sends what is in the queue, once and for so long as [`limits::SPANS_LAST`].
    pub(crate) async fn finish(self) {
        drop(self.stop);
        let abort = self.task.abort_handle();
        if tokio::time::timeout(limits::SPANS_LAST, self.task)
            .await
            .is_err()
        {
            abort.abort();
            tracing::warn!("the collector did not take the last spans");
        }
    }
}

impl Collector {
    fn parse(endpoint: &str) -> anyhow::Result<Self> {
        let uri: Uri = endpoint
            .parse()
            .context("the collector's address is no URL")?;
        let host = uri.host().filter(|host| !host.is_empty());
        let host = host.context("the collector's address names no host")?;
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        // The library takes a port that is none for no port.
        let port: u16 = match authority.rsplit_once(host).map(|(_, after)| after) {
            None | Some("") => 80,
            Some(after) => {
                let port = after.strip_prefix(':').and_then(|port| port.parse().ok());
                port.context("the collector's address has no port from 0 to 65535")?
            }
        };
        Ok(Self {
            authority: format!("{host}:{port}"),
            path: format!("{}/v1/traces", uri.path().trim_end_matches('/')),
        })
    }
}

async fn export(
    collector: Collector,
    mut queue: mpsc::Receiver<InvocationSpan>,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut reachable = true;
    let mut stopping = false;
    while !stopping {
        let mut batch = Vec::new();
        tokio::select! {
            () = gather(&mut queue, &mut batch) => {}
            _ = &mut stopped => stopping = true,
        }
        loop {
            if !batch.is_empty() {
                let sent = send(&collector, &batch, &mut stopped, &mut stopping).await;
                tell(&collector, &sent, &mut reachable);
                let rejected = sent.map_or(batch.len(), |rejected| rejected.min(batch.len()));
                count_spans(batch.len() - rejected, rejected);
            }
            batch.clear();
            if !stopping {
                break;
            }
            // At the end, all that waits.
            queue.close();
            if queue.recv_many(&mut batch, limits::SPANS_BATCH).await == 0 {
                break;
            }
        }
    }
}

/// Waits for a span, and a little for others to go with it. Dropped, it leaves in the batch what it
/// took from the queue.
async fn gather(queue: &mut mpsc::Receiver<InvocationSpan>, batch: &mut Vec<InvocationSpan>) {
    if queue.recv_many(batch, limits::SPANS_BATCH).await == 0 {
        // Nobody sends any more; the end is told another way.
        std::future::pending::<()>().await;
    }
    let others = async {
        while batch.len() < limits::SPANS_BATCH {
            let room = limits::SPANS_BATCH - batch.len();
            if queue.recv_many(batch, room).await == 0 {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(limits::SPANS_DELAY, others).await;
}

/// One word when the collector is lost, one when it is back.
fn tell(collector: &Collector, sent: &anyhow::Result<usize>, reachable: &mut bool) {
    let authority = &collector.authority;
    match sent {
        Err(error) if *reachable => {
            tracing::warn!(
                "spans are lost: the collector at {authority} does not take them: {error:#}"
            );
        }
        Ok(_) if !*reachable => tracing::info!("the collector at {authority} takes spans again"),
        _ => {}
    }
    *reachable = sent.is_ok();
}

/// What came of one try.
enum Tried {
    /// Taken, but for so many.
    Taken(usize),
    Again(anyhow::Error),
    Never(anyhow::Error),
}

/// Sends a batch; gives how many spans of it were rejected. Once the exporter is to stop, nothing is
/// tried twice.
async fn send(
    collector: &Collector,
    batch: &[InvocationSpan],
    stopped: &mut oneshot::Receiver<()>,
    stopping: &mut bool,
) -> anyhow::Result<usize> {
    let body = Bytes::from(serde_json::to_vec(&document::request(batch))?);
    let mut pause = FIRST_PAUSE;
    for attempt in 1.. {
        let tried = tokio::time::timeout(limits::SPANS_EXPORT, post(collector, body.clone())).await;
        let tried = tried.unwrap_or_else(|_| Tried::Again(anyhow!("no answer in time")));
        match tried {
            Tried::Taken(rejected) => return Ok(rejected),
            Tried::Never(error) => return Err(error),
            Tried::Again(error) if *stopping || attempt == limits::SPANS_ATTEMPTS => {
                return Err(error);
            }
            Tried::Again(_) => *stopping = sleep_or(pause, &mut *stopped).await,
        }
        pause *= 2;
    }
    Ok(0)
}

/// Whether it is time to stop.
async fn sleep_or(pause: Duration, stopped: impl Future) -> bool {
    tokio::select! {
        () = tokio::time::sleep(pause) => false,
        _ = stopped => true,
    }
}

async fn post(collector: &Collector, body: Bytes) -> Tried {
    let (status, answer) = match exchange(collector, body).await {
        Ok(answered) => answered,
        Err(error) => return Tried::Again(error),
    };
    if status.is_success() {
        return Tried::Taken(rejected(&answer));
    }
    let error = anyhow!("it answers {status}");
    match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Tried::Again(error),
        _ => Tried::Never(error),
    }
}

/// `rejectedSpans` of an answer that took only some.
fn rejected(answer: &[u8]) -> usize {
    let document: Value = serde_json::from_slice(answer).unwrap_or_default();
    let number = &document["partialSuccess"]["rejectedSpans"];
    let number = number.as_u64().or_else(|| number.as_str()?.parse().ok());
    usize::try_from(number.unwrap_or_default()).unwrap_or(usize::MAX)
}

async fn exchange(collector: &Collector, body: Bytes) -> anyhow::Result<(StatusCode, Bytes)> {
    let stream = TcpStream::connect(&collector.authority).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    bootlace_tasks::spawn(CONNECTION, async move {
        // Its error is also the request's, which tells it.
        let _ = connection.await;
    });
    let request = Request::post(&collector.path)
        .header(header::HOST, &collector.authority)
        .header(header::CONTENT_TYPE, "application/json")
        .header(
            header::USER_AGENT,
            concat!("bootlace/", env!("CARGO_PKG_VERSION")),
        )
        .header(header::CONNECTION, "close")
        .body(Full::new(body))?;
    let (parts, body) = sender.send_request(request).await?.into_parts();
    let answer = Limited::new(body, limits::SPANS_ANSWER_BYTES)
        .collect()
        .await;
    let answer = answer.map_err(|error| anyhow!("its answer cannot be read: {error}"))?;
    Ok((parts.status, answer.to_bytes()))
}

#[cfg(test)]
mod tests;
