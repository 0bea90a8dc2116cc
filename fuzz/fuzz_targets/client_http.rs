//! What clients send: documents of every operation, and raw bytes, to the port that is open to them.
#![no_main]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use bootlace_fuzz::http::{statuses, throw};
use bootlace_fuzz::tokens::{expand, split};
use bootlace_fuzz::world::World;
use bootlace_invoke::LogSink;
use bootlace_sandbox::{ExitStatus, FakeGuest};
use libfuzzer_sys::fuzz_target;

/// Method, path, and headers with their line ends.
const OPERATIONS: &[(&str, &str, &str)] = &[
    ("POST", "/2015-03-31/functions", ""),
    ("PUT", "/2015-03-31/functions/f/code", ""),
    ("PUT", "/2015-03-31/functions/f/configuration", ""),
    ("POST", "/2018-10-31/layers/l/versions", ""),
    (
        "POST",
        "/2015-03-31/functions/f/invocations",
        "x-amz-invocation-type: DryRun\r\n",
    ),
    (
        "POST",
        "/2021-11-15/functions/f/response-streaming-invocations",
        "x-amz-invocation-type: DryRun\r\n",
    ),
    (
        "POST",
        "/",
        "x-amz-target: Logs_20140328.FilterLogEvents\r\n",
    ),
    ("POST", "/", "x-amz-target: Logs_20140328.GetLogEvents\r\n"),
    ("POST", "/", "x-amz-target: Logs_20140328.PutLogEvents\r\n"),
    (
        "POST",
        "/",
        "x-amz-target: Logs_20140328.CreateLogStream\r\n",
    ),
    (
        "POST",
        "/",
        "x-amz-target: Logs_20140328.DescribeLogStreams\r\n",
    ),
    (
        "POST",
        "/",
        "x-amz-target: Logs_20140328.PutRetentionPolicy\r\n",
    ),
];

const PIECES: &[&[u8]] = &[
    b"{\"",
    b"\":\"",
    b"\",\"",
    b"\"}",
    b"\":{\"",
    b"\":[\"",
    b"\":",
    b"FunctionName",
    b"Runtime\":\"provided.al2023",
    b"Role\":\"arn:aws:iam::000000000000:role/r",
    b"Handler\":\"h",
    b"Code\":{\"ZipFile\":\"",
    b"UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA==",
    b"S3Bucket\":\"b\",\"S3Key\":\"k",
    b"Environment\":{\"Variables\":{\"",
    b"MemorySize",
    b"Timeout",
    b"EphemeralStorage\":{\"Size\":512}",
    b"LoggingConfig\":{\"LogFormat\":\"JSON\",\"ApplicationLogLevel\":\"",
    b"Layers\":[\"arn:aws:lambda:us-east-1:000000000000:layer:l:1",
    b"Architectures\":[\"x86_64\"]",
    b"Content\":{\"ZipFile\":\"",
    b"CompatibleRuntimes",
    b"logGroupName\":\"/aws/lambda/f",
    b"logStreamName\":\"s",
    b"filterPattern\":\"",
    b"logEvents\":[{\"timestamp\":1,\"message\":\"m\"}]",
    b"nextToken",
    b"startTime",
    b"limit",
    b"{ $.a = 1 && ($.b != \\\"x\\\" || $.c EXISTS) }",
    b"[a, b = 4*, ...]",
    b"?ERROR -INFO \\\"x y\\\"",
    b"%a(b|c)+%",
    b"true",
    b"null",
    b"-1e999",
    b"18446744073709551616",
    b"\\u0000",
    b"\\ud800",
    b"\xf0\x9f\x98\x80",
    b"\xff",
    &[b'['; 300],
    &[b'x'; 3_000],
    b"GET ",
    b"POST ",
    b" HTTP/1.1\r\nHost: 127.0.0.1\r\n",
    b"\r\n",
    b"\r\n\r\n",
    b"Content-Length: ",
    b"Transfer-Encoding: chunked\r\n",
    b"Authorization: AWS4-HMAC-SHA256 Credential=a/20261126/us-east-1/lambda/aws4_request\r\n",
    b"x-amz-target: Logs_20140328.",
    b"x-amz-client-context: ",
    b"X-Amzn-Trace-Id: Root=1-5759e988-bd862e3fe1be46a994272793\r\n",
    b"/2015-03-31/functions/",
    b"/bootlace/v1/functions/f/metrics?from=",
    b"%00",
    b"%2F..%2F",
    b"arn:aws:lambda:us-east-1:000000000000:function:f",
];

/// After so many inputs the store is emptied.
const EMPTIED: u32 = 512;

static WORLD: OnceLock<World> = OnceLock::new();
static INPUTS: AtomicU32 = AtomicU32::new(0);

fuzz_target!(|data: &[u8]| {
    let Some(([operation], content)) = split::<1>(data) else {
        return;
    };
    let world = WORLD.get_or_init(|| {
        World::start(LogSink::None, |_: FakeGuest, _| async {
            ExitStatus::exited(0)
        })
    });
    let content = expand(content, PIECES);
    if INPUTS.fetch_add(1, Ordering::Relaxed) % EMPTIED == 0 {
        let emptied = world.call("POST", "/bootlace/v1/reset", "", b"");
        assert_eq!(emptied.status, 204);
        world.create("f", serde_json::json!({}));
    }
    match OPERATIONS.get(usize::from(operation) % (OPERATIONS.len() + 1)) {
        Some((method, path, headers)) => {
            let answer = world.call(method, path, headers, &content);
            // 501 is what is not built, by name.
            let refused = answer.status < 500 || answer.status == 501;
            assert!(refused, "{answer:?}");
        }
        None => {
            let answers = world.runtime.block_on(throw(&world.address, &content));
            let failed = statuses(&answers).into_iter().find(|status| *status == 500);
            assert_eq!(failed, None, "{}", String::from_utf8_lossy(&answers));
        }
    }
});
