//! From the start of the process to its `listening` line, on an empty store.

use crate::run::Options;
use crate::server::Server;
use crate::stats::{median, micros};
use crate::table::{Row, Target};

pub(crate) async fn measure(options: &Options) -> anyhow::Result<Vec<Row>> {
    let mut times = Vec::new();
    for _ in 0..options.sized(20, 3) {
        let data = tempfile::tempdir()?;
        let server = Server::bootlace(options, data.path()).await?;
        times.push(micros(server.started_in) / 1_000.0);
        server.stop().await?;
    }
    Ok(vec![Row::alone(
        "server start to listening",
        "ms",
        median(times),
        Target::AtMost(50.0),
    )])
}
