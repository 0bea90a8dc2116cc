//! Sandboxes start programs, speak through their listener, and end.
#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by failing there"
)]

mod sandbox_common;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use bootlace_sandbox::{End, ExitStatus, Sandbox, SandboxError, SpawnError, TreeMount};
use sandbox_common::{Host, PATIENCE, bash, finish, output_of, program, spec};

#[tokio::test]
async fn a_script_runs_and_its_output_and_end_arrive() {
    let host = Host::start();
    let task = host.tree(&[(
        "bootstrap",
        b"#!/bin/bash\necho out; echo err >&2; exit 3\n",
        0o755,
    )]);
    let sandbox = host.sandbox(&task).await;
    let process = sandbox
        .spawn(program("/var/task/bootstrap", &[]))
        .await
        .unwrap();
    let (status, output) = finish(process).await;
    assert_eq!(status, ExitStatus::exited(3));
    assert_eq!(output, "out\nerr\n");
    sandbox.destroy().await.unwrap();
    host.driver.shutdown().await;
}

#[tokio::test]
async fn the_listener_inside_belongs_to_this_sandbox_alone() {
    let host = Host::start();
    let mut sandboxes = Vec::new();
    for _ in 0..3 {
        let mut sandbox = host.empty().await;
        assert_eq!(sandbox.address(), "127.0.0.1:9001");
        let listener = sandbox.take_listener().unwrap();
        assert!(sandbox.take_listener().is_none());
        sandboxes.push((sandbox, listener));
    }
    for (index, (sandbox, listener)) in sandboxes.iter().enumerate() {
        let script = format!("exec 3<>/dev/tcp/127.0.0.1/9001; echo I am {index} >&3; cat <&3");
        let process = sandbox.spawn(bash(&script)).await.unwrap();
        let heard = exchange(listener.try_clone().unwrap(), "welcome\n").await;
        assert_eq!(heard, format!("I am {index}\n"));
        assert_eq!(finish(process).await.1, "welcome\n");
    }
    host.driver.shutdown().await;
}

/// Accepts one connection, hears a line, answers and closes.
async fn exchange(listener: TcpListener, answer: &'static str) -> String {
    listener.set_nonblocking(false).unwrap();
    let heard = tokio::task::spawn_blocking(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let mut line = [0; 7];
        connection.read_exact(&mut line).unwrap();
        connection.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(line.to_vec()).unwrap()
    });
    tokio::time::timeout(PATIENCE, heard)
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn layers_are_merged_in_order_and_an_empty_list_is_an_empty_directory() {
    let host = Host::start();
    let low = host.tree(&[("bin/tool", b"low", 0o644), ("low", b"1", 0o644)]);
    let high = host.tree(&[("bin/tool", b"high", 0o644), ("bin/other", b"2", 0o644)]);
    let mut spec = spec(&[]);
    spec.trees[1].layers = vec![low, high];
    spec.trees.push(TreeMount {
        target: "/var/runtime".into(),
        layers: Vec::new(),
    });
    let sandbox = host.driver.create(spec).await.unwrap();
    let found = output_of(&sandbox, "cd /opt; find . -type f | sort; cat bin/tool").await;
    assert_eq!(found, "./bin/other\n./bin/tool\n./low\nhigh");
    assert_eq!(
        output_of(&sandbox, "ls -A /var/task /var/runtime").await,
        "/var/runtime:\n\n/var/task:\n"
    );
    host.driver.shutdown().await;
}

