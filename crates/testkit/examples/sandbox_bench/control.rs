//! What freezing, thawing and emptying a sandbox cost.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bootlace_sandbox::{ProcessSpec, Sandbox};
use bootlace_types::clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::{Bench, median};

/// Says everything back that it hears on the sandbox's listener.
const ECHO: &str = "exec 3<>/dev/tcp/127.0.0.1/9001; exec cat <&3 >&3";

/// Medians of many rounds, as text for people and as JSON.
pub(crate) async fn measure(bench: &Bench, runs: usize) -> Result<serde_json::Value> {
    let mut sandbox = bench.driver.create(bench.spec()).await?;
    let listener = sandbox
        .take_listener()
        .context("a fresh sandbox has its listener")?;
    let listener = TcpListener::from_std(listener)?;
    let mut times: [Vec<Duration>; 6] = Default::default();
    let mut connection = echo(&sandbox, &listener).await?;
    for _ in 0..runs {
        times[0].push(round_trip(&mut connection).await?);
        let begin = clock::now();
        sandbox.freeze()?;
        times[1].push(begin.elapsed());
        // As long as the kernel needs to stop it, and more.
        tokio::time::sleep(Duration::from_millis(2)).await;
        let begin = clock::now();
        sandbox.thaw()?;
        times[2].push(begin.elapsed());
        round_trip(&mut connection).await?;
        times[3].push(begin.elapsed());
    }
    for _ in 0..runs {
        let begin = clock::now();
        let reached = sandbox.connector().connect(9001).await?;
        times[4].push(begin.elapsed());
        drop((reached, listener.accept().await?));
    }
    for _ in 0..runs.min(100) {
        let begin = clock::now();
        sandbox.kill_all().await?;
        times[5].push(begin.elapsed());
        connection = echo(&sandbox, &listener).await?;
    }
    drop(connection);
    sandbox.destroy().await?;
    let [trip, freeze, thaw, thawed_trip, connect, kill_all] = times.map(median);
    eprintln!(
        "freeze {freeze:?}, thaw {thaw:?}, round trip {trip:?}, thaw and round trip \
         {thawed_trip:?}, connect into it {connect:?}, kill all {kill_all:?}"
    );
    Ok(serde_json::json!({
        "freeze_us": freeze.as_micros(), "thaw_us": thaw.as_micros(),
        "round_trip_us": trip.as_micros(), "thaw_round_trip_us": thawed_trip.as_micros(),
        "connect_us": connect.as_micros(), "kill_all_us": kill_all.as_micros(), "runs": runs,
    }))
}

async fn echo(sandbox: &Sandbox, listener: &TcpListener) -> Result<TcpStream> {
    sandbox
        .spawn(ProcessSpec {
            program: "/bin/bash".into(),
            args: vec!["bash".into(), "-c".into(), ECHO.into()],
            env: vec![("PATH".into(), "/usr/bin:/bin".into())],
            cwd: "/tmp".into(),
        })
        .await?;
    let (mut connection, _) = listener.accept().await?;
    round_trip(&mut connection).await?;
    Ok(connection)
}

async fn round_trip(connection: &mut TcpStream) -> Result<Duration> {
    let mut answer = [0; 5];
    let begin = clock::now();
    connection.write_all(b"hello").await?;
    connection.read_exact(&mut answer).await?;
    ensure!(&answer == b"hello", "the echo said something else");
    Ok(begin.elapsed())
}
