"""Response streaming: InvokeWithResponseStream by boto3, and runtimes that stream."""

import base64
import contextlib
import json
import os
import stat
import subprocess
import uuid

import pytest

import clients
import scripts
import server as servers
import zips
from test_02_functions import missing
from test_04_invoke import REPORT

# Speaks HTTP by hand, as no shell tool sends trailers or stops in the middle.
STREAMER = r"""#!/bin/bash
host=${AWS_LAMBDA_RUNTIME_API%:*} port=${AWS_LAMBDA_RUNTIME_API##*:}
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime"
begin() {
    exec 3<> "/dev/tcp/$host/$port"
    printf 'POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: runtime\r\n' "$id" >&3
    printf 'Transfer-Encoding: chunked\r\nLambda-Runtime-Function-Response-Mode: %s\r\n%s\r\n' \
        "${2:-streaming}" "$1" >&3
}
chunk() { printf '%x\r\n%s\r\n' "${#1}" "$1" >&3; }
finish() { printf '0\r\n%s\r\n' "$1" >&3; IFS= read -r status <&3; echo "told ${status%$'\r'}"; exec 3>&-; }
while true; do
    curl -sS -D /tmp/head -o /tmp/event "$api/invocation/next" || exit 1
    id=$(grep -i '^lambda-runtime-aws-request-id:' /tmp/head | sed 's/^[^:]*: *//' | tr -d '\r\n')
    word() { sed -n "s/.*\"$1\": *\"\\([a-z0-9-]*\\)\".*/\\1/p" /tmp/event; }
    case $(word do) in
        words) begin; for word in one two three; do chunk "$word "; done; finish ;;
        handshake)
            mkfifo "/tmp/$(word gate)"
            begin; chunk one
            read -r < "/tmp/$(word gate)"; chunk two
            read -r < "/tmp/$(word gate)"; chunk three
            finish; rm "/tmp/$(word gate)" ;;
        trailers)
            begin $'Trailer: Lambda-Runtime-Function-Error-Type\r\n'
            chunk part
            body=$(printf '{"errorType":"Boom","errorMessage":"in the middle"}' | base64 -w0)
            finish "$(printf 'Lambda-Runtime-Function-Error-Type: Boom\r\nLambda-Runtime-Function-Error-Body: %s' \
                "$body")"$'\r\n' ;;
        lines)
            begin; chunk part
            chunk $'Lambda-Runtime-Function-Error-Type: Runtime.StreamError\r\n'; finish ;;
        truncate) begin; chunk part; exec 3>&- ;;
        crash) begin; chunk part; sleep 0.1; exit 7 ;;
        stuck) begin; chunk part; sleep 30 ;;
        mode) begin "" sideways; chunk part; finish ;;
        prelude)
            begin $'Content-Type: application/vnd.awslambda.http-integration-response\r\n'
            printf '14\r\n{"statusCode": 200 }\r\n8\r\n\0\0\0\0\0\0\0\0\r\n4\r\nbody\r\n' >&3; finish ;;
        large)
            begin; printf '600000\r\n' >&3; head -c 6291456 /dev/zero | tr '\0' x >&3; printf '\r\n65\r\n' >&3
            head -c 101 /dev/zero | tr '\0' x >&3; printf '\r\n' >&3; finish ;;
        error) curl -sS -o /dev/null -d '{"errorType":"Oops","errorMessage":"as told"}' "$api/invocation/$id/error" ;;
        *) curl -sS -o /dev/null --data-binary @/tmp/event "$api/invocation/$id/response" ;;
    esac
done
"""


@pytest.fixture(scope="module")
def streamer(create_shared):
    return create_shared(zips.of_files(bootstrap=STREAMER), Timeout=20)


class Stream:
    """A streamed answer; its events are taken one by one."""

    def __init__(self, client, name, event=None, **members):
        if event is not None:
            members["Payload"] = json.dumps(event)
        self.response = client.invoke_with_response_stream(FunctionName=name, **members)
        self.events = iter(self.response["EventStream"])
        self.end = None

    def chunk(self):
        event = next(self.events)
        if "InvokeComplete" in event:
            self.end = event["InvokeComplete"]
            return None
        return event["PayloadChunk"]["Payload"]

    def rest(self):
        """All that is left, and the end is known then."""
        chunks = list(iter(self.chunk, None))
        assert next(self.events, None) is None
        return b"".join(chunks)

    def error(self):
        return self.end["ErrorCode"], json.loads(self.end["ErrorDetails"])

    def log(self):
        return base64.b64decode(self.end["LogResult"]).decode()


