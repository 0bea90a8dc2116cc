//! A server that only makes sandboxes, to be killed by a test: `sandbox_server SPAWNER INSTANCE DIR
//! COUNT [frozen]`. Prints the spawner's process id and the first host uid of its sandboxes when all run.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use anyhow::{Context, Result};
use bootlace_sandbox::{
    Driver, LinuxDriver, LinuxOptions, ProcessSpec, Sandbox, SandboxSpec, SpawnerCommand,
};

#[tokio::main]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [exe, instance, dir, count, frozen @ ..] = &args[..] else {
        anyhow::bail!("usage: sandbox_server SPAWNER INSTANCE DIR COUNT [frozen]");
    };
    let dir = PathBuf::from(dir);
    let spawner = SpawnerCommand {
        exe: exe.into(),
        args: Vec::new(),
    };
    let options = LinuxOptions::new(
        spawner,
        instance.clone(),
        dir.join("run"),
        dir.join("trees"),
    );
    let linux = LinuxDriver::start(options)?;
    let driver = Driver::Linux(linux.clone());
    let mut kept = Vec::new();
    for index in 0..count.parse::<usize>()? {
        let sandbox = driver.create(spec(index)).await?;
        let process = sandbox.spawn(sleep()).await?;
        kept.push((sandbox, process));
    }
    let (first, _) = kept.first().context("at least one")?;
    let uid = host_uid(first).await?;
    if !frozen.is_empty() {
        kept.iter().try_for_each(|(sandbox, _)| sandbox.freeze())?;
    }
    println!("{} {uid}", linux.spawner_pid());
    std::future::pending::<()>().await;
    Ok(())
}

fn spec(index: usize) -> SandboxSpec {
    SandboxSpec {
        id: format!("s{index}"),
        trees: Vec::new(),
        memory_bytes: 64 << 20,
        tmp_bytes: 8 << 20,
        processes: 16,
        listen_port: 9001,
        cpu: None,
    }
}

fn sleep() -> ProcessSpec {
    ProcessSpec {
        program: "/bin/bash".into(),
        args: vec!["bash".into(), "-c".into(), "sleep 600 & sleep 600".into()],
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        cwd: "/tmp".into(),
    }
}

async fn host_uid(sandbox: &Sandbox) -> Result<String> {
    let mut look = sleep();
    look.args[2] = "read inside outside rest < /proc/self/uid_map; echo $outside".into();
    let mut process = sandbox.spawn(look).await?;
    process.exit.wait().await;
    let mut text = String::new();
    let pipe: OwnedFd = process.output;
    std::fs::File::from(pipe).read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}
