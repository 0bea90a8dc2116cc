//! A sandbox is frozen, emptied, reached and slowed from outside while it lives.
#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by failing there"
)]

mod sandbox_common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bootlace_sandbox::{CpuShare, ExitStatus, Process, SandboxError, SpawnError};
use bootlace_types::clock;
use sandbox_common::{
    Host, PATIENCE, Tail, bash, eventually, finish, frozen, group, groups, output_of, program, spec,
};

/// Processor time of all tasks in a group, ticks, as the kernel counts it whoever asks.
fn ticks(group: &Path) -> u64 {
    let pids = fs::read_to_string(group.join("cgroup.procs")).unwrap();
    let used = |pid: &str| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields = stat.rsplit_once(") ")?.1;
        let times = fields.split(' ').skip(11).take(2);
        times
            .map(|time| time.parse::<u64>().ok())
            .sum::<Option<u64>>()
    };
    pids.lines().filter_map(used).sum()
}

async fn ends_within_patience(process: &mut Process) -> ExitStatus {
    tokio::time::timeout(PATIENCE, process.exit.wait())
        .await
        .expect("it ends")
}

#[tokio::test]
async fn a_frozen_sandbox_makes_no_progress_and_goes_on_when_thawed() {
    let host = Host::start();
    let sandbox = host.empty().await;
    assert!(sandbox.can_freeze());
    // A process and one in its background, both counting.
    let count = "i=0; while :; do i=$((i+1)); done";
    let script = format!("({count}) & echo counting; {count}");
    let process = sandbox.spawn(bash(&script)).await.unwrap();
    let mut tail = Tail::new(process.output);
    assert_eq!(tail.line().await, "counting");
    let group = group(&host, "unified");
    eventually("both have run", || ticks(&group) > 4).await;
    let other = host.empty().await;
    let _clock = other.spawn(bash(count)).await.unwrap();
    let clock = groups(&host, "unified");
    let clock = clock.iter().find(|other| **other != group).unwrap();

    sandbox.freeze().unwrap();
    sandbox.freeze().unwrap();
    eventually("all are frozen", || frozen(&group)).await;
    let before = ticks(&group);
    assert!(sandbox.stats().unwrap().processes >= 2);
    let passed = ticks(clock);
    eventually("others go on", || ticks(clock) > passed + 20).await;
    assert_eq!(ticks(&group), before);
    // Whoever is born there would not run, so nobody is.
    let refused = sandbox.spawn(program("/bin/true", &[])).await.unwrap_err();
    assert!(
        matches!(refused, SpawnError::Sandbox(SandboxError::Frozen)),
        "{refused}"
    );

    sandbox.thaw().unwrap();
    eventually("they go on", || ticks(&group) > before + 4).await;
    assert_eq!(output_of(&sandbox, "echo well").await, "well\n");
    host.driver.shutdown().await;
}

