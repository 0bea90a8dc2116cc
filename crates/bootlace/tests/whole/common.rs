//! A server as a child process, and a small HTTP client for it.
#![allow(
    clippy::disallowed_methods,
    reason = "tests start processes and read clocks"
)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::host::{all_end, descendants, kill};

/// Longer than anything takes on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The binary with an environment of its own: nothing of the machine's settings leaks in.
pub(crate) fn bootlace() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bootlace"));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// Runs a verb to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    bootlace()
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A running server. Dropped, it is killed.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
}

impl Server {
    pub(crate) fn start(data_dir: &Path) -> Self {
        Self::start_with(data_dir, &[])
    }

    pub(crate) fn start_with(data_dir: &Path, args: &[&str]) -> Self {
        let mut child = bootlace()
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data_dir)
            .args(["--set", "server.log=warn"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("the server says its address");
        let address = line.trim().strip_prefix("listening on http://");
        let address = address
            .unwrap_or_else(|| panic!("not the promised line: {line:?}"))
            .to_owned();
        Self { child, address }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // A server that has ended but is not waited for is still there to be signalled.
        kill(self.child.id(), signal);
    }

    /// Its end, if it has come already.
    pub(crate) fn try_wait(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child")
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.try_wait() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "the server does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGTERM, and the end that follows.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// kill -9; returns when nothing of the server and its sandboxes runs any more.
    pub(crate) fn kill(mut self) {
        let family = descendants(self.child.id());
        self.signal(Signal::KILL);
        self.wait();
        all_end(&family);
    }

    /// kill -9 of the server and of its spawner, which then cannot tidy up.
    pub(crate) fn kill_with_spawner(mut self) {
        let family = descendants(self.child.id());
        self.signal(Signal::STOP);
        for process in family
            .iter()
            .filter(|process| process.parent == self.child.id())
        {
            kill(process.pid, Signal::KILL);
        }
        self.signal(Signal::KILL);
        self.wait();
        all_end(&family);
    }

    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        request(&self.address, method, path, headers, body).expect("an answer")
    }

    /// Creates a function on `provided.al2023` whose code is one bootstrap.
    pub(crate) fn create_function(&self, name: &str, bootstrap: &str, members: Value) {
        let reply = request_function(&self.address, name, bootstrap, members).expect("an answer");
        assert_eq!(reply.status, 201, "{}", text(&reply.body));
        self.await_active(name);
    }

    pub(crate) fn await_active(&self, name: &str) {
        eventually("the function is active", || {
            let path = format!("/2015-03-31/functions/{name}/configuration");
            let reply = self.request("GET", &path, &[], b"");
            assert_eq!(reply.status, 200, "{}", text(&reply.body));
            let configuration = reply.json();
            configuration["State"] == "Active" && configuration["LastUpdateStatus"] != "InProgress"
        });
    }

    /// Has the [`SHELL`] function run a script; gives its output, or panics with the error.
    pub(crate) fn shell(&self, name: &str, script: &str) -> String {
        let reply = self.invoke(name, script);
        let error = reply.header("x-amz-function-error");
        assert!(reply.status == 200 && error.is_none(), "{reply:?}");
        text(&reply.body)
    }

    /// Waits until no environment is at work: then the next invocation finds a warm one.
    pub(crate) fn await_idle(&self) {
        eventually("every environment is idle", || {
            let reply = self.request("GET", "/bootlace/v1/environments", &[], b"");
            let environments = reply.json();
            let environments = environments["environments"].as_array().expect("a list");
            environments
                .iter()
                .all(|environment| environment["state"] == "idle")
        });
    }

    /// Waits until an environment of the function is at work.
    pub(crate) fn await_running(&self, name: &str) {
        eventually("the invocation runs", || {
            let reply = self.request("GET", "/bootlace/v1/environments", &[], b"");
            let environments = reply.json();
            let environments = environments["environments"].as_array().expect("a list");
            environments.iter().any(|environment| {
                let arn = environment["function_arn"].as_str().unwrap_or("");
                arn.ends_with(&format!(":{name}")) && environment["state"] == "running"
            })
        });
    }

    pub(crate) fn invoke(&self, name: &str, script: &str) -> Reply {
        invoke(&self.address, name, script).expect("an answer")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A runtime that runs the event, a JSON string, as a shell script and answers with its output. It
/// speaks HTTP by bash's own means, so that hundreds of them are cheap; `echo` sends a whole request
/// at once, where `printf` would send each line by itself and wait for the kernel in between.
pub(crate) const SHELL: &str = r#"#!/bin/bash
exec 3<>"/dev/tcp/${AWS_LAMBDA_RUNTIME_API/://}" || exit 1
api=/2018-06-01/runtime/invocation
end=$'\r\n'
receive() {
    local line length=0
    read -r -u 3 line || exit 1
    while IFS= read -r -u 3 line && line=${line%$'\r'} && [[ $line ]]; do
        case ${line,,} in
            content-length:*) length=${line#*: } ;;
            lambda-runtime-aws-request-id:*) id=${line#*: } ;;
        esac
    done
    IFS= LC_ALL=C read -r -N "$length" -u 3 body
}
while :; do
    echo -n "GET $api/next HTTP/1.1${end}Host: runtime$end$end" >&3
    receive
    script=${body:1:-1}
    script=${script//\\\"/\"}
    answer=$(eval "$script")
    echo -n "POST $api/$id/response HTTP/1.1${end}Host: runtime${end}Content-Length: ${#answer}$end$end$answer" >&3
    receive
done
"#;

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("JSON: {}", text(&self.body)))
    }
}

/// One request on a connection of its own; `None` when the server went away meanwhile.
pub(crate) fn request(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Option<Reply> {
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(format!("{head}\r\n").as_bytes()).ok()?;
    stream.write_all(body).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = text(&answer[..end]);
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let body = answer.split_off(end + 4);
    assert!(
        !headers.contains_key("transfer-encoding"),
        "chunked answers are not expected here"
    );
    let whole = headers
        .get("content-length")
        .is_none_or(|length| *length == body.len().to_string());
    whole.then_some(Reply {
        status,
        headers,
        body,
    })
}

pub(crate) fn request_function(
    address: &str,
    name: &str,
    bootstrap: &str,
    members: Value,
) -> Option<Reply> {
    let mut document = json!({
        "FunctionName": name,
        "Runtime": "provided.al2023",
        "Handler": "any",
        "Role": "arn:aws:iam::000000000000:role/any",
        "Timeout": 60,
        "Code": { "ZipFile": BASE64.encode(zip_of("bootstrap", bootstrap)) },
    });
    for (member, value) in members.as_object().into_iter().flatten() {
        document[member] = value.clone();
    }
    request(
        address,
        "POST",
        "/2015-03-31/functions",
        &[],
        document.to_string().as_bytes(),
    )
}

pub(crate) fn invoke(address: &str, name: &str, script: &str) -> Option<Reply> {
    let path = format!("/2015-03-31/functions/{name}/invocations");
    request(
        address,
        "POST",
        &path,
        &[],
        json!(script).to_string().as_bytes(),
    )
}

/// A zip with one executable file.
pub(crate) fn zip_of(name: &str, content: &str) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().unix_permissions(0o755);
    zip.start_file(name, options).expect("an entry");
    zip.write_all(content.as_bytes()).expect("content");
    zip.finish().expect("a zip").into_inner()
}

/// Waits for a condition.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
