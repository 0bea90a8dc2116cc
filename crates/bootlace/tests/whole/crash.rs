//! kill -9 at random moments: what was acknowledged is there afterwards, what was running is not.
#![allow(
    clippy::disallowed_methods,
    reason = "tests start processes and read clocks"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::common::{SHELL, Server, text, zip_of};
use crate::host::traces_on_host;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;

const ROUNDS: u64 = 12;
/// Functions that one round creates at most, so that the test stays short.
const PER_ROUND: usize = 6;

#[derive(Default)]
struct Acknowledged {
    /// Function name to what its code answers.
    functions: BTreeMap<String, String>,
    /// Layer version ARN to the SHA-256 that was answered.
    layers: BTreeMap<String, String>,
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_running_is_left() {
    let directory = tempfile::tempdir().expect("a directory");
    let acknowledged = Mutex::new(Acknowledged::default());
    let mut moment = seed(directory.path());
    for round in 0..ROUNDS {
        let server = Server::start(directory.path());
        let before = acknowledged.lock().expect("a lock").functions.len();
        let (stop, address) = (AtomicBool::new(false), server.address.clone());
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| write(&address, round, &stop, &acknowledged));
            let caller = scope.spawn(|| call(&address, &stop, &acknowledged));
            moment = moment
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            std::thread::sleep(Duration::from_millis(100 + (moment >> 33) % 500));
            match round % 2 {
                0 => server.kill(),
                _ => server.kill_with_spawner(),
            }
            stop.store(true, Ordering::Relaxed);
            writer.join().expect("the writer");
            caller.join().expect("the caller");
        });
        let old = traces_on_host(directory.path());
        let server = Server::start(directory.path());
        let mut kept = traces_on_host(directory.path());
        kept.retain(|trace| old.contains(trace));
        assert_eq!(
            kept,
            Vec::<String>::new(),
            "of the life before, round {round}"
        );
        let acknowledged = acknowledged.lock().expect("a lock");
        let fresh: Vec<_> = acknowledged
            .functions
            .iter()
            .skip(before.saturating_sub(1))
            .collect();
        everything_is_there(&server, &acknowledged, &fresh);
        clean(directory.path());
        assert_eq!(server.terminate().code(), Some(0));
        assert_eq!(
            traces_on_host(directory.path()),
            Vec::<String>::new(),
            "round {round}"
        );
    }
    let acknowledged = acknowledged.into_inner().expect("a lock");
    assert!(!acknowledged.functions.is_empty() && !acknowledged.layers.is_empty());
    let server = Server::start(directory.path());
    let all: Vec<_> = acknowledged.functions.iter().collect();
    everything_is_there(&server, &acknowledged, &all);
}

/// Any seed will do; the directory's random name is one, and shows in a failure's output.
fn seed(directory: &Path) -> u64 {
    println!("seeded by {}", directory.display());
    directory
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(7, |seed, byte| {
            seed.wrapping_mul(31).wrapping_add(u64::from(*byte))
        })
}

/// Publishes layers and creates functions until the server is gone.
fn write(address: &str, round: u64, stop: &AtomicBool, acknowledged: &Mutex<Acknowledged>) {
    for number in 0..PER_ROUND {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let document = json!({ "Content": { "ZipFile": BASE64.encode(zip_of("file", &format!("{round} {number}"))) } });
        let path = "/2018-10-31/layers/kept/versions";
        let Some(reply) =
            crate::common::request(address, "POST", path, &[], document.to_string().as_bytes())
        else {
            return;
        };
        assert_eq!(reply.status, 201, "{}", text(&reply.body));
        let layer = reply.json();
        let arn = layer["LayerVersionArn"]
            .as_str()
            .expect("an ARN")
            .to_owned();
        let digest = layer["Content"]["CodeSha256"]
            .as_str()
            .expect("a digest")
            .to_owned();
        acknowledged
            .lock()
            .expect("a lock")
            .layers
            .insert(arn.clone(), digest);

        // Code of its own, so that each function needs a blob and a tree of its own.
        let name = format!("kept-{round:02}-{number}");
        let bootstrap = format!("{SHELL}# {name}\n");
        let members = json!({ "Layers": [arn], "Environment": { "Variables": { "NAME": name } } });
        let Some(reply) = crate::common::request_function(address, &name, &bootstrap, members)
        else {
            return;
        };
        assert_eq!(reply.status, 201, "{}", text(&reply.body));
        acknowledged
            .lock()
            .expect("a lock")
            .functions
            .insert(name, format!("{round} {number}"));
    }
}

/// Keeps sandboxes busy until the server is gone.
fn call(address: &str, stop: &AtomicBool, acknowledged: &Mutex<Acknowledged>) {
    while !stop.load(Ordering::Relaxed) {
        let names: Vec<String> = acknowledged
            .lock()
            .expect("a lock")
            .functions
            .keys()
            .cloned()
            .collect();
        match names.last() {
            Some(name) => drop(crate::common::invoke(
                address,
                name,
                "sleep 0.05; sleep 100 & echo $NAME",
            )),
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

fn everything_is_there(
    server: &Server,
    acknowledged: &Acknowledged,
    invoked: &[(&String, &String)],
) {
    for (arn, digest) in &acknowledged.layers {
        let path = format!("/2018-10-31/layers?find=LayerVersion&Arn={arn}");
        let reply = server.request("GET", &path, &[], b"");
        assert_eq!(reply.status, 200, "{arn}: {}", text(&reply.body));
        assert_eq!(
            reply.json()["Content"]["CodeSha256"],
            digest.as_str(),
            "{arn}"
        );
    }
    for name in acknowledged.functions.keys() {
        let reply = server.request("GET", &format!("/2015-03-31/functions/{name}"), &[], b"");
        assert_eq!(reply.status, 200, "{name}: {}", text(&reply.body));
    }
    for (name, content) in invoked {
        server.await_active(name);
        assert_eq!(
            server.shell(name, "echo $NAME $(cat /opt/file)"),
            format!("{name} {content}")
        );
    }
}

/// No half-written file is left of the server that was killed. Its processes are gone already
/// ([`Server::kill`] waits for that); its mounts and cgroups are looked for when this one has ended.
fn clean(data_dir: &Path) {
    let staged = walk(&data_dir.join("trees/staging"));
    assert_eq!(staged, Vec::<PathBuf>::new());
    for file in walk(&data_dir.join("blobs"))
        .iter()
        .filter(|path| path.is_file())
    {
        let name = file
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or("");
        let digest = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(digest, "{}", file.display());
    }
}

fn walk(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        found.push(entry.path());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(walk(&entry.path()));
        }
    }
    found
}
