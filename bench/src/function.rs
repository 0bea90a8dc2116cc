//! Creates functions on Bootlace, over HTTP as any client would.

use std::io::{Cursor, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::client::Client;

const POLLS: usize = 500;
const POLL: Duration = Duration::from_millis(10);

/// A zip, in base64, of one executable named `bootstrap`.
#[derive(Debug)]
pub(crate) struct Code(String);

impl Code {
    pub(crate) fn of(program: &Path) -> anyhow::Result<Self> {
        let bytes = std::fs::read(program)
            .with_context(|| format!("cannot read the function {}", program.display()))?;
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file(
            "bootstrap",
            SimpleFileOptions::default().unix_permissions(0o755),
        )?;
        zip.write_all(&bytes)?;
        Ok(Self(STANDARD.encode(zip.finish()?.into_inner())))
    }
}

/// Creates a function and waits until it is active.
pub(crate) async fn create(client: &mut Client, name: &str, code: &Code) -> anyhow::Result<()> {
    let request = json!({
        "FunctionName": name,
        "Runtime": "provided.al2023",
        "Handler": "bootstrap",
        "Role": "arn:aws:iam::000000000000:role/bench",
        "MemorySize": 128,
        "Timeout": 60,
        "Code": { "ZipFile": code.0 },
    });
    let body = Bytes::from(request.to_string());
    let (status, _, body) = client
        .send(Method::POST, "/2015-03-31/functions", body)
        .await?;
    if status != StatusCode::CREATED {
        bail!(
            "CreateFunction {name} answered {status}: {}",
            String::from_utf8_lossy(&body)
        );
    }
    let path = format!("/2015-03-31/functions/{name}/configuration");
    for _ in 0..POLLS {
        let (_, _, body) = client.send(Method::GET, &path, Bytes::new()).await?;
        let configuration: Value =
            serde_json::from_slice(&body).context("GetFunctionConfiguration")?;
        match configuration["State"].as_str() {
            Some("Active") => return Ok(()),
            Some("Pending") => tokio::time::sleep(POLL).await,
            other => bail!("{name} is in state {other:?}: {configuration}"),
        }
    }
    bail!("{name} stayed pending")
}
