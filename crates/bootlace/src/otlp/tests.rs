use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bootlace_invoke::SpanSink;
use bootlace_types::RequestId;
use bootlace_types::clock;
use hyper::body::Incoming;
use hyper::service::service_fn;
use tokio::net::TcpListener;

use super::*;

/// A collector that answers as it is told, the last answer for ever.
struct Receiver {
    endpoint: String,
    got: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Receiver {
    async fn start(answers: Vec<(u16, &'static str)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let got: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
        let kept = Arc::clone(&got);
        bootlace_tasks::spawn(CONNECTION, async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let answer = service_fn(|request: Request<Incoming>| async {
                    let path = request.uri().path().to_owned();
                    assert_eq!(request.headers()[header::CONTENT_TYPE], "application/json");
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let mut kept = kept.lock().unwrap();
                    let (status, text) = answers[kept.len().min(answers.len() - 1)];
                    kept.push((path, serde_json::from_slice(&body).unwrap()));
                    let body = Full::new(Bytes::from_static(text.as_bytes()));
                    let answer = http::Response::builder().status(status).body(body);
                    Ok::<_, Infallible>(answer.unwrap())
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), answer);
                let _ = connection.await;
            }
        });
        Self { endpoint, got }
    }

    fn requests(&self) -> Vec<(String, Value)> {
        self.got.lock().unwrap().clone()
    }
}

fn spans(document: &Value) -> &Vec<Value> {
    document["resourceSpans"][0]["scopeSpans"][0]["spans"]
        .as_array()
        .unwrap()
}

fn span() -> InvocationSpan {
    InvocationSpan {
        request_id: RequestId::random(),
        function_arn: "arn:aws:lambda:us-east-1:000000000000:function:f".into(),
        version: "$LATEST".into(),
        trace_header: None,
        began: clock::wall(),
        took: Duration::from_millis(2),
        queued: Some(Duration::from_millis(1)),
        cold_start: None,
        error: None,
    }
}

fn sender(sink: SpanSink) -> mpsc::Sender<InvocationSpan> {
    match sink {
        SpanSink::Queue(sender) => sender,
        SpanSink::None => panic!("a queue"),
    }
}

#[tokio::test]
async fn all_that_waits_is_sent_at_the_end_in_batches() {
    let receiver = Receiver::start(vec![(200, "{}")]).await;
    let (sink, queue) = SpanSink::queue();
    let exporter = Exporter::start(&format!("{}/prefix/", receiver.endpoint), queue).unwrap();
    let sender = sender(sink);
    let count = limits::SPANS_BATCH * 2 + 10;
    for _ in 0..count {
        sender.try_send(span()).unwrap();
    }
    exporter.finish().await;
    let requests = receiver.requests();
    assert!(requests.iter().all(|(path, _)| path == "/prefix/v1/traces"));
    let sizes: Vec<usize> = requests
        .iter()
        .map(|(_, document)| spans(document).len())
        .collect();
    assert_eq!(sizes.iter().sum::<usize>(), count * 3);
    assert!(
        sizes.iter().all(|size| *size <= limits::SPANS_BATCH * 3),
        "{sizes:?}"
    );
    assert!(
        sender.try_send(span()).is_err(),
        "nothing is taken after the end"
    );
}

#[tokio::test]
async fn a_batch_is_tried_again_when_the_collector_asks_for_it() {
    let receiver = Receiver::start(vec![(503, ""), (200, "{}")]).await;
    let (sink, queue) = SpanSink::queue();
    let exporter = Exporter::start(&receiver.endpoint, queue).unwrap();
    sender(sink).try_send(span()).unwrap();
    while receiver.requests().len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    exporter.finish().await;
    let requests = receiver.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0], requests[1]);
}

#[tokio::test]
async fn what_the_collector_refuses_is_not_sent_again() {
    let receiver = Receiver::start(vec![(400, "no")]).await;
    let collector = Collector::parse(&receiver.endpoint).unwrap();
    let (_stop, mut stopped) = oneshot::channel();
    let sent = send(&collector, &[span()], &mut stopped, &mut false).await;
    assert_eq!(sent.unwrap_err().to_string(), "it answers 400 Bad Request");
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn an_answer_may_reject_some() {
    for (text, expect) in [
        ("{}", 0),
        ("", 0),
        ("<html>", 0),
        (
            r#"{"partialSuccess":{"rejectedSpans":"2","errorMessage":"x"}}"#,
            2,
        ),
        (r#"{"partialSuccess":{"rejectedSpans":3}}"#, 3),
        (r#"{"partialSuccess":{"rejectedSpans":-1}}"#, 0),
    ] {
        assert_eq!(rejected(text.as_bytes()), expect, "{text}");
    }
}

#[tokio::test]
async fn the_end_does_not_wait_for_a_collector_that_is_silent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (sink, queue) = SpanSink::queue();
    let exporter = Exporter::start(&endpoint, queue).unwrap();
    sender(sink).try_send(span()).unwrap();
    let began = clock::now();
    exporter.finish().await;
    assert!(began.elapsed() < limits::SPANS_LAST + Duration::from_secs(5));
}

#[test]
fn an_address_is_checked() {
    for good in [
        "http://localhost:4318",
        "http://[::1]:4318/a/b",
        "http://collector",
    ] {
        assert!(is_endpoint(good), "{good}");
    }
    for bad in ["http://", "http://h:99999", "http://h:", "http:// h"] {
        assert!(!is_endpoint(bad), "{bad}");
    }
}
