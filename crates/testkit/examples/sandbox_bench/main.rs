//! How long a sandbox takes from command to the guest's first request, against fork + exec + wait
//! of `/bin/true` in the same run. Needs root.
//!
//! `cargo run --release -p bootlace-testkit --example sandbox_bench [-- RUNS]` prints a table on
//! standard error and one JSON document on standard output.

mod control;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bootlace_sandbox::{
    Driver, LinuxDriver, LinuxOptions, ProcessSpec, SandboxSpec, SpawnerCommand, TreeMount,
};
use bootlace_types::clock;
use tokio::io::AsyncReadExt;

/// Idle time before each start in the spaced runs: the way real cold starts come.
const SPACE: Duration = Duration::from_millis(50);
const HIDDEN_VERB: &str = "sandbox-init";

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(HIDDEN_VERB) {
        return bootlace_sandbox::spawner_main();
    }
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn measure() -> Result<()> {
    let runs: usize = match std::env::args().nth(1) {
        Some(runs) => runs.parse().context("the argument is a number of runs")?,
        None => 200,
    };
    let dir = tempfile::tempdir()?;
    let task = dir.path().join("trees/task");
    std::fs::create_dir_all(&task)?;
    let begin = clock::now();
    let driver = start(dir.path())?;
    eprintln!("spawner ready after {:?}", begin.elapsed());
    let bench = Bench {
        driver,
        task: task.clone(),
    };
    compile(&task.join("bootstrap"))?;
    bench.start().await?; // makes the template
    let mut results = Vec::new();
    for (name, pause) in [("loop", None), ("spaced 50 ms", Some(SPACE))] {
        let runs = if pause.is_some() { runs.min(100) } else { runs };
        let mut base = Vec::new();
        let mut starts = Vec::new();
        let mut stages: [Vec<Duration>; 3] = Default::default();
        let mut ends = Vec::new();
        let mut clocks: Vec<(String, Vec<u32>)> = Vec::new();
        for _ in 0..runs {
            rest(pause).await;
            base.push(fork_exec_wait()?);
            rest(pause).await;
            let times = bench.start().await?;
            starts.push(times.request);
            ends.push(times.destroyed);
            note(&mut clocks, times.stages_us);
            stages[0].push(times.created);
            stages[1].push(times.spawned);
            stages[2].push(times.request);
        }
        let (base, start, end) = (median(base), median(starts), median(ends));
        show(&clocks);
        let [created, spawned, request] = stages.map(median);
        let ratio = start.as_secs_f64() / base.as_secs_f64();
        eprintln!(
            "{name:>13}: /bin/true {base:?}, start to first request {start:?} = {ratio:.2}x \
             (created {created:?}, spawned {spawned:?}, request {request:?}), destroy {end:?}"
        );
        results.push(serde_json::json!({
            "run": name, "base_us": base.as_micros(), "start_us": start.as_micros(),
            "destroy_us": end.as_micros(), "ratio": ratio, "runs": runs,
        }));
    }
    for workers in [1, 2, 4, 8] {
        let rate = bench.rate(workers, runs * 2).await?;
        eprintln!("{workers} at once: {rate:.0} sandboxes started, heard and destroyed per second");
        results.push(serde_json::json!({ "workers": workers, "per_second": rate }));
    }
    results.push(control::measure(&bench, runs).await?);
    println!("{}", serde_json::Value::from(results));
    bench.driver.shutdown().await;
    Ok(())
}

fn start(dir: &Path) -> Result<Driver> {
    let spawner = SpawnerCommand {
        exe: std::env::current_exe()?,
        args: vec![HIDDEN_VERB.into()],
    };
    let instance = format!("bootlace-{:012x}", std::process::id());
    let options = LinuxOptions::new(spawner, instance, dir.join("run"), dir.join("trees"));
    Ok(Driver::Linux(LinuxDriver::start(options)?))
}

#[derive(Debug, Clone)]
struct Bench {
    driver: Driver,
    task: PathBuf,
}

struct Times {
    created: Duration,
    spawned: Duration,
    request: Duration,
    destroyed: Duration,
    stages_us: Vec<(String, u32)>,
}