#[tokio::test]
async fn what_scripts_expect_is_there() {
    let host = Host::start();
    let task = host.tree(&[(
        "script",
        b"#!/bin/sh\nset -euo pipefail\nsource /dev/null\narray=(a b)\necho \"${array[1]} $0\"\n",
        0o755,
    )]);
    let sandbox = host.sandbox(&task).await;
    let process = sandbox
        .spawn(program("/var/task/script", &[]))
        .await
        .unwrap();
    assert_eq!(
        finish(process).await,
        (ExitStatus::exited(0), "b /var/task/script\n".into())
    );
    for (script, expected) in [
        ("echo a b | awk '{print $2}'", "b\n"),
        ("printf 'x\\ny\\n' | grep y | sed s/y/z/", "z\n"),
        ("id -un; id -u; id -g", "sbx_user1051\n993\n990\n"),
        (
            "curl -sS --max-time 2 http://127.0.0.1:9/ 2>&1 | head -c 8",
            "curl: (7",
        ),
        (
            "getent hosts sandbox.localdomain | awk '{print $1}'",
            "127.0.0.1\n",
        ),
        (
            "date +%Z; ulimit -n; ulimit -c; umask",
            "UTC\n1024\n0\n0022\n",
        ),
        // Open files also at most, processes as many as the sandbox may have, locked memory, stack.
        (
            "ulimit -Hn; ulimit -u; ulimit -Hu; ulimit -l; ulimit -s; pwd; test -e /dev/shm || echo none",
            "1024\n64\n64\n64\n8192\n/var/task\nnone\n",
        ),
        (
            "echo out > /dev/stdout; echo err > /dev/stderr",
            "out\nerr\n",
        ),
        ("head -c 3 /etc/pki/tls/certs/ca-bundle.crt | wc -c", "3\n"),
        ("dd if=/dev/urandom bs=4 count=1 2>/dev/null | wc -c", "4\n"),
        ("cat <(echo substituted)", "substituted\n"),
        // The spawner's precedence on the processor is not code's.
        (
            "test ! -e /proc/self/autogroup || grep -q 'nice 0$' /proc/self/autogroup; nice",
            "0\n",
        ),
        ("(sleep 0.01 & wait); echo waited", "waited\n"),
    ] {
        assert_eq!(output_of(&sandbox, script).await, expected, "{script}");
    }
    host.driver.shutdown().await;
}

#[tokio::test]
async fn languages_work_where_the_host_has_them() {
    let host = Host::start();
    let sandbox = host.empty().await;
    let threads = "import threading,socket,json,subprocess\n\
        t=threading.Thread(target=lambda:print('thread',flush=True));t.start();t.join()\n\
        print(subprocess.run(['echo','child'],capture_output=True,text=True).stdout.strip())";
    if std::path::Path::new("/usr/bin/python3").exists() {
        let process = sandbox
            .spawn(program("/usr/bin/python3", &["-c", threads]))
            .await
            .unwrap();
        assert_eq!(
            finish(process).await,
            (ExitStatus::exited(0), "thread\nchild\n".into())
        );
    }
    let worker = "const {Worker}=require('worker_threads');\
        new Worker('console.log(\"worker\")',{eval:true}).on('exit',()=>console.log('done'))";
    if std::path::Path::new("/usr/bin/node").exists() {
        let process = sandbox
            .spawn(program("/usr/bin/node", &["-e", worker]))
            .await
            .unwrap();
        assert_eq!(
            finish(process).await,
            (ExitStatus::exited(0), "worker\ndone\n".into())
        );
    }
    host.driver.shutdown().await;
}

#[tokio::test]
async fn a_program_that_cannot_be_executed_is_told_from_a_broken_sandbox() {
    let host = Host::start();
    let task = host.tree(&[
        ("plain", b"#!/bin/bash\n", 0o644),
        ("garbage", b"\x01\x02 garbage", 0o755),
        ("no-interpreter", b"#!/nowhere/sh\n", 0o755),
        ("dir/file", b"", 0o644),
    ]);
    let sandbox = host.sandbox(&task).await;
    for (path, expected) in [
        ("/var/task/absent", libc::ENOENT),
        ("/var/task/plain", libc::EACCES),
        ("/var/task/garbage", libc::ENOEXEC),
        ("/var/task/no-interpreter", libc::ENOENT),
        ("/var/task/dir", libc::EACCES),
    ] {
        match sandbox.spawn(program(path, &[])).await {
            Err(SpawnError::Exec { program, errno }) => {
                assert_eq!((program.as_str(), errno), (path, expected));
            }
            other => panic!("{path}: {other:?}"),
        }
    }
    let long = "x".repeat(140 * 1024);
    let error = sandbox
        .spawn(program("/bin/true", &[&long]))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            SpawnError::Exec {
                errno: libc::E2BIG,
                ..
            }
        ),
        "{error}"
    );
    let mut nowhere = program("/bin/true", &[]);
    nowhere.cwd = "/nowhere".into();
    let error = sandbox.spawn(nowhere).await.unwrap_err().to_string();
    assert!(error.contains("`directory`"), "{error}");
    // None of it hurt the sandbox.
    assert_eq!(output_of(&sandbox, "echo well").await, "well\n");
    host.driver.shutdown().await;
}

