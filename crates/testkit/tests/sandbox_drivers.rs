//! The drivers without isolation, the choice between drivers, and what doctor looks at.
#![allow(clippy::disallowed_methods, reason = "another user is another process")]
#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by failing there"
)]

mod sandbox_common;

use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use bootlace_sandbox::{
    Driver, End, ExitStatus, FakeDriver, Isolation, LinuxOptions, LocalDriver, LocalOptions,
    SandboxError, SpawnError, probe,
};
use sandbox_common::{
    PATIENCE, Tail, ask, bash, finish, output_of, program, require_root, serving, spec,
    unique_instance,
};
use tokio::io::AsyncWriteExt;

fn local(dir: &Path) -> Driver {
    Driver::Local(
        LocalDriver::start(LocalOptions {
            run_dir: dir.to_owned(),
        })
        .unwrap(),
    )
}

fn executable(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn local_runs_programs_of_the_trees_where_they_lie() {
    let dir = tempfile::tempdir().unwrap();
    let driver = local(dir.path());
    let task = dir.path().join("task");
    executable(
        &task.join("bootstrap"),
        "#!/bin/bash\necho $0 $1 in $PWD with $A; exit 4\n",
    );
    let (low, high) = (dir.path().join("low"), dir.path().join("high"));
    executable(&low.join("bin/tool"), "#!/bin/bash\necho low\n");
    executable(&low.join("bin/only-low"), "#!/bin/bash\necho only low\n");
    executable(&high.join("bin/tool"), "#!/bin/bash\necho high\n");
    let mut spec = spec(std::slice::from_ref(&task));
    spec.trees[1].layers = vec![low, high];
    let sandbox = driver.create(spec).await.unwrap();

    assert_eq!(sandbox.inside("/var/task/x"), task.join("x"));
    assert_eq!(sandbox.inside("/etc/passwd"), Path::new("/etc/passwd"));
    assert_eq!(
        sandbox.inside("/var/task/../x"),
        Path::new("/var/task/../x")
    );
    let mut process = program("/var/task/bootstrap", &["argument"]);
    process.env.push(("A".into(), "a value".into()));
    let (status, output) = finish(sandbox.spawn(process).await.unwrap()).await;
    assert_eq!(status, ExitStatus::exited(4));
    let task = task.display();
    assert_eq!(
        output,
        format!("{task}/bootstrap argument in {task} with a value\n")
    );
    for (tool, said) in [("tool", "high\n"), ("only-low", "only low\n")] {
        let process = program(&format!("/opt/bin/{tool}"), &[]);
        assert_eq!(finish(sandbox.spawn(process).await.unwrap()).await.1, said);
    }
    let error = sandbox
        .spawn(program("/var/task/absent", &[]))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            SpawnError::Exec {
                errno: libc::ENOENT,
                ..
            }
        ),
        "{error}"
    );
    driver.shutdown().await;
}

#[tokio::test]
async fn local_kills_the_whole_group_and_clears_its_directory() {
    let dir = tempfile::tempdir().unwrap();
    let driver = local(dir.path());
    let sandbox = driver.create(spec(&[])).await.unwrap();
    let process = sandbox
        .spawn(bash("sleep 600 & echo $!; sleep 600"))
        .await
        .unwrap();
    let begin = bootlace_types::clock::now();
    while sandbox.stats().unwrap().processes < 2 {
        assert!(begin.elapsed() < sandbox_common::PATIENCE);
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert!(sandbox.stats().unwrap().memory_bytes > 0);
    sandbox.destroy().await.unwrap();
    let (status, output) = finish(process).await;
    assert_eq!(status.end, End::Signaled(libc::SIGKILL));
    let orphan = output.trim();
    let stat = fs::read_to_string(format!("/proc/{orphan}/stat")).unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(") Z "), "{stat}");
    assert_eq!(fs::read_dir(dir.path().join("local")).unwrap().count(), 0);
}

#[tokio::test]
async fn local_listens_on_the_hosts_loopback() {
    let dir = tempfile::tempdir().unwrap();
    let driver = local(dir.path());
    let mut sandbox = driver.create(spec(&[])).await.unwrap();
    let listener: TcpListener = sandbox.take_listener().unwrap();
    listener.set_nonblocking(false).unwrap();
    let connection = TcpStream::connect(sandbox.address()).unwrap();
    assert_eq!(
        listener.accept().unwrap().1,
        connection.local_addr().unwrap()
    );
}

#[tokio::test]
async fn fake_runs_its_script_and_destroying_it_is_a_kill() {
    let driver = Driver::Fake(FakeDriver::new(
        |mut guest: bootlace_sandbox::FakeGuest| async move {
            let text = format!("{} {}\n", guest.program.display(), guest.env["PATH"]);
            guest.output.write_all(text.as_bytes()).await.unwrap();
            if guest.args.contains(&"hang".to_owned()) {
                std::future::pending::<()>().await;
            }
            ExitStatus::exited(7)
        },
    ));
    let sandbox = driver.create(spec(&[])).await.unwrap();
    let (status, output) = finish(sandbox.spawn(program("/x", &[])).await.unwrap()).await;
    assert_eq!(status, ExitStatus::exited(7));
    assert_eq!(output, "/x /usr/local/bin:/usr/bin:/bin\n");
    let mut process = sandbox.spawn(program("/x", &["hang"])).await.unwrap();
    assert_eq!(process.exit.now(), None);
    sandbox.destroy().await.unwrap();
    assert_eq!(
        process.exit.wait().await,
        ExitStatus::signaled(libc::SIGKILL)
    );
}

