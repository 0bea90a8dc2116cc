//! What code in a sandbox sees, reaches, may do and may use up, told by the prober from inside.
#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by failing there"
)]

mod sandbox_common;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use bootlace_sandbox::{End, ExitStatus, Sandbox};
use sandbox_common::{Host, bash, finish, output_of, program};
use serde_json::Value;

async fn prober(host: &Host) -> Sandbox {
    let binary = std::fs::read(env!("CARGO_BIN_EXE_prober")).unwrap();
    let task = host.tree(&[("prober", &binary, 0o755)]);
    host.sandbox(&task).await
}

async fn probe(sandbox: &Sandbox, args: &[&str]) -> Value {
    let process = sandbox
        .spawn(program("/var/task/prober", args))
        .await
        .unwrap();
    let (status, output) = finish(process).await;
    assert_eq!(status, ExitStatus::exited(0), "{output}");
    serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}"))
}

#[tokio::test]
async fn code_is_nobody_and_sees_nothing_of_the_host() {
    let host = Host::start();
    let sandbox = prober(&host).await;
    let other = host.empty().await;
    let _running = other.spawn(program("/bin/sleep", &["60"])).await.unwrap();
    let view = probe(&sandbox, &["look"]).await;

    let status = |name: &str| {
        view["status"][name]
            .as_str()
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    assert_eq!(status("Uid"), "993\t993\t993\t993");
    assert_eq!(status("Gid"), "990\t990\t990\t990");
    assert_eq!(status("Groups"), "");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status(set), "0000000000000000", "{set}");
    }
    assert_eq!(status("NoNewPrivs"), "1");
    assert_eq!(status("Seccomp"), "2");
    let signals = program("/bin/cat", &["/proc/self/status"]);
    let (_, signals) = finish(sandbox.spawn(signals).await.unwrap()).await;
    let inherited = |line: &&str| line.starts_with("SigIgn") || line.starts_with("SigBlk");
    for line in signals.lines().filter(inherited) {
        assert!(
            line.ends_with("\t0000000000000000"),
            "inherited signals: {signals}"
        );
    }
    let ids: Vec<&str> = view["uid_map"]
        .as_str()
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!((ids[0], ids[2], ids.len()), ("993", "1", 3));
    assert!(ids[1].parse::<u32>().unwrap() > 0x7000_0000, "{ids:?}");

    let descriptors: BTreeMap<String, String> =
        serde_json::from_value(view["descriptors"].clone()).unwrap();
    assert_eq!(
        descriptors.keys().map(String::as_str).collect::<Vec<_>>(),
        ["0", "1", "2"]
    );
    assert_eq!(descriptors["0"], "/dev/null");
    assert_eq!(descriptors["1"], descriptors["2"]);

    // Only itself: process 1 is hidden, and gives nothing away by name either.
    assert_eq!(view["processes"], serde_json::json!([view["own_pid"]]));
    for (name, outcome) in view["init"].as_object().unwrap() {
        assert_eq!(outcome, "NotFound", "/proc/1/{name}");
    }
    assert_eq!(view["environment"].as_object().unwrap().len(), 2);
    assert_eq!(view["directory"], "/var/task");
    for line in view["cgroups"].as_str().unwrap().lines() {
        assert!(line.ends_with(":/"), "{line}");
    }
    let interfaces = view["interfaces"].as_str().unwrap().lines().skip(2);
    assert!(
        interfaces
            .map(|line| line.trim().split(':').next().unwrap())
            .eq(["lo"])
    );
    assert_eq!(
        view["sockets"].as_str().unwrap().lines().count(),
        1,
        "only the heading"
    );
    assert_eq!(view["host_name"], "sandbox\n");

    let whole = view.to_string();
    for secret in [
        host.data_dir().to_str().unwrap(),
        "secret-data-dir",
        &host.instance,
    ] {
        assert!(
            !whole.contains(secret),
            "`{secret}` is told inside: {whole}"
        );
    }
    host.driver.shutdown().await;
}

