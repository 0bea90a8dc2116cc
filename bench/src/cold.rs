//! The first invocation of a new environment, and the memory that idle environments take.
//!
//! Cold starts are spaced: in a loop the kernel's work for the last one hides behind the next.

use std::path::Path;
use std::time::Duration;

use bootlace_types::clock;
use tokio::time::sleep;

use crate::client::{Client, Target, event};
use crate::function::{self, Code};
use crate::memory::Memory;
use crate::run::Options;
use crate::server::Server;
use crate::stats::{Pair, micros};
use crate::table::{self, Row};

const SPACE: Duration = Duration::from_millis(50);
const SETTLE: Duration = Duration::from_millis(700);
/// Environments made before anything is measured: they pay what a server pays once.
const UNCOUNTED: usize = 5;

pub(crate) async fn measure(options: &Options) -> anyhow::Result<Vec<Row>> {
    let data = tempfile::tempdir()?;
    let functions = UNCOUNTED + options.sized(40, 4);
    let idle = prepare(options, data.path(), functions).await?;

    // A fresh process: what it took to create the functions must not pass for theirs.
    let server = Server::bootlace(options, data.path()).await?;
    let floor = Server::floor(options, 0).await?;
    let mut ours = Client::connect(server.address).await?;
    let mut floors = Client::connect(floor.address).await?;
    let mut floor_target = Target::new(floor.address, "cold");
    floor_target.path.push_str("?cold");

    let mut pair = Pair::default();
    let mut before = None;
    for index in 0..functions {
        if index == UNCOUNTED {
            sleep(SETTLE).await;
            before = Some(Memory::of(server.pid()?)?);
        }
        let target = Target::new(server.address, &name(index));
        let ours = first(&mut ours, &target).await?;
        let floor = first(&mut floors, &floor_target).await?;
        if index >= UNCOUNTED {
            pair.push(ours, floor);
        }
    }
    sleep(SETTLE).await;
    let after = Memory::of(server.pid()?)?;
    floor.stop().await?;
    server.stop().await?;

    let mut rows = vec![
        Row::pair(
            "first invoke of an environment (cold)",
            "us",
            &pair,
            table::Target::RatioAtMost(3.0),
        ),
        Row::alone(
            "server memory, idle",
            "MiB",
            idle.server,
            table::Target::AtMost(25.0),
        ),
        Row::alone(
            "  its spawner, idle",
            "MiB",
            idle.helpers,
            table::Target::None,
        ),
    ];
    if let Some(before) = before {
        rows.extend(per_environment(&before, &after));
    }
    Ok(rows)
}

fn per_environment(before: &Memory, after: &Memory) -> Vec<Row> {
    let environments = after.functions.saturating_sub(before.functions);
    let count = f64::from(u32::try_from(environments).unwrap_or(u32::MAX)).max(1.0);
    let server = (after.server - before.server) / count;
    let helpers = (after.helpers - before.helpers) / count;
    vec![
        Row::alone(
            "memory per idle environment, beyond the function's own",
            "MiB",
            server + helpers,
            table::Target::AtMost(1.0),
        ),
        Row::alone("  of it in the server", "MiB", server, table::Target::None),
        Row::alone(
            "  of it in helper processes",
            "MiB",
            helpers,
            table::Target::None,
        ),
        Row::alone(
            "  idle environments counted",
            "",
            count,
            table::Target::None,
        ),
    ]
}

/// Creates the functions, and tells what the server took before it had any.
async fn prepare(options: &Options, data: &Path, functions: usize) -> anyhow::Result<Memory> {
    let server = Server::bootlace(options, data).await?;
    sleep(SETTLE).await;
    let idle = Memory::of(server.pid()?)?;
    let code = Code::of(&options.function)?;
    let mut client = Client::connect(server.address).await?;
    for index in 0..functions {
        function::create(&mut client, &name(index), &code).await?;
    }
    server.stop().await?;
    Ok(idle)
}

async fn first(client: &mut Client, target: &Target) -> anyhow::Result<f64> {
    let payload = event(100);
    sleep(SPACE).await;
    let begun = clock::now();
    client.invoke(target, &payload).await?;
    Ok(micros(begun.elapsed()))
}

fn name(index: usize) -> String {
    format!("cold-{index}")
}