#[tokio::test]
async fn auto_takes_namespaces_and_local_must_be_asked_for() {
    require_root();
    let dir = tempfile::tempdir().unwrap();
    let options = || {
        LinuxOptions::new(
            sandbox_common::spawner(),
            unique_instance(),
            dir.path().join("run"),
            dir.path().join("trees"),
        )
    };
    let auto = Driver::select(Isolation::Auto, options()).unwrap();
    assert_eq!(auto.driver.name(), "namespaces");
    assert!(auto.why.contains("strongest"), "{}", auto.why);
    assert_eq!(
        output_of(&auto.driver.create(spec(&[])).await.unwrap(), "id -u").await,
        "993\n"
    );
    auto.driver.shutdown().await;
    let local = Driver::select(Isolation::Local, options()).unwrap();
    assert_eq!(local.driver.name(), "local");
    assert!(local.why.contains("without isolation"), "{}", local.why);
}

#[test]
fn doctor_finds_this_host_able_and_knows_a_remedy_for_everything_else() {
    require_root();
    let checks = probe::run();
    assert!(checks.len() > 15);
    for check in &checks {
        assert!(check.ok || !check.required, "{check:?}");
        assert_eq!(check.ok, check.remedy.is_none(), "{check:?}");
        assert!(!check.detail.is_empty(), "{check:?}");
    }
    probe::require_namespaces().unwrap();
}

#[test]
fn without_root_the_answer_names_the_remedy() {
    require_root();
    // The same look by an ordinary user, in a process of its own.
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_as_nobody"))
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut text = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert!(child.wait().unwrap().success());
    assert!(
        text.contains("isolation by namespaces is not possible on this host"),
        "{text}"
    );
    assert!(text.contains("sudo bootlace serve"), "{text}");
}

#[tokio::test]
async fn local_signals_kills_and_connects_but_cannot_freeze() {
    let dir = tempfile::tempdir().unwrap();
    let driver = local(dir.path());
    let sandbox = driver.create(spec(&[])).await.unwrap();
    assert!(!sandbox.can_freeze());
    let refused = sandbox.freeze().unwrap_err();
    assert!(refused.to_string().contains("--isolation"), "{refused}");
    sandbox.thaw().unwrap();
    let mut process = sandbox
        .spawn(bash(
            "trap 'exit 5' TERM; echo ready; while :; do read -t 1 < /dev/zero; done",
        ))
        .await
        .unwrap();
    let mut tail = Tail::new(process.output);
    assert_eq!(tail.line().await, "ready");
    process.signals.terminate();
    let status = tokio::time::timeout(PATIENCE, process.exit.wait()).await;
    assert_eq!(status.unwrap(), ExitStatus::exited(5));
    process.signals.kill();

    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    };
    let mut first = serving(&sandbox, port, "local").await;
    assert_eq!(
        ask(&sandbox.connector(), port).await.unwrap(),
        "local:hello"
    );
    first.signals.kill();
    let status = tokio::time::timeout(PATIENCE, first.exit.wait()).await;
    assert_eq!(status.unwrap().end, End::Signaled(libc::SIGKILL));
    let second = sandbox.spawn(bash("sleep 600 & sleep 600")).await.unwrap();
    sandbox.kill_all().await.unwrap();
    assert_eq!(finish(second).await.0.end, End::Signaled(libc::SIGKILL));
    assert_eq!(output_of(&sandbox, "echo again").await, "again\n");
    driver.shutdown().await;
}

#[tokio::test]
async fn fake_tells_its_script_what_is_done_to_it() {
    let (seen, mut guests) = tokio::sync::mpsc::channel(8);
    let driver = Driver::Fake(FakeDriver::new(
        move |mut guest: bootlace_sandbox::FakeGuest| {
            let seen = seen.clone();
            async move {
                seen.send(guest.frozen.clone()).await.unwrap();
                let asked = guest.terminated.wait_for(|asked| *asked).await;
                assert!(asked.is_ok());
                ExitStatus::exited(5)
            }
        },
    ));
    let sandbox = driver.create(spec(&[])).await.unwrap();
    assert!(sandbox.can_freeze());
    let mut first = sandbox.spawn(program("/x", &[])).await.unwrap();
    let mut second = sandbox.spawn(program("/x", &[])).await.unwrap();
    let frozen = guests.recv().await.unwrap();
    sandbox.freeze().unwrap();
    assert!(*frozen.borrow());
    let refused = sandbox.spawn(program("/x", &[])).await.unwrap_err();
    assert!(matches!(refused, SpawnError::Sandbox(SandboxError::Frozen)));
    sandbox.thaw().unwrap();
    assert!(!*frozen.borrow());
    first.signals.terminate();
    assert_eq!(first.exit.wait().await, ExitStatus::exited(5));
    second.signals.kill();
    let killed = ExitStatus::signaled(libc::SIGKILL);
    assert_eq!(second.exit.wait().await, killed);
    let third = sandbox.spawn(program("/x", &[])).await.unwrap();
    sandbox.freeze().unwrap();
    sandbox.kill_all().await.unwrap();
    assert_eq!(third.exit.now(), Some(killed));
    assert!(!*frozen.borrow());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (connected, accepted) = tokio::join!(
        async { sandbox.connector().connect(port).await },
        listener.accept()
    );
    assert_eq!(
        connected.unwrap().local_addr().unwrap(),
        accepted.unwrap().1
    );
}
