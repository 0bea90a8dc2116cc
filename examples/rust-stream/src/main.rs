//! Streams its answer by the official Rust runtime client, as the event says.
//!
//! Every chunk is a text of exactly `bytes` bytes that begins with its number, or, with `stamps`,
//! with the time at which it was handed to the client, in microseconds since 1970.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use lambda_runtime::{Error, LambdaEvent, StreamResponse, service_fn};
use serde::Deserialize;

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    #[serde(default = "few")]
    chunks: usize,
    #[serde(default = "short")]
    bytes: usize,
    #[serde(default)]
    pause_ms: u64,
    #[serde(default)]
    stamps: bool,
    /// The last chunk is an error instead.
    #[serde(default)]
    fail: bool,
}

fn few() -> usize {
    3
}

fn short() -> usize {
    16
}

async fn answer(
    event: LambdaEvent<Plan>,
) -> Result<StreamResponse<impl Stream<Item = Result<Bytes, Error>> + Unpin>, Error> {
    Ok(StreamResponse::from(Box::pin(chunks(event.payload))))
}

fn chunks(plan: Plan) -> impl Stream<Item = Result<Bytes, Error>> {
    stream::unfold(0, move |number| async move {
        if number == plan.chunks {
            return None;
        }
        if number > 0 && plan.pause_ms > 0 {
            tokio::time::sleep(Duration::from_millis(plan.pause_ms)).await;
        }
        let chunk = if plan.fail && number + 1 == plan.chunks {
            Err("as told".into())
        } else {
            Ok(chunk(plan, number))
        };
        Some((chunk, number + 1))
    })
}

fn chunk(plan: Plan, number: usize) -> Bytes {
    let mark = if plan.stamps {
        now_us()
    } else {
        number as u128
    };
    let mut text = format!("{mark} ").into_bytes();
    text.resize(plan.bytes, b'.');
    Bytes::from(text)
}

#[allow(
    clippy::disallowed_methods,
    reason = "a function of a user has no clock module"
)]
fn now_us() -> u128 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap_or_default().as_micros()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_runtime::run(service_fn(answer)).await
}