def test_chunks_in_order(client, streamer):
    stream = Stream(client, streamer, {"do": "words"}, LogType="Tail")
    assert stream.response["StatusCode"] == 200
    assert stream.response["ExecutedVersion"] == "$LATEST"
    assert stream.response["ResponseStreamContentType"] == "application/vnd.amazon.eventstream"
    assert stream.rest() == b"one two three "
    assert "ErrorCode" not in stream.end
    report = REPORT.search(stream.log())
    assert report["id"] == stream.response["ResponseMetadata"]["RequestId"]
    assert "told HTTP/1.1 202 Accepted" in stream.log()
    again = Stream(client, streamer, {"do": "words"})
    assert (again.rest(), again.end) == (b"one two three ", {})


def test_a_chunk_is_seen_before_the_next_is_written(server, client, streamer):
    gate = uuid.uuid4().hex
    stream = Stream(client, streamer, {"do": "handshake", "gate": gate})
    assert stream.chunk() == b"one"
    let_go(server, gate)
    assert stream.chunk() == b"two"
    let_go(server, gate)
    assert stream.rest() == b"three"


def let_go(server, gate):
    """Writes a line into the pipe that the function reads, in its own /tmp."""
    for pid, _ in servers.descendants(server.process.pid):
        path = f"/proc/{pid}/root/tmp/{gate}"
        with contextlib.suppress(OSError):
            if stat.S_ISFIFO(os.stat(path).st_mode):
                with open(path, "w") as pipe:
                    pipe.write("\n")
                return
    raise AssertionError(f"no function has {gate}")


def test_an_error_in_trailers(client, streamer):
    stream = Stream(client, streamer, {"do": "trailers"}, LogType="Tail")
    assert stream.rest() == b"part"
    assert stream.error() == ("Boom", {"errorType": "Boom", "errorMessage": "in the middle"})
    assert REPORT.search(stream.log())
    answer = clients.invoke(client, streamer, {"do": "trailers"})
    assert (answer.error, answer.json()["errorType"]) == ("Unhandled", "Boom")


def test_trailers_as_data_stay_data(client, streamer):
    """The Rust client writes them so, and AWS forwards them."""
    stream = Stream(client, streamer, {"do": "lines"})
    assert stream.rest() == b"partLambda-Runtime-Function-Error-Type: Runtime.StreamError\r\n"
    assert stream.end == {}


def test_what_cuts_a_stream_off(client, create):
    name = create(zips.of_files(bootstrap=STREAMER), Timeout=2)
    expected = {
        "truncate": ("Runtime.TruncatedResponse", "HTTP request detected as truncated"),
        "crash": ("Runtime.ExitError", "Runtime exited with error: exit status 7"),
        "stuck": ("Sandbox.Timedout", "Task timed out after 2.00 seconds"),
    }
    for action, (kind, text) in expected.items():
        stream = Stream(client, name, {"do": action}, LogType="Tail")
        assert stream.rest() == b"part"
        code, document = stream.error()
        assert (code, document["errorType"]) == (kind, kind), action
        request_id = stream.response["ResponseMetadata"]["RequestId"]
        assert document["errorMessage"] == f"RequestId: {request_id} Error: {text}"
        assert "\tStatus: " in stream.log()
        # The function goes on, in a new environment if need be.
        assert Stream(client, name, {"do": "words"}).rest() == b"one two three "


def test_a_mode_that_nobody_defined(client, streamer):
    stream = Stream(client, streamer, {"do": "mode"}, LogType="Tail")
    assert stream.rest() == b""
    assert stream.error()[0] == "Runtime.InvalidResponseModeHeader"
    assert "told HTTP/1.1 400 Bad Request" in stream.log()


def test_a_prelude_passes_untouched(client, streamer):
    stream = Stream(client, streamer, {"do": "prelude"})
    assert stream.rest() == b'{"statusCode": 200 }' + bytes(8) + b"body"
    answer = clients.invoke(client, streamer, {"do": "prelude"})
    assert answer.payload == b'{"statusCode": 200 }' + bytes(8) + b"body"


def test_a_buffered_caller_of_a_streaming_runtime(client, streamer):
    answer = clients.tail(client, streamer, {"do": "words"})
    assert (answer.error, answer.payload) == (None, b"one two three ")
    assert REPORT.search(answer.log)
    answer = clients.tail(client, streamer, {"do": "large"})
    assert answer.error == "Unhandled"
    assert answer.json()["errorType"] == "Function.ResponseSizeTooLarge"
    assert "told HTTP/1.1 413" in answer.log
    assert len(Stream(client, streamer, {"do": "large"}).rest()) == 6291557


def test_a_streaming_caller_of_a_buffered_runtime(client, streamer):
    stream = Stream(client, streamer, {"do": "echo"})
    assert stream.chunk() == b'{"do": "echo"}'
    assert stream.rest() == b""
    stream = Stream(client, streamer, {"do": "error"}, LogType="Tail")
    assert stream.rest() == b""
    assert stream.error() == ("Unhandled", {"errorType": "Oops", "errorMessage": "as told"})
    assert REPORT.search(stream.log())