#[tokio::test]
async fn freezing_many_times_while_processes_start_hangs_nothing() {
    let host = Host::start();
    let sandbox = host.empty().await;
    let other = host.empty().await;
    let mut refused = 0;
    for _ in 0..100 {
        // Given up half-way, so that it may or may not be on its way.
        let start = sandbox.spawn(program("/bin/true", &[]));
        let _ = tokio::time::timeout(Duration::ZERO, start).await;
        match sandbox.freeze() {
            Ok(()) => sandbox.thaw().unwrap(),
            Err(SandboxError::Busy) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused > 0, "no start was ever under way");
    assert_eq!(output_of(&other, "echo well").await, "well\n");
    let begin = clock::now();
    while sandbox.freeze().is_err() {
        assert!(begin.elapsed() < PATIENCE, "busy for ever");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(output_of(&other, "echo well").await, "well\n");
    host.driver.shutdown().await;
}

/// Starts a daemon that left its session and its parents, and a child that ignores signals.
const DAEMON: &str = "trap '' TERM HUP INT; (setsid bash -c 'trap \"\" TERM HUP; \
    (setsid sleep 600 & setsid sleep 600 & echo away >&3; sleep 600) & sleep 600' 3>&1 &) ; \
    (setsid sleep 600 &); sleep 600";

#[tokio::test]
async fn kill_all_ends_everything_and_keeps_the_sandbox() {
    let host = Host::start();
    for frozen_first in [false, true] {
        let mut sandbox = host.empty().await;
        let listener = sandbox.take_listener().unwrap();
        output_of(&sandbox, "echo kept > /tmp/file").await;
        let first = sandbox.spawn(bash(DAEMON)).await.unwrap();
        let mut second = sandbox
            .spawn(program("/bin/sleep", &["600"]))
            .await
            .unwrap();
        let mut tail = Tail::new(first.output);
        assert_eq!(tail.line().await, "away");
        let group = group(&host, "unified");
        eventually("all of them run", || {
            sandbox.stats().unwrap().processes >= 7
        })
        .await;
        if frozen_first {
            sandbox.freeze().unwrap();
            eventually("all are frozen", || frozen(&group)).await;
        }

        sandbox.kill_all().await.unwrap();

        assert_eq!(sandbox.stats().unwrap().processes, 0);
        assert_eq!(fs::read_to_string(group.join("cgroup.procs")).unwrap(), "");
        let killed = ExitStatus::signaled(libc::SIGKILL);
        assert_eq!(first.exit.now(), Some(killed));
        assert_eq!(second.exit.now(), Some(killed));
        assert_eq!(ends_within_patience(&mut second).await, killed);
        assert_eq!(tail.rest().await, "", "nobody holds the pipe any more");
        // All that is not a process is as it was.
        assert_eq!(output_of(&sandbox, "cat /tmp/file").await, "kept\n");
        let talk = "exec 3<>/dev/tcp/127.0.0.1/9001; echo hello >&3";
        output_of(&sandbox, talk).await;
        assert!(listener.accept().is_ok());
        sandbox.kill_all().await.unwrap();
        sandbox.destroy().await.unwrap();
    }
    host.driver.shutdown().await;
}

#[tokio::test]
async fn no_fork_bomb_survives_kill_all() {
    let host = Host::start();
    let sandbox = host.empty().await;
    let other = host.empty().await;
    for _ in 0..3 {
        // Every process starts others as fast as it can, and none waits for any.
        let bomb =
            "bomb() { (bomb &) ; (bomb &) ; }; bomb 2>/dev/null; bomb 2>/dev/null; sleep 600";
        let process = sandbox.spawn(bash(bomb)).await.unwrap();
        eventually("it is at its limit", || {
            sandbox.stats().unwrap().processes > 40
        })
        .await;
        let killed = tokio::time::timeout(PATIENCE, sandbox.kill_all()).await;
        killed.unwrap().unwrap();
        assert_eq!(sandbox.stats().unwrap().processes, 0);
        assert_eq!(
            process.exit.now(),
            Some(ExitStatus::signaled(libc::SIGKILL))
        );
        assert_eq!(output_of(&other, "echo well").await, "well\n");
    }
    host.driver.shutdown().await;
}

#[tokio::test]
async fn want_of_memory_is_blamed_on_nobody_after_kill_all() {
    let host = Host::start();
    let binary = fs::read(env!("CARGO_BIN_EXE_prober")).unwrap();
    let task = host.tree(&[("prober", &binary, 0o755)]);
    let sandbox = host.sandbox(&task).await;
    // It outlives a child that was killed for want of memory.
    let script = "/var/task/prober memory; echo survived; sleep 600";
    let process = sandbox.spawn(bash(script)).await.unwrap();
    let mut tail = Tail::new(process.output);
    while tail.line().await != "survived" {}
    sandbox.kill_all().await.unwrap();
    let killed = ExitStatus::signaled(libc::SIGKILL);
    assert_eq!(process.exit.now(), Some(killed));
    let process = sandbox.spawn(bash("kill -9 $$")).await.unwrap();
    assert_eq!(finish(process).await.0, killed);
    let process = sandbox
        .spawn(program("/var/task/prober", &["memory"]))
        .await
        .unwrap();
    assert!(finish(process).await.0.out_of_memory);
    host.driver.shutdown().await;
}

#[tokio::test]
async fn several_processes_run_at_once_and_each_has_its_own_output_and_end() {
    let host = Host::start();
    let sandbox = host.empty().await;
    let mut waiting = Vec::new();
    for index in 0..8 {
        let script =
            format!("echo I am {index}; until test -e /tmp/go-{index}; do :; done; exit {index}");
        waiting.push(sandbox.spawn(bash(&script)).await.unwrap());
    }
    // Each ends when it is told to, in another order than they started, while the others go on.
    for index in (0..8).rev() {
        let process = waiting.pop().unwrap();
        assert_eq!(process.exit.now(), None);
        output_of(&sandbox, &format!("touch /tmp/go-{index}")).await;
        let (status, output) = finish(process).await;
        assert_eq!(status, ExitStatus::exited(index));
        assert_eq!(output, format!("I am {index}\n"));
        assert!(waiting.iter().all(|other| other.exit.now().is_none()));
    }
    host.driver.shutdown().await;
}

#[tokio::test]
async fn a_process_is_asked_to_end_and_made_to() {
    let host = Host::start();
    let sandbox = host.empty().await;
    let bystander = sandbox
        .spawn(program("/bin/sleep", &["600"]))
        .await
        .unwrap();
    let polite =
        "trap 'echo asked; exit 5' TERM; echo ready; while :; do read -t 1 < /dev/zero; done";
    let mut process = sandbox.spawn(bash(polite)).await.unwrap();
    let mut tail = Tail::new(process.output);
    assert_eq!(tail.line().await, "ready");
    process.signals.terminate();
    assert_eq!(tail.line().await, "asked");
    let status = tokio::time::timeout(PATIENCE, process.exit.wait()).await;
    assert_eq!(status.unwrap(), ExitStatus::exited(5));
    // Its number may be another's now; the signal is not.
    process.signals.terminate();
    process.signals.kill();

    let deaf = "trap '' TERM; sleep 600 & echo $!; wait; sleep 600";
    let mut process = sandbox.spawn(bash(deaf)).await.unwrap();
    let mut tail = Tail::new(process.output);
    tail.line().await;
    let signals = process.signals.clone();
    signals.terminate();
    signals.kill();
    let status = tokio::time::timeout(PATIENCE, process.exit.wait()).await;
    assert_eq!(status.unwrap(), ExitStatus::signaled(libc::SIGKILL));
    assert_eq!(tail.rest().await, "", "its children went with it");
    assert_eq!(bystander.exit.now(), None);
    sandbox.destroy().await.unwrap();
    signals.kill();
    host.driver.shutdown().await;
}

#[tokio::test]
async fn a_share_of_the_processor_is_kept_to() {
    let host = Host::start();
    let free = host.empty().await;
    let _idle = free.spawn(program("/bin/sleep", &["600"])).await.unwrap();
    assert_eq!(groups(&host, "cpu"), Vec::<PathBuf>::new());
    let mut spec = spec(&[]);
    spec.cpu = Some(CpuShare {
        quota_us: 5_000,
        period_us: 100_000,
    });
    let sandbox = host.driver.create(spec.clone()).await.unwrap();
    let _spinner = sandbox.spawn(bash("while :; do :; done")).await.unwrap();
    let group = group(&host, "cpu");
    let throttled = || {
        let stat = fs::read_to_string(group.join("cpu.stat")).unwrap();
        let line = stat
            .lines()
            .find_map(|line| line.strip_prefix("nr_throttled "));
        line.unwrap().parse::<u64>().unwrap()
    };
    eventually("it is held back again and again", || throttled() >= 3).await;
    // More than it can use, and it runs on.
    let more = CpuShare {
        quota_us: 10_000_000,
        period_us: 100_000,
    };
    sandbox.share_cpu(more).unwrap();
    let unified = groups(&host, "unified");
    let busy = unified.iter().max_by_key(|group| ticks(group)).unwrap();
    let (held_back, used) = (throttled(), ticks(busy));
    eventually("it runs on", || ticks(busy) > used + 10).await;
    assert!(throttled() <= held_back + 1);
    let refused = free.share_cpu(more).unwrap_err();
    assert!(refused.to_string().contains("without a share"), "{refused}");
    // What starts later is in it, too.
    let _second = sandbox
        .spawn(program("/bin/sleep", &["600"]))
        .await
        .unwrap();
    let procs = || fs::read_to_string(group.join("cgroup.procs")).unwrap();
    assert_eq!(procs().lines().count(), 2);
    sandbox.destroy().await.unwrap();
    eventually("its group is removed", || !group.exists()).await;
    spec.cpu = Some(CpuShare {
        quota_us: 1,
        period_us: 100_000,
    });
    let refused = host.driver.create(spec).await.unwrap_err();
    assert!(matches!(refused, SandboxError::Invalid(_)), "{refused}");
    host.driver.shutdown().await;
    assert_eq!(
        sandbox_common::cgroups(&host.instance),
        Vec::<PathBuf>::new()
    );
}

#[tokio::test]
async fn code_that_uses_up_its_share_holds_nobody_else_up() {
    let host = Host::start();
    let mut spec = spec(&[]);
    spec.cpu = Some(CpuShare {
        quota_us: 2_000,
        period_us: 100_000,
    });
    let sandbox = host.driver.create(spec).await.unwrap();
    // Each of these would have to wait for the others, a twentieth of a processor being all there is.
    let spin = "for i in 1 2 3 4 5 6 7 8; do (while :; do :; done) & done; echo spinning; wait";
    let process = sandbox.spawn(bash(spin)).await.unwrap();
    assert_eq!(Tail::new(process.output).line().await, "spinning");
    let group = group(&host, "cpu");
    let kind = bootlace_tasks::TaskKind::disposable("test start");
    let sandbox = std::sync::Arc::new(sandbox);
    let start = || {
        let sandbox = std::sync::Arc::clone(&sandbox);
        bootlace_tasks::spawn(kind, async move {
            sandbox.spawn(program("/bin/sleep", &["600"])).await
        })
    };
    let mut starting = start();
    let (mut meanwhile, begin) = (0, clock::now());
    while meanwhile < 10 {
        assert!(begin.elapsed() < PATIENCE, "others wait as long as it does");
        assert_eq!(output_of(&host.empty().await, "echo well").await, "well\n");
        if starting.is_finished() {
            starting = start();
        } else {
            meanwhile += 1;
        }
    }
    match sandbox.freeze() {
        Ok(()) => sandbox.thaw().unwrap(),
        Err(error) => assert!(matches!(error, SandboxError::Busy), "{error}"),
    }
    // It is killed on its way, or when it has started; whoever asked learns of it.
    sandbox.kill_all().await.unwrap();
    let started = tokio::time::timeout(PATIENCE, starting).await;
    let mut process = started.unwrap().unwrap().unwrap().unwrap();
    let killed = ExitStatus::signaled(libc::SIGKILL);
    assert_eq!(ends_within_patience(&mut process).await, killed);
    assert_eq!(fs::read_to_string(group.join("cgroup.procs")).unwrap(), "");
    // With nobody in the way it starts as anywhere, and what cannot be started is told as anywhere.
    let absent = sandbox
        .spawn(program("/var/task/absent", &[]))
        .await
        .unwrap_err();
    let errno = libc::ENOENT;
    assert!(
        matches!(absent, SpawnError::Exec { errno: told, .. } if told == errno),
        "{absent}"
    );
    let mut nowhere = program("/bin/true", &[]);
    nowhere.cwd = "/nowhere".into();
    let error = sandbox.spawn(nowhere).await.unwrap_err().to_string();
    assert!(error.contains("`directory`"), "{error}");
    assert_eq!(output_of(&sandbox, "echo well").await, "well\n");
    sandbox.freeze().unwrap();
    host.driver.shutdown().await;
}
