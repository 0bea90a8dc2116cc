//! Invocations a second, over more connections than there are environments.
//!
//! The client keeps as many invocations going as the floor has processes, and lets its connections
//! take turns, so that neither server is asked for more environments than the other has.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use bootlace_types::clock;
use bytes::Bytes;
use hyper::Method;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::client::{Client, Target, event};
use crate::function::{self, Code};
use crate::run::Options;
use crate::server::Server;
use crate::stats::Pair;
use crate::table::{self, Row};

const CONNECTIONS: usize = 16;
const ENVIRONMENTS: usize = 8;

pub(crate) async fn measure(options: &Options) -> anyhow::Result<Vec<Row>> {
    let data = tempfile::tempdir()?;
    let server = Server::bootlace(options, data.path()).await?;
    let floor = Server::floor(options, ENVIRONMENTS).await?;
    let mut client = Client::connect(server.address).await?;
    function::create(&mut client, "busy", &Code::of(&options.function)?).await?;
    let targets = [
        Target::new(server.address, "busy"),
        Target::new(floor.address, "busy"),
    ];

    let (rounds, millis) = options.sized((7, 1_500), (1, 300));
    let mut pair = Pair::default();
    // The first round starts the environments and is not counted.
    for round in 0..=rounds {
        let ours = rate(&targets[0], Duration::from_millis(millis)).await?;
        let floor = rate(&targets[1], Duration::from_millis(millis)).await?;
        if round > 0 {
            pair.push(ours, floor);
        }
    }
    let environments = environments(&mut client).await?;
    floor.stop().await?;
    server.stop().await?;
    let what = format!("throughput, {CONNECTIONS} connections, {ENVIRONMENTS} environments");
    Ok(vec![
        Row::pair(&what, "/s", &pair, table::Target::RatioAtLeast(0.6)),
        Row::alone(
            "  environments it took",
            "",
            environments,
            table::Target::None,
        ),
    ])
}

/// How many environments the server has.
async fn environments(client: &mut Client) -> anyhow::Result<f64> {
    let path = "/bootlace/v1/environments";
    let (_, _, body) = client.send(Method::GET, path, Bytes::new()).await?;
    let list: Value = serde_json::from_slice(&body).context("environments")?;
    let list = list["environments"]
        .as_array()
        .context("no list of environments")?;
    Ok(f64::from(u32::try_from(list.len())?))
}

async fn rate(target: &Target, length: Duration) -> anyhow::Result<f64> {
    let begun = clock::now();
    let turns = Arc::new(Semaphore::new(ENVIRONMENTS));
    let mut clients = JoinSet::new();
    for _ in 0..CONNECTIONS {
        clients.spawn(invoke_until(
            target.clone(),
            Arc::clone(&turns),
            begun + length,
        ));
    }
    let mut invocations = 0_u32;
    while let Some(client) = clients.join_next().await {
        invocations += client.context("a client panicked")??;
    }
    Ok(f64::from(invocations) / begun.elapsed().as_secs_f64())
}

async fn invoke_until(target: Target, turns: Arc<Semaphore>, end: Instant) -> anyhow::Result<u32> {
    let mut client = Client::connect(target.address).await?;
    let payload = event(100);
    let mut invocations = 0;
    while clock::now() < end {
        let _turn = turns.acquire().await?;
        client.invoke(&target, &payload).await?;
        invocations += 1;
    }
    Ok(invocations)
}
