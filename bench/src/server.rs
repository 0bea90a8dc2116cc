//! Starts a server as a child process, waits for its `listening on` line, and stops it again.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use bootlace_types::clock;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::run::Options;

const START: Duration = Duration::from_secs(20);
const STOP: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    /// From before the process was started to its line.
    pub(crate) started_in: Duration,
    _stdout: Lines<BufReader<ChildStdout>>,
}

impl Server {
    /// Starts Bootlace on a data directory.
    pub(crate) async fn bootlace(options: &Options, data: &Path) -> anyhow::Result<Self> {
        Self::bootlace_with(options, data, &[]).await
    }

    /// With settings beside the defaults, as environment variables.
    pub(crate) async fn bootlace_with(
        options: &Options,
        data: &Path,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let mut command = command(&options.bootlace);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data);
        command.env("BOOTLACE_SERVER__LOG", "warn");
        command.envs(settings.iter().copied());
        Self::start(command).await.context("bootlace serve")
    }

    /// Starts the floor with that many function processes.
    pub(crate) async fn floor(options: &Options, processes: usize) -> anyhow::Result<Self> {
        let mut command = command(&std::env::current_exe()?);
        command
            .arg("floor")
            .arg("--function")
            .arg(&options.function);
        command.args(["--processes", &processes.to_string()]);
        Self::start(command).await.context("the floor")
    }

    async fn start(mut command: Command) -> anyhow::Result<Self> {
        let begun = clock::now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().context("no stdout")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = timeout(START, lines.next_line())
            .await
            .context("it never said `listening`")??;
        let started_in = begun.elapsed();
        let Some(line) = line else {
            bail!("it ended before it listened: {}", child.wait().await?)
        };
        let address = line
            .strip_prefix("listening on http://")
            .context("an odd first line")?;
        let address = address
            .trim()
            .parse()
            .with_context(|| format!("no address in {line:?}"))?;
        Ok(Self {
            child,
            address,
            started_in,
            _stdout: lines,
        })
    }

    pub(crate) fn pid(&self) -> anyhow::Result<i32> {
        Ok(i32::try_from(self.child.id().context("the server ended")?)?)
    }

    /// Sends SIGTERM and insists on exit code 0.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let pid = Pid::from_raw(self.pid()?).context("no process id")?;
        kill_process(pid, Signal::TERM)?;
        let status = timeout(STOP, self.child.wait())
            .await
            .context("it ignored SIGTERM")??;
        if !status.success() {
            bail!("after SIGTERM the server ended with {status}");
        }
        Ok(())
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "a benchmark starts what it measures"
)]
fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    // Settings of the person who runs this must not change what is measured.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("BOOTLACE_") {
            command.env_remove(name);
        }
    }
    command
}
