//! Nothing of a sandbox outlives it, however it, the spawner or the server ends.
#![allow(
    clippy::disallowed_methods,
    reason = "what is killed here is a process"
)]
#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by failing there"
)]

mod sandbox_common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use bootlace_sandbox::{
    End, ExitStatus, LinuxDriver, LinuxOptions, Process, Sandbox, SandboxError,
};
use bootlace_types::clock;
use sandbox_common::{
    Host, PATIENCE, Tail, bash, cgroups, eventually, finish, frozen, group, output_of, program,
    require_root, spawner, unique_instance,
};

/// Everything countable that a spawner has.
#[derive(Debug, PartialEq, Eq)]
struct Count {
    children: usize,
    descriptors: usize,
    own_descriptors: usize,
    mounts: usize,
}

impl Count {
    fn of(spawner: u32) -> Self {
        let entries = |path: String| fs::read_dir(path).map_or(0, Iterator::count);
        let lines = |path: &str| fs::read_to_string(path).unwrap_or_default().lines().count();
        Self {
            children: processes(|_, parent| parent == spawner).len(),
            descriptors: entries(format!("/proc/{spawner}/fd")),
            own_descriptors: entries("/proc/self/fd".into()),
            mounts: lines("/proc/self/mountinfo") + lines(&format!("/proc/{spawner}/mountinfo")),
        }
    }
}

/// Processes of the host, chosen by uid and parent.
fn processes(wanted: impl Fn(u32, u32) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u32>().ok()
        };
        if let (Some(uid), Some(parent)) = (field("Uid:"), field("PPid:"))
            && wanted(uid, parent)
        {
            found.push(status.lines().take(3).collect::<Vec<_>>().join(" "));
        }
    }
    found
}

fn directories(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .count()
}

/// The count once the pools are full and nothing changes any more.
async fn settle(spawner: u32) -> Count {
    let begin = clock::now();
    let mut last = Count::of(spawner);
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = Count::of(spawner);
        if now == last && now.children == 0 {
            return now;
        }
        assert!(begin.elapsed() < PATIENCE, "never settles: {now:?}");
        last = now;
    }
}

fn alive(pid: u32) -> bool {
    // A zombie waits for its parent, but has nothing any more.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn two_hundred_sandboxes_leave_nothing() {
    let host = Host::start();
    let spawner = host.linux.spawner_pid();
    // The pools fill first; they are not a leak.
    output_of(&host.empty().await, "true").await;
    let before = settle(spawner).await;
    for _ in 0..50 {
        let sandboxes = [host.empty().await, host.empty().await, host.empty().await];
        let dropped = host.empty().await;
        assert_eq!(output_of(&dropped, "echo x").await, "x\n");
        for sandbox in sandboxes {
            sandbox.destroy().await.unwrap();
        }
    }
    // Up to 32 prepared places are kept, of three descriptors each; 200 leaked ones are more.
    let pooled = before.descriptors + 32 * 3;
    let as_before = format!("as before: {before:?}");
    eventually(&as_before, || {
        let now = Count::of(spawner);
        let pooled_now = now.descriptors <= pooled;
        pooled_now
            && Count {
                descriptors: before.descriptors,
                ..now
            } == before
    })
    .await;
    let groups = || {
        cgroups(&host.instance)
            .iter()
            .map(|dir| directories(dir))
            .max()
    };
    eventually("only the prepared cgroups are left", || groups() <= Some(8)).await;
    host.driver.shutdown().await;
    assert_eq!(cgroups(&host.instance), Vec::<PathBuf>::new());
    assert!(!alive(spawner));
}

#[tokio::test]
async fn a_killed_server_takes_everything_with_it() {
    kill_a_server(&[]).await;
}

#[tokio::test]
async fn a_killed_server_takes_what_is_frozen_with_it() {
    kill_a_server(&["frozen"]).await;
}