#[tokio::test]
async fn the_file_system_is_the_base_and_nothing_else() {
    let host = Host::start();
    let sandbox = prober(&host).await;
    let view = probe(&sandbox, &["look"]).await;
    let root: Vec<String> = serde_json::from_value(view["root"].clone()).unwrap();
    let base = [
        "bin", "dev", "etc", "home", "lib", "lib32", "lib64", "libx32", "mnt", "opt", "proc",
        "root", "run", "sbin", "sys", "tmp", "usr", "var",
    ];
    assert!(
        root.iter().all(|name| base.contains(&name.as_str())),
        "{root:?}"
    );
    let devices: Vec<String> = serde_json::from_value(view["devices"].clone()).unwrap();
    let nodes = [
        "fd", "full", "null", "random", "stderr", "stdin", "stdout", "urandom", "zero",
    ];
    assert_eq!(devices, nodes);
    for file in ["shadow", "ssh", "machine-id", "fstab", "sudoers"] {
        let etc: Vec<String> = serde_json::from_value(view["etc"].clone()).unwrap();
        assert!(!etc.contains(&file.to_owned()), "/etc/{file}");
    }
    let refused = [
        "/x",
        "/etc/passwd",
        "/usr/bin/x",
        "/usr/x",
        "/var/task/x",
        "/var/x",
        "/opt/x",
        "/dev/x",
        "/home/x",
        "/run/x",
        "/proc/x",
        "/sys/x",
        "/var/tmp/x",
        "/mnt/x",
        "/root/x",
    ];
    let mut paths = vec!["write"];
    paths.extend(refused);
    paths.extend(["/tmp/x", "/dev/null", "/dev/stdout", "/dev/stderr"]);
    let process = sandbox
        .spawn(program("/var/task/prober", &paths))
        .await
        .unwrap();
    let (_, output) = finish(process).await;
    let (said, report) = output.rsplit_once("\n{").unwrap();
    assert_eq!(
        said, "written by the prober\nwritten by the prober",
        "stdout and stderr by name"
    );
    let report: Value = serde_json::from_str(&format!("{{{report}")).unwrap();
    for path in refused {
        assert_ne!(report[path], "done", "{path}");
    }
    assert_eq!(report["/tmp/x"], "done");
    assert_eq!(report["/dev/null"], "done");
    host.driver.shutdown().await;
}

#[tokio::test]
async fn every_attempt_to_get_out_is_refused() {
    let host = Host::start();
    let sandbox = prober(&host).await;
    let attempts = probe(&sandbox, &["escape"]).await;
    let attempts = attempts.as_array().unwrap();
    assert!(attempts.len() > 70);
    let allowed: Vec<&Value> = attempts
        .iter()
        .filter(|attempt| attempt["allowed"] == true)
        .collect();
    assert!(allowed.is_empty(), "{allowed:#?}");
    host.driver.shutdown().await;
}

#[tokio::test]
async fn no_service_of_the_host_is_reachable() {
    let host = Host::start();
    let sandbox = prober(&host).await;
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = tcp.local_addr().unwrap().port().to_string();
    let name = format!("{}-test", host.instance);
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _local = UnixListener::bind_addr(&address).unwrap();
    let reached = probe(&sandbox, &["reach", &port, &name]).await;
    assert_eq!(reached["loopback"], "ConnectionRefused");
    assert_eq!(reached["loopback_v6"], "ConnectionRefused");
    assert_eq!(reached["other"], "NetworkUnreachable");
    assert_eq!(reached["abstract"], "ConnectionRefused");
    assert_eq!(reached["outward"], "NetworkUnreachable");
    host.driver.shutdown().await;
}

#[tokio::test]
async fn tmp_is_as_large_as_asked_in_bytes_and_in_files() {
    let host = Host::start();
    let sandbox = prober(&host).await;
    let filled = probe(&sandbox, &["fill", "/tmp/full"]).await;
    assert_eq!(filled["errno"], libc::ENOSPC);
    assert_eq!(filled["bytes"], 64 << 20);
    let files = probe(&sandbox, &["files", "/tmp"]).await;
    assert_eq!(files["errno"], libc::ENOSPC);
    host.driver.shutdown().await;
}

#[tokio::test]
async fn a_fork_bomb_ends_at_the_limit_and_dies_with_its_sandbox() {
    let host = Host::start();
    let sandbox = prober(&host).await;
    let process = sandbox
        .spawn(program("/var/task/prober", &["fork"]))
        .await
        .unwrap();
    let mut exit = process.exit.clone();
    let status = tokio::time::timeout(sandbox_common::PATIENCE, exit.wait())
        .await
        .unwrap();
    assert_eq!(status, ExitStatus::exited(0));
    // The children are orphans of the sandbox's process 1 now, and still count.
    let stats = sandbox.stats().unwrap();
    assert!((60..=64).contains(&stats.processes), "{stats:?}");
    sandbox.destroy().await.unwrap();
    let (_, output) = finish(process).await;
    let report: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(report["errno"], libc::EAGAIN);
    assert_eq!(report["children"], 63);
    host.driver.shutdown().await;
}