#[tokio::test]
async fn a_specification_that_breaks_the_rules_is_refused() {
    let host = Host::start();
    let refused = |error: SandboxError| matches!(error, SandboxError::Invalid(_));
    let mut outside = spec(&["/etc".into()]);
    assert!(refused(
        host.driver.create(outside.clone()).await.unwrap_err()
    ));
    outside.trees[0].layers = vec![host.trees.join("../run")];
    assert!(refused(host.driver.create(outside).await.unwrap_err()));
    let mut name = spec(&[]);
    name.id = "Not/A Name".into();
    assert!(refused(host.driver.create(name).await.unwrap_err()));
    let missing = spec(&[host.trees.join("missing")]);
    let error = host.driver.create(missing).await.unwrap_err();
    assert!(matches!(error, SandboxError::Stage { .. }), "{error}");
    assert_eq!(output_of(&host.empty().await, "echo well").await, "well\n");
    host.driver.shutdown().await;
}

#[tokio::test]
async fn the_end_of_a_sandbox_ends_its_processes_and_closes_their_output() {
    let host = Host::start();
    let sandbox = host.empty().await;
    let script = "(sleep 600 & sleep 600) & echo started; sleep 600";
    let process = sandbox.spawn(bash(script)).await.unwrap();
    let second = sandbox
        .spawn(program("/bin/sleep", &["600"]))
        .await
        .unwrap();
    sandbox.destroy().await.unwrap();
    for process in [process, second] {
        let (status, _) = finish(process).await;
        assert_eq!(status.end, End::Signaled(libc::SIGKILL));
    }
    // Dropping does the same, a little later.
    let sandbox = host.empty().await;
    let process = sandbox
        .spawn(program("/bin/sleep", &["600"]))
        .await
        .unwrap();
    drop(sandbox);
    assert_eq!(finish(process).await.0.end, End::Signaled(libc::SIGKILL));
    host.driver.shutdown().await;
}

#[tokio::test]
async fn tmp_is_of_one_sandbox_and_kept_between_its_processes() {
    let host = Host::start();
    let (first, second) = (host.empty().await, host.empty().await);
    output_of(&first, "echo mine > /tmp/file").await;
    assert_eq!(
        output_of(&first, "cat /tmp/file; stat -c %a /tmp").await,
        "mine\n1777\n"
    );
    assert_eq!(output_of(&second, "ls -A /tmp").await, "");
    drop(first);
    for _ in 0..20 {
        // Prepared parts are used again; what was in them is not.
        let sandbox = host.empty().await;
        assert_eq!(output_of(&sandbox, "ls -A /tmp").await, "");
        output_of(&sandbox, "echo mine > /tmp/file").await;
        sandbox.destroy().await.unwrap();
    }
    host.driver.shutdown().await;
}

#[tokio::test]
async fn many_sandboxes_start_at_once() {
    let host = Host::start();
    let starts = (0..64).map(|index| {
        let driver = host.driver.clone();
        async move {
            let sandbox: Sandbox = driver.create(spec(&[])).await.unwrap();
            let said = output_of(&sandbox, &format!("echo {index}")).await;
            assert_eq!(said, format!("{index}\n"));
            sandbox
        }
    });
    let sandboxes = futures_of(starts).await;
    for sandbox in sandboxes {
        sandbox.destroy().await.unwrap();
    }
    host.driver.shutdown().await;
}

/// Runs all at once on this task's runtime.
async fn futures_of<F>(futures: impl Iterator<Item = F>) -> Vec<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let kind = bootlace_tasks::TaskKind::disposable("test start");
    let tasks: Vec<_> = futures
        .map(|future| bootlace_tasks::spawn(kind, future))
        .collect();
    let mut outputs = Vec::new();
    for task in tasks {
        let output = tokio::time::timeout(PATIENCE + Duration::from_secs(30), task).await;
        outputs.push(output.unwrap().unwrap().unwrap());
    }
    outputs
}