async fn kill_a_server(arguments: &[&str]) {
    require_root();
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("trees")).unwrap();
    let instance = unique_instance();
    let mut server = Command::new(env!("CARGO_BIN_EXE_sandbox_server"))
        .args([&spawner().exe.display().to_string(), &instance])
        .arg(dir.path())
        .arg("5")
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let numbers: Vec<u32> = line
        .split_whitespace()
        .map(|n| n.parse().unwrap())
        .collect();
    let (spawner_pid, range) = (numbers[0], numbers[1] & 0xFFFF_0000);
    let ours = |uid: u32, _| uid & 0xFFFF_0000 == range;
    // Five times: process 1, the shell, two sleeps.
    eventually("all run", || processes(ours).len() == 20).await;
    assert!(!cgroups(&instance).is_empty());

    server.kill().unwrap();
    server.wait().unwrap();

    eventually("the spawner ends", || !alive(spawner_pid)).await;
    eventually("no process is left", || processes(ours).is_empty()).await;
    assert_eq!(cgroups(&instance), Vec::<PathBuf>::new());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(dir.path().to_str().unwrap()));
    dir.close()
        .expect("nothing is mounted in the data directory");
}

#[tokio::test]
async fn a_killed_spawner_is_reported_and_replaced() {
    let host = Host::start();
    let sandbox = host.empty().await;
    let uid = output_of(&sandbox, "read a b c < /proc/self/uid_map; echo $b").await;
    let range = uid.trim().parse::<u32>().unwrap() & 0xFFFF_0000;
    let process = sandbox.spawn(bash("sleep 600 & sleep 600")).await.unwrap();
    let old = host.linux.spawner_pid();
    let pid = rustix::process::Pid::from_raw(i32::try_from(old).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();

    let (status, _) = finish(process).await;
    assert_eq!(status.end, End::Lost);
    assert!(!host.driver.ready());
    let error = sandbox.spawn(program("/bin/true", &[])).await.unwrap_err();
    assert!(error.to_string().contains("spawner is gone"), "{error}");
    assert!(matches!(sandbox.stats(), Err(SandboxError::SpawnerGone)));
    sandbox.destroy().await.unwrap();
    let gone = |uid: u32, _| uid & 0xFFFF_0000 == range;
    eventually("no process is left", || {
        processes(gone).iter().all(|p| p.contains("(zombie)"))
    })
    .await;

    let again = host.again().await;
    assert_ne!(host.linux.spawner_pid(), old);
    assert!(host.driver.ready());
    assert_eq!(output_of(&again, "echo again").await, "again\n");
    host.driver.shutdown().await;
    assert_eq!(cgroups(&host.instance), Vec::<PathBuf>::new());
}

/// A process that left its session, and one that waits for it, both frozen.
async fn frozen_daemon(host: &Host) -> (Sandbox, Process, u32) {
    let sandbox = host.empty().await;
    let uid = "read a b c < /proc/self/uid_map; echo $b";
    let uid = output_of(&sandbox, uid).await.trim().parse().unwrap();
    let script = "(setsid sleep 600 &); echo away; sleep 600";
    let process = sandbox.spawn(bash(script)).await.unwrap();
    let output = process.output.try_clone().unwrap();
    assert_eq!(Tail::new(output).line().await, "away");
    sandbox.freeze().unwrap();
    let group = group(host, "unified");
    eventually("all are frozen", || frozen(&group)).await;
    (sandbox, process, uid)
}

#[tokio::test]
async fn a_frozen_sandbox_ends_like_any_other() {
    let host = Host::start();
    for dropped in [false, true] {
        let (sandbox, process, uid) = frozen_daemon(&host).await;
        if dropped {
            drop(sandbox);
        } else {
            sandbox.destroy().await.unwrap();
            assert_eq!(processes(|owner, _| owner == uid), Vec::<String>::new());
        }
        assert_eq!(finish(process).await.0.end, End::Signaled(libc::SIGKILL));
        let left = || processes(|owner, _| owner == uid).is_empty();
        eventually("no process is left", left).await;
    }
    let (_sandbox, process, uid) = frozen_daemon(&host).await;
    host.driver.shutdown().await;
    assert_ne!(finish(process).await.0.end, End::Exited(0));
    assert_eq!(processes(|owner, _| owner == uid), Vec::<String>::new());
    assert_eq!(cgroups(&host.instance), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_spawner_killed_while_code_is_frozen_leaves_nothing_frozen() {
    let host = Host::start();
    let (sandbox, process, uid) = frozen_daemon(&host).await;
    let frozen_group = group(&host, "unified");
    let spawner = i32::try_from(host.linux.spawner_pid()).unwrap();
    let spawner = rustix::process::Pid::from_raw(spawner).unwrap();
    rustix::process::kill_process(spawner, rustix::process::Signal::KILL).unwrap();
    assert_eq!(finish(process).await.0.end, End::Lost);
    assert!(matches!(sandbox.freeze(), Err(SandboxError::SpawnerGone)));
    assert!(matches!(sandbox.thaw(), Err(SandboxError::SpawnerGone)));
    assert!(matches!(
        sandbox.kill_all().await,
        Err(SandboxError::SpawnerGone)
    ));
    let left = || {
        processes(|owner, _| owner == uid)
            .iter()
            .all(|p| p.contains("(zombie)"))
    };
    eventually("no process is left", left).await;

    let again = host.again().await;
    assert_eq!(output_of(&again, "echo again").await, "again\n");
    assert!(!frozen_group.exists(), "the next spawner removes it");
    // The old sandbox is not mistaken for the new one.
    assert!(matches!(sandbox.thaw(), Err(SandboxError::SpawnerGone)));
    let connector = sandbox.connector();
    assert!(connector.connect(9001).await.is_err());
    drop(sandbox);
    assert_eq!(output_of(&again, "echo again").await, "again\n");
    host.driver.shutdown().await;
}

#[tokio::test]
async fn leftovers_of_an_earlier_life_are_swept() {
    sweep_leftovers(false).await;
}

#[tokio::test]
async fn frozen_leftovers_of_an_earlier_life_are_swept() {
    sweep_leftovers(true).await;
}

async fn sweep_leftovers(freeze: bool) {
    let host = Host::start();
    host.driver.shutdown().await;
    // As a life leaves it whose spawner was killed, too: cgroups, and a process in them. The name is
    // one that the new life does not use, whose spawner fills its pool at once.
    const LEFT: &str = "left";
    let mut left = Command::new("/bin/sleep").arg("600").spawn().unwrap();
    for place in ["memory", "pids", "unified"] {
        let top = Path::new("/sys/fs/cgroup").join(place);
        if !top.exists() {
            continue;
        }
        let own = fs::read_to_string("/proc/self/cgroup").unwrap();
        let own = own
            .lines()
            .find_map(|line| line.split_once(&format!(":{place}:/")));
        let group = top
            .join(own.map_or("", |(_, path)| path))
            .join(&host.instance)
            .join(LEFT);
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join("cgroup.procs"), left.id().to_string()).unwrap();
    }
    let left_in = |place: &str| {
        let all = cgroups(&host.instance).into_iter();
        let mut here = all.filter(|dir| dir.components().any(|part| part.as_os_str() == place));
        here.next().unwrap().join(LEFT)
    };
    if freeze {
        let group = left_in("unified");
        fs::write(group.join("cgroup.freeze"), "1").unwrap();
        eventually("it is frozen", || frozen(&group)).await;
    }
    assert!(!cgroups(&host.instance).is_empty());
    let options = LinuxOptions::new(
        spawner(),
        host.instance.clone(),
        host.data_dir().join("run"),
        host.trees.clone(),
    );
    let begin = std::thread::spawn(move || left.wait().unwrap());
    let again = LinuxDriver::start(options).unwrap();
    assert_eq!(begin.join().unwrap().signal(), Some(libc::SIGKILL));
    for dir in cgroups(&host.instance) {
        assert!(!dir.join(LEFT).exists(), "{}", dir.display());
    }
    bootlace_sandbox::Driver::Linux(again).shutdown().await;
}

#[tokio::test]
async fn two_servers_live_side_by_side() {
    let (one, two) = (Host::start(), Host::start());
    let (first, second) = (one.empty().await, two.empty().await);
    let uid = "read a b c < /proc/self/uid_map; echo $b";
    let uids = (output_of(&first, uid).await, output_of(&second, uid).await);
    let range = |uid: &str| uid.trim().parse::<u32>().unwrap() & 0xFFFF_0000;
    assert_ne!(range(&uids.0), range(&uids.1));
    let process = second
        .spawn(bash("sleep 0.2; echo survived"))
        .await
        .unwrap();
    one.driver.shutdown().await;
    assert_eq!(
        finish(process).await,
        (ExitStatus::exited(0), "survived\n".into())
    );
    two.driver.shutdown().await;
}
