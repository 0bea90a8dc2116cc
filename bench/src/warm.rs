//! The latency of a warm invocation, with client, server and function on one processor.

use bootlace_types::clock;
use bytes::Bytes;

use crate::client::{Client, Target, event};
use crate::function::{self, Code};
use crate::pin;
use crate::run::Options;
use crate::server::Server;
use crate::stats::{Pair, median, micros};
use crate::table::{self, Row};

struct Plan {
    payload: Bytes,
    rounds: usize,
    invocations: usize,
}

pub(crate) async fn measure(options: &Options) -> anyhow::Result<Vec<Row>> {
    let _pinned = pin::to_one_processor()?;
    let data = tempfile::tempdir()?;
    let server = Server::bootlace(options, data.path()).await?;
    let floor = Server::floor(options, 1).await?;
    let mut ours = Client::connect(server.address).await?;
    function::create(&mut ours, "warm", &Code::of(&options.function)?).await?;
    let ours = (ours, Target::new(server.address, "warm"));
    let floors = (
        Client::connect(floor.address).await?,
        Target::new(floor.address, "warm"),
    );

    let (rounds, invocations) = options.sized((12, 1_500), (2, 100));
    let small = Plan {
        payload: event(100),
        rounds,
        invocations,
    };
    let (rounds, invocations) = options.sized((5, 30), (1, 5));
    let large = Plan {
        payload: event(1_000_000),
        rounds,
        invocations,
    };
    let mut parties = [ours, floors];
    let small = compare(&mut parties, &small).await?;
    let large = compare(&mut parties, &large).await?;

    floor.stop().await?;
    server.stop().await?;
    Ok(vec![
        Row::pair(
            "warm invoke p50, 100 B",
            "us",
            &small,
            table::Target::RatioAtMost(2.0),
        ),
        Row::pair("warm invoke p50, 1 MB", "us", &large, table::Target::None),
    ])
}

async fn compare(parties: &mut [(Client, Target); 2], plan: &Plan) -> anyhow::Result<Pair> {
    let mut pair = Pair::default();
    // The first round warms both sides up and is not counted.
    for round in 0..=plan.rounds {
        let [ours, floor] = &mut *parties;
        let ours = round_of(ours, plan).await?;
        let floor = round_of(floor, plan).await?;
        if round > 0 {
            pair.push(ours, floor);
        }
    }
    Ok(pair)
}

/// The median of one round, in microseconds.
async fn round_of(party: &mut (Client, Target), plan: &Plan) -> anyhow::Result<f64> {
    let (client, target) = party;
    let mut times = Vec::with_capacity(plan.invocations);
    for _ in 0..plan.invocations {
        let begun = clock::now();
        client.invoke(target, &plan.payload).await?;
        times.push(micros(begun.elapsed()));
    }
    Ok(median(times))
}
