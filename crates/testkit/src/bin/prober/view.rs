//! What code in a sandbox can see, reach and write.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::Duration;

use serde_json::{Value, json};

/// How long a connection may take that should be refused at once.
const PATIENCE: Duration = Duration::from_secs(2);

/// Open descriptors and what they are, without the one this takes to look.
pub(crate) fn descriptors() -> BTreeMap<String, String> {
    let entries = fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .flatten();
    let own = |target: &str| target.starts_with("/proc/") && target.ends_with("/fd");
    entries
        .filter_map(|entry| {
            let target = fs::read_link(entry.path()).ok()?.display().to_string();
            let name = entry.file_name().to_string_lossy().into_owned();
            (!own(&target)).then_some((name, target))
        })
        .collect()
}

pub(crate) fn look(descriptors: BTreeMap<String, String>) -> Value {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let status: BTreeMap<&str, &str> = status
        .lines()
        .filter_map(|line| line.split_once(":\t"))
        .collect();
    let init = [
        "cmdline", "environ", "exe", "mem", "fd", "root", "cwd", "maps", "ns/mnt", "stat",
    ];
    let init: BTreeMap<_, _> = init
        .iter()
        .map(|name| (name, open(&format!("/proc/1/{name}"))))
        .collect();
    let mut processes: Vec<i32> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    processes.sort_unstable();
    let text = |path: &str| fs::read_to_string(path).unwrap_or_else(|error| error.to_string());
    let names = |path: &str| -> Vec<String> {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    };
    json!({
        "descriptors": descriptors,
        "status": status,
        "environment": std::env::vars().collect::<BTreeMap<_, _>>(),
        "arguments": std::env::args().collect::<Vec<_>>(),
        "directory": std::env::current_dir().unwrap_or_default(),
        "own_pid": std::process::id(),
        "processes": processes,
        "init": init,
        "mounts": text("/proc/self/mountinfo"),
        "cgroups": text("/proc/self/cgroup"),
        "limits": text("/proc/self/limits"),
        "uid_map": text("/proc/self/uid_map"),
        "interfaces": text("/proc/net/dev"),
        "sockets": text("/proc/net/unix"),
        "host_name": text("/proc/sys/kernel/hostname"),
        "root": names("/"),
        "devices": names("/dev"),
        "etc": names("/etc"),
    })
}

/// Tries to open something for reading; for a directory or link, to read it.
fn open(path: &str) -> String {
    let result = match fs::symlink_metadata(path) {
        Err(error) => Err(error),
        Ok(meta) if meta.is_symlink() => fs::read_link(path).map(drop),
        Ok(meta) if meta.is_dir() => fs::read_dir(path).map(drop),
        Ok(_) => fs::read(path).map(drop),
    };
    outcome(result)
}

fn outcome(result: io::Result<()>) -> String {
    match result {
        Ok(()) => "done".into(),
        Err(error) => format!("{:?}", error.kind()),
    }
}

/// Whether services of the host answer.
pub(crate) fn reach(port: u16, name: &str) -> Value {
    let tcp = |host: &str| {
        let address = format!("{host}:{port}");
        let connected = address
            .parse()
            .map_err(io::Error::other)
            .and_then(|address| TcpStream::connect_timeout(&address, PATIENCE));
        outcome(connected.map(drop))
    };
    let local = SocketAddr::from_abstract_name(name).and_then(|a| UnixStream::connect_addr(&a));
    let outward =
        UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(b"x", "192.0.2.1:53"));
    json!({
        "loopback": tcp("127.0.0.1"),
        "loopback_v6": tcp("[::1]"),
        "other": tcp("10.0.0.1"),
        "abstract": outcome(local.map(drop)),
        "outward": outcome(outward.map(drop)),
    })
}

/// Tries to make a file at each path, or to change what is there.
pub(crate) fn write(paths: &[&str]) -> Value {
    let one = |path: &&str| {
        let opened = fs::OpenOptions::new().append(true).create(true).open(path);
        let written = opened.and_then(|mut file| file.write_all(b"written by the prober\n"));
        ((*path).to_owned(), outcome(written))
    };
    json!(paths.iter().map(one).collect::<BTreeMap<_, _>>())
}