#[tokio::test]
async fn memory_beyond_the_limit_is_a_reported_kill() {
    let host = Host::start();
    let sandbox = prober(&host).await;
    let process = sandbox
        .spawn(program("/var/task/prober", &["memory"]))
        .await
        .unwrap();
    let (status, output) = finish(process).await;
    assert_eq!(
        status,
        ExitStatus {
            end: End::Signaled(libc::SIGKILL),
            out_of_memory: true
        }
    );
    assert_eq!(output, "");
    // A kill for another reason later is not blamed on memory.
    let process = sandbox
        .spawn(program("/bin/bash", &["-c", "kill -9 $$"]))
        .await
        .unwrap();
    let (status, _) = finish(process).await;
    assert_eq!(status, ExitStatus::signaled(libc::SIGKILL));
    // A shell that runs something too large says so by its status.
    let script = "/var/task/prober memory; exit $?";
    let process = sandbox
        .spawn(program("/bin/bash", &["-c", script]))
        .await
        .unwrap();
    let (status, _) = finish(process).await;
    assert_eq!(
        status,
        ExitStatus {
            end: End::Exited(137),
            out_of_memory: true
        }
    );
    host.driver.shutdown().await;
}

#[tokio::test]
async fn what_lies_in_sockets_is_limited_too() {
    let host = Host::start();
    let sandbox = prober(&host).await;
    let report = probe(&sandbox, &["sockets"]).await;
    let bytes = report["bytes"].as_u64().unwrap();
    // A quarter of its memory, and what each connection may have at the least.
    assert!(bytes < 128 << 20, "{report}");
    host.driver.shutdown().await;
}

#[tokio::test]
async fn nothing_of_the_network_is_left_for_other_code() {
    let host = Host::start();
    let first = host.tree(&[("first", b"", 0o644)]);
    let other = host.tree(&[("other", b"", 0o644)]);
    let received = "sed -n 's/^ *lo: *\\([0-9]*\\).*/\\1/p' /proc/net/dev";
    // More than there are prepared.
    for _ in 0..12 {
        let sandbox = host.sandbox(&first).await;
        let talk = "exec 3<>/dev/tcp/127.0.0.1/9001; echo hello >&3; exec 3>&-";
        let script = format!("{talk}; {received}");
        assert_ne!(output_of(&sandbox, &script).await, "0\n");
        sandbox.destroy().await.unwrap();
    }
    let mut sandboxes = Vec::new();
    for _ in 0..12 {
        let sandbox = host.sandbox(&other).await;
        let script = format!("{received}; wc -l < /proc/net/tcp");
        // The heading and the listener.
        assert_eq!(output_of(&sandbox, &script).await, "0\n2\n");
        sandboxes.push(sandbox);
    }
    host.driver.shutdown().await;
}

#[tokio::test]
async fn files_in_tmp_do_not_count_as_memory_in_use() {
    let host = Host::start();
    let sandbox = host.empty().await;
    let before = sandbox.stats().unwrap().memory_bytes;
    output_of(&sandbox, "head -c 40000000 /dev/zero > /tmp/large").await;
    let after = sandbox.stats().unwrap().memory_bytes;
    assert!(after < before + (8 << 20), "{before} then {after}");
    host.driver.shutdown().await;
}

#[tokio::test]
async fn a_full_tmp_leaves_the_memory_to_the_code() {
    let host = Host::start();
    let sandbox = host.empty().await;
    let full = "head -c 100M /dev/zero > /tmp/large; stat -c %s /tmp/large";
    let full = output_of(&sandbox, &format!("({full}) 2>&1")).await;
    assert!(full.contains("No space left on device"), "{full}");
    assert!(full.ends_with(&format!("{}\n", 64 << 20)), "{full}");
    // Of 256 MiB it takes nearly all, in one process, and keeps it until the end.
    let bytes = 240 << 20;
    let script = format!("head -c {bytes} /dev/zero | tail -c {bytes} | wc -c");
    assert_eq!(output_of(&sandbox, &script).await, format!("{bytes}\n"));
    // What is held by open files that were removed counts as `/tmp`, too.
    let script = "exec 3>/tmp/gone; rm /tmp/*; head -c 100M /dev/zero >&3; ls -A /tmp";
    let process = sandbox.spawn(bash(script)).await.unwrap();
    let (status, said) = finish(process).await;
    assert_eq!(status, ExitStatus::exited(0), "{said}");
    assert!(said.contains("No space left on device"), "{said}");
    host.driver.shutdown().await;
}
