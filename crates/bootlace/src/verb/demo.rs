//! `bootlace demo`: the walkthrough of `examples/walkthrough`, against a server of its own.

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use clap::Args;
use serde_json::json;

use super::layer::member;
use super::{function, invoke, layer};
use crate::client::Client;
use crate::config::{ConfigOptions, Origin};
use crate::exit::{Done, Failure};
use crate::server::{self, Server};
use crate::signals::Signals;
use crate::{output, package, telemetry};

const BOOTSTRAP: &str = include_str!("../../../../examples/walkthrough/runtime/bootstrap");
const FUNCTION: &str = include_str!("../../../../examples/walkthrough/function/function.sh");
const EVENT: &str = r#"{"greeting": "hello from the walkthrough"}"#;

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// How the function is kept apart: auto, namespaces or local (not at all)
    #[arg(long, value_name = "HOW", default_value = "auto")]
    isolation: String,
}

impl Demo {
    pub(crate) fn run(self) -> Result<Done, Failure> {
        // Removed when this function ends, however it ends.
        let directory = tempfile::Builder::new()
            .prefix("bootlace-demo-")
            .tempdir()
            .context("cannot make a temporary directory")?;
        let options = ConfigOptions {
            listen: Some("127.0.0.1:0".to_owned()),
            data_dir: Some(directory.path().display().to_string()),
            isolation: Some(self.isolation),
            ..ConfigOptions::default()
        };
        let mut loaded = options.load()?;
        if loaded.origin_of("server.log") == Origin::Default {
            // What the server has to say of itself is no part of the walk.
            loaded.config.server.log = "warn".to_owned();
        }
        let config = loaded.config;
        telemetry::start_log(&config.server.log)?;
        let runtime = server::runtime(config.server.workers)?;
        let walked = runtime.block_on(async {
            let mut signals = Signals::install()?;
            let server = tokio::select! {
                server = Server::start(config) => server?,
                _ = signals.next() => return Err(Failure::Interrupted),
            };
            let walked = tokio::select! {
                walked = walk(&server) => walked,
                _ = signals.next() => Err(Failure::Interrupted),
            };
            tokio::select! {
                () = server.stop() => walked,
                _ = signals.next() => Err(Failure::Interrupted),
            }
        });
        runtime.shutdown_background();
        let removed = directory
            .close()
            .context("cannot remove the temporary directory");
        let done = walked?;
        removed?;
        Ok(done)
    }
}

async fn walk(server: &Server) -> Result<Done, Failure> {
    let endpoint = format!("http://{}", server.address());
    let client = Client::new(&endpoint, "us-east-1", "test")?;
    output::note(format_args!(
        "a server listens on {endpoint}, isolation {}",
        server.isolation()
    ));

    let zip = package::zip_files(&[("bootstrap", 0o755, BOOTSTRAP)])?;
    let document = json!({
        "Content": { "ZipFile": BASE64.encode(zip) },
        "Description": "a runtime for shell scripts",
        "CompatibleRuntimes": ["provided"],
    });
    let answer = layer::publish(&client, "runtime-shell", &document).await?;
    let layer = member(&answer, "LayerVersionArn");
    output::note(format_args!("the shell runtime is the layer {layer}"));

    let zip = package::zip_files(&[("function.sh", 0o755, FUNCTION)])?;
    let document = json!({
        "FunctionName": "runlambda",
        "Runtime": "provided",
        "Handler": "function.handler",
        "Role": function::PLACEHOLDER_ROLE,
        "Layers": [layer],
        "Code": { "ZipFile": BASE64.encode(zip) },
        "Timeout": 30,
    });
    let answer = function::create(&client, &document).await?;
    output::note(format_args!(
        "the function is {}",
        member(&answer, "FunctionArn")
    ));

    let call = invoke::Call {
        name: "runlambda".to_owned(),
        payload: Bytes::from(EVENT),
        log_tail: true,
        ..invoke::Call::default()
    };
    let outcome = call.send(&client).await?;
    output::line("=== response")?;
    output::data(&outcome.payload)?;
    output::line("=== log tail")?;
    output::data(outcome.log_tail.as_deref().unwrap_or_default())?;
    match &outcome.function_error {
        None => Ok(Done::Well),
        Some(error) => {
            output::note(format_args!("bootlace: the function failed ({error})"));
            Ok(Done::Badly)
        }
    }
}