def test_an_environment_that_cannot_start(client, create):
    name = create(scripts.actor(), Environment={"Variables": {"FAIL_INIT": "report"}})
    stream = Stream(client, name, {})
    assert stream.rest() == b""
    code, document = stream.error()
    assert (code, document["errorType"]) == ("Unhandled", "Runtime.NoConfig")


def test_errors_before_the_run_are_ordinary_answers(client, streamer, refused):
    error = refused(client.invoke_with_response_stream, FunctionName="not-there")
    assert error == missing("not-there:$LATEST")
    error = refused(client.invoke_with_response_stream, FunctionName=streamer, Payload=b"{")
    assert (error.status, error.code) == (400, "InvalidRequestContentException")
    error = refused(client.invoke_with_response_stream, FunctionName=streamer, InvocationType="Event")
    assert (error.status, error.code) == (400, "ValidationException")
    error = refused(client.invoke_with_response_stream, FunctionName="not-there", InvocationType="DryRun")
    assert error == missing("not-there:$LATEST")
    response = client.invoke_with_response_stream(FunctionName=streamer, InvocationType="DryRun")
    assert response["StatusCode"] == 204


def test_a_caller_that_leaves_does_not_end_the_invocation(server, client, streamer):
    gate = uuid.uuid4().hex
    stream = Stream(client, streamer, {"do": "handshake", "gate": gate})
    assert stream.chunk() == b"one"
    stream.response["EventStream"].close()
    let_go(server, gate)
    let_go(server, gate)
    assert Stream(client, streamer, {"do": "words"}).rest() == b"one two three "


def test_the_official_rust_client(client, create, stream_program):
    name = create(zips.of_files(bootstrap=stream_program), Handler="bootstrap", Timeout=10)
    head = b'{"statusCode":200,"headers":{"content-type":"application/octet-stream"},"cookies":[]}' + bytes(8)
    chunks = b"".join(b"%d " % number + b"." * 14 for number in range(3))
    stream = Stream(client, name, {"chunks": 3}, LogType="Tail")
    assert stream.rest() == head + chunks
    assert (stream.end.get("ErrorCode"), bool(REPORT.search(stream.log()))) == (None, True)
    assert clients.invoke(client, name, {"chunks": 3}).payload == head + chunks
    # It announces trailers and writes them as data.
    failed = Stream(client, name, {"chunks": 2, "fail": True}).rest()
    assert failed.startswith(head + b"0 ..............Lambda-Runtime-Function-Error-Type: Runtime.StreamError\r\n")
    assert b"Lambda-Runtime-Function-Error-Body: " in failed
    megabytes = Stream(client, name, {"chunks": 80, "bytes": 65536}).rest()
    assert len(megabytes) == len(head) + 80 * 65536


def test_limits_are_settings(own_server, stream_program):
    settings = {
        "invoke.stream_burst_bytes": 1000,
        "invoke.stream_rate_bytes_per_s": 80000,
        "invoke.stream_limit_bytes": 20000,
    }
    client = clients.aws(own_server(**settings).url)
    client.create_function(
        FunctionName="f", Runtime="provided.al2023", Role=clients.ROLE, Handler="bootstrap", Timeout=10,
        Code={"ZipFile": zips.of_files(bootstrap=stream_program)},
    )  # fmt: skip
    clients.wait_active(client, "f")
    stream = Stream(client, "f", {"chunks": 1, "bytes": 30000})
    assert len(stream.rest()) == 20000
    code, document = stream.error()
    assert code == "Function.ResponseSizeTooLarge"
    assert document["errorMessage"].endswith("(20000 bytes).")
    metrics = clients.http(f"{client.meta.endpoint_url}/bootlace/v1/metrics")[2].decode()
    assert "bootlace_invocations_total 1" in metrics
    assert "bootlace_errors_total 1" in metrics


def test_the_command_line_prints_as_it_comes(server, client, streamer):
    command = [servers.BINARY, "invoke", "--endpoint-url", server.url, "--stream"]

    def run(*words):
        return subprocess.run([*command, *words], capture_output=True, timeout=60)

    done = run("--log-type", "tail", streamer, '{"do": "words"}')
    assert (done.returncode, done.stdout) == (0, b"one two three ")
    assert REPORT.search(done.stderr.decode() + "\n") or b"REPORT RequestId" in done.stderr
    done = run(streamer, '{"do": "trailers"}')
    assert (done.returncode, done.stdout) == (1, b"part")
    assert b"the function failed (Boom): " in done.stderr
    done = run("not-there")
    assert done.returncode == 4
    assert b"ResourceNotFoundException" in done.stderr
    gate = uuid.uuid4().hex
    event = json.dumps({"do": "handshake", "gate": gate})
    with subprocess.Popen([*command, streamer, event], stdout=subprocess.PIPE) as process:
        assert process.stdout.read(3) == b"one"
        let_go(server, gate)
        assert process.stdout.read(3) == b"two"
        let_go(server, gate)
        assert process.stdout.read() == b"three"
    assert process.returncode == 0
