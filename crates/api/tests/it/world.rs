//! A server on a temporary data directory, and a client that sends exactly what a test says.

use std::io::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bootlace_api::{Api, ApiOptions};
use bootlace_control::{ControlOptions, ControlPlane};
use bootlace_invoke::{Dispatcher, DispatcherOptions};
use bootlace_sandbox::{Driver, ExitStatus, FakeDriver};
use bootlace_store::logs::LogOptions;
use bootlace_store::{DataDir, Store};
use bootlace_testkit::guest::Guest;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::sync::watch;

pub(crate) const ROLE: &str = "arn:aws:iam::000000000000:role/lambda";
pub(crate) const FUNCTIONS: &str = "/2015-03-31/functions";

pub(crate) struct World {
    pub(crate) address: String,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) serving: tokio::task::JoinHandle<()>,
    client: Client<HttpConnector, Full<Bytes>>,
    _temp: tempfile::TempDir,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!(
                "{} {error}: {}",
                self.status,
                String::from_utf8_lossy(&self.body)
            )
        })
    }

    /// Status, exception and the message in either spelling.
    pub(crate) fn refusal(&self) -> (u16, String, String) {
        let document = self.json();
        let message = document["message"]
            .as_str()
            .or(document["Message"].as_str())
            .unwrap_or("");
        (
            self.status.as_u16(),
            self.header("x-amzn-errortype").to_owned(),
            message.to_owned(),
        )
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(
            self.status.as_u16(),
            status,
            "{}",
            String::from_utf8_lossy(&self.body)
        );
        assert_eq!(self.header("x-amzn-requestid").len(), 36);
        self
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(ControlOptions::default(), ApiOptions::default()).await
    }

    pub(crate) async fn with(control: ControlOptions, options: ApiOptions) -> Self {
        Self::running(
            Guest::echo(),
            DispatcherOptions::default(),
            control,
            options,
        )
        .await
    }

    /// Every process of every function runs the guest.
    pub(crate) async fn of_guest(guest: Guest, dispatcher: DispatcherOptions) -> Self {
        Self::running(
            guest,
            dispatcher,
            ControlOptions::default(),
            ApiOptions::default(),
        )
        .await
    }

    pub(crate) async fn running(
        guest: Guest,
        dispatcher: DispatcherOptions,
        control: ControlOptions,
        options: ApiOptions,
    ) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(&temp.path().join("data")).unwrap();
        let store = Store::open(&data_dir, LogOptions::default()).await.unwrap();
        let control = ControlPlane::new(store.clone(), control);
        control.recover().await.unwrap();
        let driver = Driver::Fake(FakeDriver::new(move |fake| {
            let guest = guest.clone();
            async move { ExitStatus::exited(guest.run(fake.address, fake.output).await) }
        }));
        let dispatcher = Dispatcher::start(dispatcher, store, driver).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (stop, stopping) = watch::channel(false);
        let api = Api {
            control,
            dispatcher,
            options,
        };
        let serving = tokio::spawn(bootlace_api::serve(api, listener, stopping));
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self {
            address,
            stop,
            serving,
            client,
            _temp: temp,
        }
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        let (parts, body) = self.client.request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], "").await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, &[], "").await
    }

    pub(crate) async fn put(&self, path: &str, document: &Value) -> Answer {
        self.send(Method::PUT, path, &[], document.to_string())
            .await
    }

    pub(crate) async fn post(&self, path: &str, document: &Value) -> Answer {
        self.send(Method::POST, path, &[], document.to_string())
            .await
    }

    /// Changes some members of a good CreateFunction and sends it; null removes a member.
    pub(crate) async fn create(&self, name: &str, changes: Value) -> Answer {
        let mut document = json!({
            "FunctionName": name,
            "Runtime": "provided.al2023",
            "Role": ROLE,
            "Handler": "function.handler",
            "Code": {"ZipFile": base64(&zip(&[("bootstrap", b"#!/bin/sh\n")]))},
        });
        merge(&mut document, changes);
        self.post(FUNCTIONS, &document).await
    }

    /// Creates a function and waits until it is active.
    pub(crate) async fn created(&self, name: &str) -> Value {
        self.create(name, json!({})).await.expect(201);
        self.settled(name).await
    }

    /// Waits until nothing is in progress, and gives the configuration.
    pub(crate) async fn settled(&self, name: &str) -> Value {
        loop {
            let shown = self
                .get(&format!("{FUNCTIONS}/{name}/configuration"))
                .await
                .expect(200);
            let shown = shown.json();
            if shown["State"] == "Active" && shown["LastUpdateStatus"] == "Successful" {
                return shown;
            }
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn publish(&self, layer: &str, changes: Value) -> Answer {
        let mut document = json!({"Content": {"ZipFile": base64(&zip(&[("a.txt", b"a")]))}});
        merge(&mut document, changes);
        self.post(&format!("/2018-10-31/layers/{layer}/versions"), &document)
            .await
    }

    pub(crate) async fn invoke(
        &self,
        name: &str,
        headers: &[(&str, &str)],
        event: impl Into<Bytes>,
    ) -> Answer {
        let path = format!("{FUNCTIONS}/{name}/invocations");
        self.send(Method::POST, &path, headers, event).await
    }
}

fn merge(document: &mut Value, changes: Value) {
    let members = document.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(members.remove(name)),
            value => drop(members.insert(name.clone(), value.clone())),
        }
    }
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(crate) fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().unix_permissions(0o755);
    for (name, content) in files {
        writer.start_file(*name, options).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// So many zeros in one file, whose zip is small.
pub(crate) fn zeros(bytes: usize) -> Vec<u8> {
    zip(&[("zeros", &vec![0; bytes])])
}

pub(crate) fn arn(name: &str) -> String {
    format!("arn:aws:lambda:us-east-1:000000000000:function:{name}")
}

/// A metrics closure of a test.
pub(crate) fn metrics(text: &'static str) -> Arc<dyn Fn() -> String + Send + Sync> {
    Arc::new(move || text.to_owned())
}
