//! The command line without a server: usage, configuration, exit codes.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Stdio;

use crate::common::{bootlace, run, text};

/// Runs a verb that must fail: nothing on standard output, the reason on standard error.
fn refused(args: &[&str], code: i32, reason: &str) {
    let output = run(args);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    assert!(stderr.contains(reason), "{args:?}: {stderr}");
    assert_eq!(text(&output.stdout), "", "{args:?}");
}

#[test]
fn usage_errors_end_with_2() {
    refused(&[], 2, "Usage: bootlace");
    refused(&["sing"], 2, "unrecognized subcommand");
    refused(&["serve", "--loud"], 2, "unexpected argument '--loud'");
    refused(&["layer", "publish", "x"], 2, "--zip");
    refused(&["function", "update", "x"], 2, "nothing to update");
    refused(
        &["function", "create", "x", "--zip", "/", "--env", "A"],
        2,
        "NAME=VALUE",
    );
    refused(
        &[
            "invoke",
            "x",
            "--endpoint-url",
            "https://lambda.us-east-1.amazonaws.com",
        ],
        2,
        "no http:// address",
    );
}

#[test]
fn configuration_errors_end_with_2_and_name_the_key() {
    refused(
        &["serve", "--listen", "0.0.0.0:0"],
        2,
        "remedy: listen on 127.0.0.1",
    );
    refused(&["serve", "--auth", "sigv4"], 2, "`sigv4` is not built yet");
    refused(&["serve", "--isolation", "none"], 2, "`sandbox.isolation`");
    refused(
        &["serve", "--set", "cluster.nodes=3"],
        2,
        "clusters are not built yet",
    );
    refused(
        &["config", "--config", "/nonexistent.toml"],
        2,
        "/nonexistent.toml",
    );
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(b"[invoke]\nidle_timeout = 5\n")
        .expect("written");
    let path = file.path().to_str().expect("UTF-8");
    refused(
        &["serve", "--config", path],
        2,
        &format!("file {path}: `invoke.idle_timeout` is no key"),
    );
    let output = bootlace()
        .arg("config")
        .env("BOOTLACE_SERVER__PORT", "1")
        .output()
        .expect("runs");
    assert!(
        text(&output.stderr).contains("environment BOOTLACE_SERVER__PORT: `server.port` is no key")
    );
}

#[test]
fn the_printed_configuration_can_be_read_again() {
    let output = run(&[
        "config",
        "--set",
        "invoke.idle_timeout_s=7",
        "--listen",
        "127.0.0.1:0",
    ]);
    let printed = text(&output.stdout);
    assert!(
        printed.contains("idle_timeout_s = 7 # flag --set invoke.idle_timeout_s; default 600"),
        "{printed}"
    );
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(printed.as_bytes()).expect("written");
    let again = bootlace()
        .arg("config")
        .env("BOOTLACE_CONFIG", file.path())
        .output()
        .expect("runs");
    let values = |text: &str| -> Vec<String> {
        text.lines()
            .map(|line| line.split(" # ").next().unwrap_or("").to_owned())
            .collect()
    };
    assert_eq!(values(&text(&again.stdout)), values(&printed));
}

#[test]
fn a_server_that_is_not_there_is_3() {
    let port = TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("an address");
    let url = format!("http://{port}");
    refused(
        &["function", "list", "--endpoint-url", &url],
        3,
        "no server answers at http://127.0.0.1:",
    );
    let output = bootlace()
        .args(["layer", "list"])
        .env("AWS_ENDPOINT_URL", &url)
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn what_is_no_answer_of_ours_is_no_success() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let elsewhere = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut request = [0; 4096];
        assert_ne!(stream.read(&mut request).expect("a request"), 0);
        let answer = "HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer.as_bytes()).expect("answered");
    });
    refused(
        &["function", "list", "--endpoint-url", &url],
        4,
        "302 Found",
    );
    elsewhere.join().expect("answered");
}

#[test]
fn a_mistyped_region_is_2() {
    let args = ["function", "delete", "f", "--region", "eu-west1"];
    refused(&args, 2, "\"eu-west1\" is no region");
}

#[test]
fn a_file_that_is_not_there_is_5() {
    refused(
        &["layer", "publish", "x", "--zip", "/nonexistent.zip"],
        5,
        "cannot read /nonexistent.zip",
    );
    refused(
        &[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            "/proc/nowhere",
        ],
        5,
        "/proc/nowhere",
    );
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let mut child = bootlace()
        .arg("config")
        .stdout(Stdio::piped())
        .spawn()
        .expect("runs");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("ends").code(), Some(0));
}

#[test]
fn env_is_for_a_shell_to_evaluate() {
    let output = run(&[
        "env",
        "--listen",
        "127.0.0.1:9999",
        "--access-key-id",
        "111122223333",
    ]);
    let printed = text(&output.stdout);
    assert!(
        printed.starts_with("export AWS_ENDPOINT_URL='http://127.0.0.1:9999'\n"),
        "{printed}"
    );
    assert!(
        printed.contains("export AWS_ACCESS_KEY_ID='111122223333'\n"),
        "{printed}"
    );
    refused(&["env", "--listen", "127.0.0.1:0"], 2, "--endpoint-url");
}

#[test]
fn env_warns_of_an_aws_that_would_call_the_real_cloud() {
    let directory = tempfile::tempdir().expect("a directory");
    let aws = directory.path().join("aws");
    std::fs::write(&aws, "#!/bin/sh\necho aws-cli/2.9.19 Python/3.11.2\n").expect("a script");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&aws, mode).expect("a mode");
    let path = format!("{}:/usr/bin:/bin", directory.path().display());
    let output = bootlace()
        .arg("env")
        .env("PATH", path)
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stderr).contains("version 2.9.19, which ignores AWS_ENDPOINT_URL"));
}

#[test]
fn doctor_says_the_same_in_both_forms() {
    let (people, programs) = (run(&["doctor"]), run(&["doctor", "--json"]));
    assert_eq!(people.status.code(), programs.status.code());
    let document: serde_json::Value = serde_json::from_slice(&programs.stdout).expect("JSON");
    assert_eq!(document["ok"], people.status.success());
    for check in document["checks"].as_array().expect("checks") {
        let name = check["name"].as_str().expect("a name");
        assert!(text(&people.stdout).contains(name), "{name}");
        assert!(
            check["ok"] == true || check["remedy"].is_string(),
            "{check}"
        );
    }
}
