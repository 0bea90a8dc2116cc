//! Streamed answers: how long a chunk is on its way, and what the server holds of a long one.

use anyhow::{Context, bail};
use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use bootlace_types::clock;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::client::Client;
use crate::function::{self, Code};
use crate::memory::Memory;
use crate::pin;
use crate::run::Options;
use crate::server::Server;
use crate::stats::median;
use crate::table::{Row, Target};

const PATH: &str = "/2021-11-15/functions/stream/response-streaming-invocations";
/// A chunk that carries its time has exactly so many bytes; the prelude before it has more.
const STAMPED: usize = 32;
const CHUNK: usize = 64 << 10;
/// AWS's limit for one answer.
const LONG: usize = 209_715_200;
/// The rate must not be what is measured.
const SETTINGS: &[(&str, &str)] = &[
    ("BOOTLACE_INVOKE__STREAM_BURST_BYTES", "1073741824"),
    ("BOOTLACE_INVOKE__STREAM_LIMIT_BYTES", "1073741824"),
];

pub(crate) async fn measure(options: &Options) -> anyhow::Result<Vec<Row>> {
    let _pinned = pin::to_one_processor()?;
    let data = tempfile::tempdir()?;
    let server = Server::bootlace_with(options, data.path(), SETTINGS).await?;
    let mut client = Client::connect(server.address).await?;
    function::create(&mut client, "stream", &Code::of(&options.stream_function)?).await?;
    let chunk = chunk_delay(&mut client, options.sized(300, 5)).await?;
    let long = options.sized(LONG, LONG / 16);
    let (growth, rate) = long_answer(&mut client, server.pid()?, long).await?;
    server.stop().await?;
    Ok(vec![
        Row::alone(
            "streamed chunk, written to received, p50",
            "us",
            chunk,
            Target::AtMost(2_000.0),
        ),
        Row::alone(
            "server memory, growth over 200 MB streamed",
            "MiB",
            growth,
            Target::AtMost(4.0),
        ),
        Row::alone("streamed, rate raised", "MB/s", rate, Target::None),
    ])
}

/// The median time from the function's write of a chunk to its arrival here, microseconds.
async fn chunk_delay(client: &mut Client, chunks: usize) -> anyhow::Result<f64> {
    let event = json!({"chunks": chunks, "bytes": STAMPED, "pause_ms": 5, "stamps": true});
    let mut delays = Vec::with_capacity(chunks);
    stream(client, &event, |chunk| {
        let now = clock::wall().duration_since(std::time::UNIX_EPOCH);
        let text = std::str::from_utf8(chunk).unwrap_or_default();
        if chunk.len() == STAMPED
            && let Some((stamp, _)) = text.split_once(' ')
        {
            let written: f64 = stamp.parse().context("no time in a chunk")?;
            delays.push(now?.as_secs_f64() * 1e6 - written);
        }
        Ok(())
    })
    .await?;
    if delays.len() != chunks {
        bail!("{} of {chunks} chunks came", delays.len());
    }
    Ok(median(delays))
}

/// How much the server grew over one long answer, MiB, and how fast that came, MB a second.
async fn long_answer(client: &mut Client, server: i32, bytes: usize) -> anyhow::Result<(f64, f64)> {
    // The first answer of its kind fills buffers that stay.
    stream(client, &json!({"chunks": 64, "bytes": CHUNK}), |_| Ok(())).await?;
    let before = Memory::of(server)?.server;
    let (mut most, mut received, mut looked) = (before, 0, 0);
    let begun = clock::now();
    let event = json!({"chunks": bytes.div_ceil(CHUNK), "bytes": CHUNK});
    stream(client, &event, |chunk| {
        received += chunk.len();
        if received - looked >= 4 << 20 {
            looked = received;
            most = Memory::of(server)?.server.max(most);
        }
        Ok(())
    })
    .await?;
    if received < bytes {
        bail!("only {received} of {bytes} bytes came");
    }
    let megabytes = f64::from(u32::try_from(received)?) / 1e6;
    Ok((most - before, megabytes / begun.elapsed().as_secs_f64()))
}

/// Invokes and hands over each chunk; an error at the end is one here.
async fn stream(
    client: &mut Client,
    event: &Value,
    mut each: impl FnMut(&[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut body: Incoming = client.open(PATH, Bytes::from(event.to_string())).await?;
    let mut decoder = MessageFrameDecoder::new();
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
        while let DecodedFrame::Complete(message) = decoder.decode_frame(&mut bytes)? {
            let mut headers = message.headers().iter();
            let event = headers.find(|header| header.name().as_str() == ":event-type");
            let event = event.and_then(|header| header.value().as_string().ok());
            if event.is_some_and(|event| event.as_str() == "PayloadChunk") {
                each(message.payload())?;
                continue;
            }
            if message.payload().as_ref() != b"{}" {
                bail!("{}", String::from_utf8_lossy(message.payload()));
            }
        }
    }
    Ok(())
}
