"""Invocations that succeed: what goes in, what comes out, and what is told about it."""

import base64
import http.client
import json
import re
import uuid

import pytest

import clients
import scripts
from test_02_functions import arn, missing

REPORT = re.compile(
    r"REPORT RequestId: (?P<id>[0-9a-f-]{36})\tDuration: (?P<duration>\d+\.\d\d) ms\t"
    r"Billed Duration: (?P<billed>\d+) ms\tMemory Size: 128 MB\tMax Memory Used: (?P<used>\d+) MB\t"
    r"(Init Duration: (?P<init>\d+\.\d\d) ms\t)?\n"
)


@pytest.mark.parametrize(
    "payload",
    [b"{}", b"null", b"0", b'"text"', b"[1, 2.50, 3e4]", '{"k": "ümläut \U0001f980"}'.encode(), b' {"a" : 1 } '],
    ids=["object", "null", "number", "string", "list", "unicode", "spaces"],
)
def test_the_event_arrives_byte_for_byte(client, actor, payload):
    answer = clients.invoke(client, actor, payload)
    assert (answer.status, answer.error, answer.payload) == (200, None, payload)


def test_no_event_is_an_empty_object(client, actor):
    assert clients.invoke(client, actor).payload == b"{}"


def test_an_event_of_almost_six_megabytes(client, actor):
    payload = b'"' + b"x" * (6291456 - 2) + b'"'
    assert clients.invoke(client, actor, payload).payload == payload


def test_headers_of_an_answer(server, actor):
    url = f"{server.url}/2015-03-31/functions/{actor}/invocations"
    status, headers, body = clients.http(url, "POST", b"{}")
    assert (status, body) == (200, b"{}")
    uuid.UUID(headers["x-amzn-RequestId"])
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Amz-Executed-Version"] == "$LATEST"
    assert headers["x-amzn-Remapped-Content-Length"] == "0"
    assert headers["X-Amzn-Trace-Id"].startswith("Root=1-")
    assert "X-Amz-Function-Error" not in headers
    assert "X-Amz-Log-Result" not in headers


def test_a_given_trace_reaches_the_function(server, actor):
    url = f"{server.url}/2015-03-31/functions/{actor}/invocations"
    root = "Root=1-5759e988-bd862e3fe1be46a994272793"
    given = {"X-Amzn-Trace-Id": f"{root};Parent=53995c3f42cd8ad8;Sampled=1"}
    status, headers, body = clients.http(url, "POST", b'{"do": "trace"}', given)
    assert status == 200
    assert root in json.loads(body)
    assert root in headers["X-Amzn-Trace-Id"]


def test_other_ways_to_send_a_body(server, actor):
    """Chunks, and a client that asks before it sends: curl does so with large bodies."""
    address = server.url.removeprefix("http://")
    path = f"/2015-03-31/functions/{actor}/invocations"
    connection = http.client.HTTPConnection(address, timeout=30)
    chunked = {"Transfer-Encoding": "chunked"}
    connection.request("POST", path, iter([b'{"a"', b": 1}"]), chunked, encode_chunked=True)
    assert connection.getresponse().read() == b'{"a": 1}'
    connection.putrequest("POST", path)
    connection.putheader("Expect", "100-continue")
    connection.putheader("Content-Length", "2")
    connection.endheaders()
    connection.send(b"[]")
    assert connection.getresponse().read() == b"[]"
    connection.close()


def test_log_tail_and_report(client, create):
    name = create(scripts.actor())
    cold = clients.tail(client, name, {"do": "echo"})
    report = REPORT.search(cold.log)
    assert report, cold.log
    assert report["id"] == cold.request_id
    assert report["init"]
    assert int(report["billed"]) >= float(report["duration"]) + float(report["init"])
    assert 1 <= int(report["used"]) <= 128
    lines = cold.log.splitlines()
    assert f"START RequestId: {cold.request_id} Version: $LATEST" in lines
    assert f"END RequestId: {cold.request_id}" in lines

    warm = REPORT.search(clients.tail(client, name, {"do": "echo"}).log)
    assert warm["init"] is None
    assert 0 <= int(warm["billed"]) - float(warm["duration"]) < 1.01


