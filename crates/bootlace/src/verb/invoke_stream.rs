//! `bootlace invoke --stream`: the response as it comes.

use anyhow::{Context, anyhow};
use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::BytesMut;
use http::Method;
use http_body_util::BodyExt;
use serde::Deserialize;

use super::invoke::Call;
use crate::client::Client;
use crate::exit::{Done, Failure};
use crate::output;

/// How the response ended.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Complete {
    error_code: Option<String>,
    error_details: Option<String>,
    log_result: Option<String>,
}

pub(super) async fn run(call: Call, client: &Client) -> Result<Done, Failure> {
    let path = call.path("2021-11-15", "response-streaming-invocations");
    let headers = call.headers();
    let mut body = client
        .stream(Method::POST, &path, &headers, call.payload)
        .await?;
    let mut decoder = MessageFrameDecoder::new();
    let mut bytes = BytesMut::new();
    loop {
        while let DecodedFrame::Complete(message) = decoder
            .decode_frame(&mut bytes)
            .context("the server's answer is no event stream")?
        {
            let mut headers = message.headers().iter();
            let event = headers.find(|header| header.name().as_str() == ":event-type");
            let event = event.and_then(|header| header.value().as_string().ok());
            match event.map(|event| event.as_str()) {
                Some("PayloadChunk") => output::data(message.payload())?,
                Some("InvokeComplete") => return complete(message.payload()),
                // Events that later services send are none of ours.
                _ => {}
            }
        }
        let frame = body.frame().await;
        let frame = frame.ok_or_else(|| anyhow!("the stream ended before its last event"))?;
        if let Ok(data) = frame.context("the stream broke")?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
}

fn complete(document: &[u8]) -> Result<Done, Failure> {
    let end: Complete = serde_json::from_slice(document).context("the last event is no JSON")?;
    // A person's prompt, or the log, begins on a line of its own.
    output::raw_end()?;
    if let Some(log) = end.log_result {
        let log = BASE64.decode(log).context("the log is no base64")?;
        output::note(String::from_utf8_lossy(&log).trim_end());
    }
    let Some(code) = end.error_code else {
        return Ok(Done::Well);
    };
    let details = end.error_details.unwrap_or_default();
    output::note(format_args!(
        "bootlace: the function failed ({code}): {details}"
    ));
    Ok(Done::Badly)
}
