//! A dispatcher on a memory store, whose sandboxes run scripted guests over real sockets.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bootlace_invoke::{Dispatcher, DispatcherOptions, InvokeError, InvokeRequest, InvokeResponse};
use bootlace_sandbox::{Driver, ExitStatus, FakeDriver};
use bootlace_store::record::{
    self, CodeRef, FunctionConfig, FunctionRecord, LastUpdate, LayerUse, Logging, PackageType,
    State,
};
use bootlace_store::{Rev, Store, Txn};
use bootlace_testkit::guest::Guest;
use bootlace_types::{Architecture, RequestId, RevisionId, Runtime, Scope, limits};
use bytes::Bytes;

pub(crate) struct World {
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) store: Store,
    pub(crate) scope: Scope,
    /// Processes that were started.
    pub(crate) started: Arc<AtomicUsize>,
    code: CodeRef,
    empty: CodeRef,
    _temp: tempfile::TempDir,
}

impl World {
    /// Every process of every function runs the guest.
    pub(crate) async fn new(guest: Guest) -> Self {
        Self::with(patient(), vec![guest]).await
    }

    /// The first process runs the first guest and so on; the last guest goes on for ever.
    pub(crate) async fn with(options: DispatcherOptions, guests: Vec<Guest>) -> Self {
        let started = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&started);
        let driver = FakeDriver::new(move |fake| {
            let index = counter.fetch_add(1, Ordering::SeqCst).min(guests.len() - 1);
            let guest = guests[index].clone();
            async move { ExitStatus::exited(guest.run(fake.address, fake.output).await) }
        });
        Self::driven(options, Driver::Fake(driver), started).await
    }

    pub(crate) async fn driven(
        options: DispatcherOptions,
        driver: Driver,
        started: Arc<AtomicUsize>,
    ) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let store = Store::memory(temp.path());
        let zips = [zip(&["bootstrap"]), zip(&["other"])];
        let [code, empty] = zips.map(|zip| store.ingest_zip(zip, limits::UNZIPPED_BYTES));
        let (code, empty) = (code.await.unwrap(), empty.await.unwrap());
        let dispatcher = Dispatcher::start(options, store.clone(), driver)
            .await
            .unwrap();
        let scope = Scope::default();
        Self {
            dispatcher,
            store,
            scope,
            started,
            code,
            empty,
            _temp: temp,
        }
    }

    /// A function as it is after its creation.
    pub(crate) fn record(&self) -> FunctionRecord {
        FunctionRecord {
            latest: FunctionConfig {
                revision_id: RevisionId::random(),
                package_type: PackageType::Zip,
                runtime: Some(Runtime::ProvidedAl2023),
                handler: Some("function.handler".into()),
                role: "arn:aws:iam::000000000000:role/r".into(),
                description: String::new(),
                timeout_s: 3,
                memory_mb: 128,
                ephemeral_storage_mb: 512,
                architecture: Architecture::host().unwrap(),
                environment: None,
                layers: Vec::new(),
                code: self.code,
                last_modified_ms: 1,
                state: State::Active,
                last_update: Some(LastUpdate::Successful),
                logging: Logging {
                    format: "Text".into(),
                    group: "/aws/lambda/f".into(),
                    application_level: None,
                    system_level: None,
                },
                tracing_mode: "PassThrough".into(),
                snap_start: "None".into(),
                kms_key_arn: None,
                dead_letter_target: None,
                vpc: None,
                shown_only: Default::default(),
            },
            last_version: 0,
            tags: Default::default(),
            reserved_concurrency: None,
        }
    }

    /// A function whose code has no bootstrap.
    pub(crate) fn record_without_bootstrap(&self) -> FunctionRecord {
        let mut record = self.record();
        record.latest.code = self.empty;
        record
    }

    /// A function with these external extensions in a layer.
    pub(crate) async fn record_with_extensions(&self, names: &[&str]) -> FunctionRecord {
        let files: Vec<String> = names
            .iter()
            .map(|name| format!("extensions/{name}"))
            .collect();
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let layer = self.store.ingest_zip(zip(&files), limits::UNZIPPED_BYTES);
        let mut record = self.record();
        record.latest.layers.push(LayerUse {
            arn: "arn:aws:lambda:us-east-1:000000000000:layer:extensions:1"
                .parse()
                .unwrap(),
            code: layer.await.unwrap(),
        });
        record
    }

    /// Writes a function and waits until invocations see it.
    pub(crate) async fn put(&self, name: &str, record: &FunctionRecord) -> Rev {
        let value = Bytes::from(serde_json::to_vec(record).unwrap());
        let puts = vec![(record::function_key(&self.scope, name), value)];
        self.commit(Txn {
            puts,
            ..Txn::default()
        })
        .await
    }

    pub(crate) async fn delete(&self, name: &str) -> Rev {
        let deletes = vec![record::function_key(&self.scope, name)];
        self.commit(Txn {
            deletes,
            ..Txn::default()
        })
        .await
    }

    async fn commit(&self, txn: Txn) -> Rev {
        let rev = self.store.kv.commit(txn).await.unwrap();
        self.dispatcher.reached(rev).await;
        rev
    }

    pub(crate) fn request(&self, name: &str, payload: &str) -> InvokeRequest {
        InvokeRequest {
            request_id: RequestId::random(),
            scope: self.scope.clone(),
            name: name.into(),
            qualifier: None,
            payload: Bytes::from(payload.to_owned()),
            client_context: None,
            cognito_identity: None,
            tenant_id: None,
            trace_id: None,
            log_tail: false,
        }
    }

    pub(crate) async fn invoke(
        &self,
        name: &str,
        payload: &str,
    ) -> Result<InvokeResponse, InvokeError> {
        let answer = self.dispatcher.invoke(self.request(name, payload));
        tokio::time::timeout(Duration::from_secs(20), answer)
            .await
            .expect("an answer in time")
    }

    /// With the log's tail, as text.
    pub(crate) async fn invoke_with_tail(
        &self,
        name: &str,
        payload: &str,
    ) -> (InvokeResponse, String) {
        let request = InvokeRequest {
            log_tail: true,
            ..self.request(name, payload)
        };
        let answer = self.dispatcher.invoke(request);
        let answer = tokio::time::timeout(Duration::from_secs(20), answer).await;
        let answer = answer.expect("an answer in time").expect("an answer");
        let tail = String::from_utf8_lossy(answer.log_tail.as_deref().unwrap()).into_owned();
        (answer, tail)
    }

    /// Waits until the environments are as the condition wants them.
    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&World) -> bool) {
        for _ in 0..5_000 {
            if condition(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!(
            "{what} did not come true: {:?}",
            self.dispatcher.environments()
        );
    }

    pub(crate) fn processes(&self) -> usize {
        self.started.load(Ordering::SeqCst)
    }
}

/// An environment that will be idle soon is waited for, however loaded the machine is.
pub(crate) fn patient() -> DispatcherOptions {
    DispatcherOptions {
        settle_wait: Duration::from_secs(10),
        ..DispatcherOptions::default()
    }
}

pub(crate) fn text(response: &InvokeResponse) -> String {
    String::from_utf8_lossy(&response.payload).into_owned()
}

/// The members of an error document.
pub(crate) fn error(response: &InvokeResponse) -> (String, String) {
    assert_eq!(response.function_error, Some("Unhandled"), "{response:?}");
    let document: serde_json::Value = serde_json::from_slice(&response.payload).unwrap();
    let member = |name: &str| document[name].as_str().unwrap().to_owned();
    (member("errorType"), member("errorMessage"))
}

fn zip(names: &[&str]) -> Bytes {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for name in names {
        let options = zip::write::SimpleFileOptions::default().unix_permissions(0o755);
        writer.start_file(*name, options).unwrap();
        writer.write_all(b"#!/bin/sh\n").unwrap();
    }
    Bytes::from(writer.finish().unwrap().into_inner())
}