def test_log_tail_is_the_last_four_kilobytes(client, actor):
    answer = clients.tail(client, actor, {"do": "log"})
    assert answer.json() == "logged"
    assert len(answer.log) == 4096
    assert "line 1000\n" in answer.log
    assert "line 1\n" not in answer.log
    assert answer.log.endswith("\t\n")


def test_without_log_type_there_is_no_log(client, actor):
    assert clients.invoke(client, actor, {"do": "log"}).log == ""


def test_client_context_reaches_the_function_decoded(client, actor):
    context = {"custom": {"tenant": "blue"}, "env": {"locale": "de"}}
    encoded = base64.b64encode(json.dumps(context).encode()).decode()
    answer = clients.invoke(client, actor, {"do": "context"}, ClientContext=encoded)
    assert answer.json() == context


def test_dry_run_runs_nothing(client, create, refused):
    name = create(scripts.actor())
    response = client.invoke(FunctionName=name, InvocationType="DryRun")
    assert response["StatusCode"] == 204
    assert response["Payload"].read() == b""
    assert clients.invoke(client, name, {"do": "count"}).json()["invocations"] == 1
    error = refused(client.invoke, FunctionName="not-there", InvocationType="DryRun")
    assert error == missing("not-there:$LATEST")


def test_qualifier_latest(client, actor, refused):
    answer = clients.invoke(client, actor, {"do": "arn"}, Qualifier="$LATEST")
    assert (answer.version, answer.json()) == ("$LATEST", f"{arn(actor)}:$LATEST")
    assert clients.invoke(client, f"{actor}:$LATEST", {"do": "arn"}).json() == f"{arn(actor)}:$LATEST"
    assert clients.invoke(client, actor, {"do": "arn"}).json() == arn(actor)
    error = refused(client.invoke, FunctionName=actor, Qualifier="7")
    assert error == missing(f"{actor}:7")
    error = refused(client.invoke, FunctionName=actor, Qualifier="$latest")
    assert error == missing(f"{actor}:$latest")


def test_the_functions_environment(client, create):
    name = create(scripts.actor(), MemorySize=192, Environment={"Variables": {"MINE": "1", "LANG": "C"}})
    text = clients.invoke(client, name, {"do": "env"}).payload.decode()
    seen = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    expected = {
        "_HANDLER": "function.handler",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "192",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
        "LAMBDA_TASK_ROOT": "/var/task",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "TZ": ":UTC",
        "PATH": "/usr/local/bin:/usr/bin/:/bin:/opt/bin",
        "LANG": "C",
        "MINE": "1",
        "PWD": "/var/task",
    }
    assert {key: seen.get(key) for key in expected} == expected
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", seen["AWS_LAMBDA_LOG_STREAM_NAME"])
    for credential in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        assert seen[credential]
    assert re.fullmatch(r"[\d.]+:\d+", seen["AWS_LAMBDA_RUNTIME_API"])
    # The server's own environment is none of the function's business.
    assert not [key for key in seen if key.startswith("BOOTLACE") or key in ("HOME", "USER", "LOGNAME")]
    assert "AWS_EXECUTION_ENV" not in seen


def test_one_environment_serves_in_a_row_and_keeps_tmp(client, create):
    name = create(scripts.actor())
    first = clients.invoke(client, name, {"do": "count"}).json()
    assert clients.invoke(client, name, {"do": "keep"}).payload == b""
    kept = clients.invoke(client, name, {"do": "keep"}).payload.decode().split()
    assert kept == [first["environment"]]
    last = clients.invoke(client, name, {"do": "count"}).json()
    assert last == {"environment": first["environment"], "invocations": 4}


def test_an_accepted_runtime_that_is_not_installed(client, create, refused):
    name = create(scripts.saying("hello"), Runtime="python3.13")
    assert client.get_function_configuration(FunctionName=name)["Runtime"] == "python3.13"
    error = refused(client.invoke, FunctionName=name)
    assert error.status >= 400
    assert "python3.13" in error.message


def test_invocation_types(client, actor, refused):
    error = refused(client.invoke, FunctionName=actor, InvocationType="Later")
    assert (error.status, error.code) == (400, "ValidationException")
    start = "1 validation error detected: Value 'Later' at 'invocationType' failed to satisfy constraint: "
    assert error.message.startswith(start + "Member must satisfy enum value set: [")
    error = refused(client.invoke, FunctionName=actor, InvocationType="Event")
    assert error.status == 501
