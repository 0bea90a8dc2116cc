//! `bootlace invoke`: one synchronous invocation.

use std::path::{Path, PathBuf};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use clap::{Args, ValueEnum};
use http::Method;
use serde_json::{Value, json};

use crate::client::{Client, Connection, encode};
use crate::exit::{Done, Failure};
use crate::output::{self, Format};
use crate::package;
use crate::verb::invoke_stream;

#[derive(Debug, Args)]
pub(crate) struct Invoke {
    /// Name or ARN of the function
    name: String,
    /// The event, JSON; none sends an empty event
    payload: Option<String>,
    /// Read the event from a file; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "payload")]
    payload_file: Option<PathBuf>,
    /// Version or alias
    #[arg(long)]
    qualifier: Option<String>,
    /// tail: print the last 4 KB of the invocation's log on standard error
    #[arg(long, value_name = "TYPE", default_value = "none")]
    log_type: LogType,
    /// JSON that the function finds in its context
    #[arg(long, value_name = "JSON")]
    client_context: Option<String>,
    /// Only check that the function could be invoked
    #[arg(long)]
    dry_run: bool,
    /// Print the response piece by piece, as the function writes it
    #[arg(long, conflicts_with_all = ["dry_run", "output"])]
    stream: bool,
    /// text: the response as it is; json: one document with status, response and log
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogType {
    None,
    Tail,
}

/// One invocation to make.
#[derive(Debug, Default)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) qualifier: Option<String>,
    pub(crate) payload: Bytes,
    pub(crate) log_tail: bool,
    pub(crate) client_context: Option<String>,
    pub(crate) dry_run: bool,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Outcome {
    status: u16,
    executed_version: Option<String>,
    pub(crate) function_error: Option<String>,
    pub(crate) payload: Bytes,
    pub(crate) log_tail: Option<Vec<u8>>,
}

impl Invoke {
    pub(crate) async fn run(self) -> Result<Done, Failure> {
        let client = self.connection.client()?;
        let payload = match (self.payload, self.payload_file) {
            (Some(text), _) => Bytes::from(text),
            (None, Some(path)) => read_payload(&path)?,
            (None, None) => Bytes::new(),
        };
        let call = Call {
            name: self.name,
            qualifier: self.qualifier,
            payload,
            log_tail: self.log_type == LogType::Tail,
            client_context: self.client_context,
            dry_run: self.dry_run,
        };
        if self.stream {
            return invoke_stream::run(call, &client).await;
        }
        let outcome = call.send(&client).await?;
        match self.output {
            Format::Text => {
                if let Some(log) = &outcome.log_tail {
                    output::note(String::from_utf8_lossy(log).trim_end());
                }
                if let Some(error) = &outcome.function_error {
                    output::note(format_args!("bootlace: the function failed ({error})"));
                }
                output::raw(&outcome.payload)?;
            }
            Format::Json => output::json(&outcome.document())?,
        }
        Ok(if outcome.function_error.is_some() {
            Done::Badly
        } else {
            Done::Well
        })
    }
}

impl Call {
    pub(crate) async fn send(self, client: &Client) -> Result<Outcome, Failure> {
        let path = self.path("2015-03-31", "invocations");
        let headers = self.headers();
        let answer = client
            .call(Method::POST, &path, &headers, self.payload)
            .await?;
        let header = |name| answer.header(name).map(str::to_owned);
        let log = header("x-amz-log-result").map(|log| BASE64.decode(log));
        Ok(Outcome {
            status: answer.status.as_u16(),
            executed_version: header("x-amz-executed-version"),
            function_error: header("x-amz-function-error"),
            log_tail: log
                .transpose()
                .context("the log in the answer is no base64")?,
            payload: answer.body,
        })
    }
}

impl Call {
    pub(super) fn path(&self, version: &str, what: &str) -> String {
        let mut path = format!("/{version}/functions/{}/{what}", encode(&self.name));
        if let Some(qualifier) = &self.qualifier {
            path.push_str(&format!("?Qualifier={}", encode(qualifier)));
        }
        path
    }

    pub(super) fn headers(&self) -> Vec<(&'static str, String)> {
        let kind = if self.dry_run {
            "DryRun"
        } else {
            "RequestResponse"
        };
        let mut headers = vec![("x-amz-invocation-type", kind.to_owned())];
        if self.log_tail {
            headers.push(("x-amz-log-type", "Tail".to_owned()));
        }
        if let Some(context) = &self.client_context {
            headers.push(("x-amz-client-context", BASE64.encode(context)));
        }
        headers
    }
}

impl Outcome {
    /// `Payload` is the response when it is JSON; any other is `PayloadText` or `PayloadBase64`.
    fn document(&self) -> Value {
        let mut document = json!({ "StatusCode": self.status });
        if let Some(version) = &self.executed_version {
            document["ExecutedVersion"] = version.as_str().into();
        }
        if let Some(error) = &self.function_error {
            document["FunctionError"] = error.as_str().into();
        }
        if let Some(log) = &self.log_tail {
            document["Log"] = String::from_utf8_lossy(log).into();
        }
        if let Ok(value) = serde_json::from_slice::<Value>(&self.payload) {
            document["Payload"] = value;
        } else if let Ok(text) = std::str::from_utf8(&self.payload) {
            document["PayloadText"] = text.into();
        } else {
            document["PayloadBase64"] = BASE64.encode(&self.payload).into();
        }
        document
    }
}

fn read_payload(path: &Path) -> anyhow::Result<Bytes> {
    if path.as_os_str() == "-" {
        let payload = package::read_all(std::io::stdin().lock());
        return Ok(payload.context("cannot read standard input")?.into());
    }
    let shown = || format!("cannot read {}", path.display());
    let file = std::fs::File::open(path).with_context(shown)?;
    Ok(package::read_all(file).with_context(shown)?.into())
}