impl Bench {
    fn spec(&self) -> SandboxSpec {
        SandboxSpec {
            id: "bench".into(),
            trees: vec![
                TreeMount {
                    target: "/var/task".into(),
                    layers: vec![self.task.clone()],
                },
                TreeMount {
                    target: "/opt".into(),
                    layers: vec![self.task.clone()],
                },
            ],
            memory_bytes: 128 << 20,
            tmp_bytes: 512 << 20,
            processes: 1024,
            listen_port: 9001,
            cpu: None,
        }
    }

    /// One sandbox from command to the first bytes of the guest's request, and its end.
    async fn start(&self) -> Result<Times> {
        let begin = clock::now();
        let mut sandbox = self.driver.create(self.spec()).await?;
        let created = begin.elapsed();
        let mut stages_us = sandbox.stages_us().to_vec();
        let listener = sandbox
            .take_listener()
            .context("a fresh sandbox has its listener")?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let process = sandbox
            .spawn(ProcessSpec {
                program: "/var/task/bootstrap".into(),
                args: vec!["/var/task/bootstrap".into()],
                env: vec![("AWS_LAMBDA_RUNTIME_API".into(), "127.0.0.1:9001".into())],
                cwd: "/var/task".into(),
            })
            .await?;
        let spawned = begin.elapsed();
        let (mut connection, _) = listener.accept().await?;
        let mut bytes = [0; 256];
        let read = connection.read(&mut bytes).await?;
        let request = begin.elapsed();
        ensure!(
            bytes[..read].starts_with(b"GET /2018-06-01/"),
            "the guest said something else"
        );
        stages_us.extend(process.stages_us);
        drop((connection, listener, process.exit, process.output));
        let begin = clock::now();
        sandbox.destroy().await?;
        Ok(Times {
            created,
            spawned,
            request,
            destroyed: begin.elapsed(),
            stages_us,
        })
    }

    async fn rate(&self, workers: usize, runs: usize) -> Result<f64> {
        let begin = clock::now();
        let each = runs / workers;
        let work = (0..workers).map(|_| {
            let bench = self.clone();
            let kind = bootlace_tasks::TaskKind::disposable("bench worker");
            bootlace_tasks::spawn(kind, async move {
                for _ in 0..each {
                    bench.start().await?;
                }
                Ok::<_, anyhow::Error>(())
            })
        });
        for worker in work.collect::<Vec<_>>() {
            worker.await?.context("a worker panicked")??;
        }
        #[allow(clippy::cast_precision_loss, reason = "a few thousand")]
        Ok((each * workers) as f64 / begin.elapsed().as_secs_f64())
    }
}

/// Collects the clock of each stage, in the order of the stages.
fn note(clocks: &mut Vec<(String, Vec<u32>)>, stages: Vec<(String, u32)>) {
    for (index, (name, us)) in stages.into_iter().enumerate() {
        match clocks.get_mut(index) {
            Some((_, times)) => times.push(us),
            None => clocks.push((name, vec![us])),
        }
    }
}

fn show(clocks: &[(String, Vec<u32>)]) {
    let text = clocks.iter().map(|(name, times)| {
        let mut times = times.clone();
        times.sort_unstable();
        format!("{name} {}", times[times.len() / 2])
    });
    eprintln!(
        "stages, microseconds: {}",
        text.collect::<Vec<_>>().join(", ")
    );
}

async fn rest(pause: Option<Duration>) {
    if let Some(pause) = pause {
        tokio::time::sleep(pause).await;
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the floor that is measured against"
)]
fn fork_exec_wait() -> Result<Duration> {
    let begin: Instant = clock::now();
    ensure!(
        Command::new("/bin/true").status()?.success(),
        "/bin/true failed"
    );
    Ok(begin.elapsed())
}

#[allow(clippy::disallowed_methods, reason = "the guest is compiled here")]
fn compile(output: &Path) -> Result<()> {
    let source = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/examples/sandbox_bench/bootstrap.rs"
    );
    let status = Command::new("rustc")
        .args([
            "--edition",
            "2024",
            "-C",
            "panic=abort",
            "-C",
            "opt-level=s",
            "-C",
            "strip=symbols",
        ])
        .args(["-C", "relocation-model=static"])
        .args([
            "-C",
            "link-args=-nostartfiles -nostdlib -static -no-pie -Wl,--build-id=none",
        ])
        .arg("-o")
        .args([output, Path::new(source)])
        .status()
        .context("rustc is needed to compile the guest")?;
    ensure!(status.success(), "the guest does not compile");
    Ok(())
}

fn median(mut values: Vec<Duration>) -> Duration {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}
