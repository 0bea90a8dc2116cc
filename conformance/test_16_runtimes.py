"""AWS's own runtime clients, unmodified, and the walkthrough's shell runtime pass one table of scenarios."""

import base64
import dataclasses
import json
import uuid

import pytest

import clients
import runtimes
import scripts
import zips
from test_04_invoke import REPORT
from test_14_streaming import Stream

HANDLER = "scenarios.handler"
SIX_MIB = 6 * 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Runtime:
    """A runtime, and where it differs from the others: in the words of what fails."""

    layer: object
    code: object
    error: dict
    init_error: dict
    exited: str = "Runtime exited with error: exit status 3"


def shell_layer():
    return zips.of_files(bootstrap=(scripts.EXAMPLE / "runtime/bootstrap").read_text())


RUNTIMES = {
    "python": Runtime(
        layer=lambda: runtimes.layer("python"),
        code=lambda: runtimes.function("scenarios.py"),
        error={"errorType": "ValueError", "errorMessage": "as told"},
        init_error={"errorType": "RuntimeError", "errorMessage": "no configuration", "requestId": ""},
    ),
    "node": Runtime(
        layer=lambda: runtimes.layer("node"),
        code=lambda: runtimes.function("scenarios.mjs"),
        error={"errorType": "RangeError", "errorMessage": "as told"},
        init_error={"errorType": "Error", "errorMessage": "no configuration"},
    ),
    "rust": Runtime(
        layer=None,
        code=runtimes.rust,
        error={"errorType": "AsTold", "errorMessage": "as told"},
        init_error={"errorType": "Runtime.ExitError", "errorMessage": "Runtime exited with error: exit status 1"},
    ),
    "shell": Runtime(
        layer=shell_layer,
        code=lambda: runtimes.function("scenarios.sh"),
        error={
            "errorType": "Function.Failed",
            "errorMessage": "the handler scenarios.handler ended with status 1",
        },
        init_error={
            "errorType": "Runtime.UserCodeSyntaxError",
            "errorMessage": "the file /var/task/scenarios.sh ended with status 1",
        },
        exited="Runtime exited with error: signal: terminated",
    ),
}


@dataclasses.dataclass
class Subject:
    """A runtime on the server, with a function on it that tests share."""

    runtime: Runtime
    make: object
    name: str


@pytest.fixture(scope="module", params=RUNTIMES)
def subject(request, client, create_shared):
    runtime = RUNTIMES[request.param]
    code = runtime.code()
    layers = []
    if runtime.layer:
        name = f"runtime-{request.param}-{uuid.uuid4().hex[:8]}"
        version = client.publish_layer_version(LayerName=name, Content={"ZipFile": runtime.layer()})
        layers = [version["LayerVersionArn"]]

    def make(**members):
        return create_shared(code, Handler=HANDLER, Layers=layers, **members)

    return Subject(runtime, make, make())


@pytest.mark.parametrize("event", [{"text": "ümläut 🥾"}, [1, 2.5, None], "x" * 5_000_000, {}], ids=type)
def test_ok(client, subject, event):
    answer = clients.tail(client, subject.name, event)
    assert answer.error is None, answer.payload
    assert answer.json() == event
    assert REPORT.search(answer.log), answer.log


def test_handler_error(client, subject):
    cold = clients.invoke(client, subject.name, {"do": "count"}).json()
    answer = clients.invoke(client, subject.name, {"do": "error"})
    assert answer.error == "Unhandled"
    told = answer.json()
    assert {name: told[name] for name in subject.runtime.error} == subject.runtime.error
    # The environment lives on.
    warm = clients.invoke(client, subject.name, {"do": "count"}).json()
    assert warm["environment"] == cold["environment"]


def test_cold_then_warm(client, subject):
    name = subject.make()
    cold, warm, third = (clients.tail(client, name, {"do": "count"}) for _ in range(3))
    assert [answer.json()["invocations"] for answer in (cold, warm, third)] == [1, 2, 3]
    assert len({answer.json()["environment"] for answer in (cold, warm, third)}) == 1
    assert ["\tInit Duration: " in answer.log for answer in (cold, warm, third)] == [True, False, False]


@pytest.mark.parametrize("action", ["exit", "kill"])
def test_crash(client, subject, action):
    before = clients.invoke(client, subject.name, {"do": "count"}).json()
    answer = clients.tail(client, subject.name, {"do": action})
    text = subject.runtime.exited if action == "exit" else "Runtime exited with error: signal: killed"
    assert (answer.error, answer.json()) == (
        "Unhandled",
        {"errorType": "Runtime.ExitError", "errorMessage": f"RequestId: {answer.request_id} Error: {text}"},
    )
    assert "\tStatus: error\tError Type: Runtime.ExitError" in answer.log
    after = clients.invoke(client, subject.name, {"do": "count"}).json()
    assert after["invocations"] == 1
    assert after["environment"] != before["environment"]


def test_timeout(client, subject):
    name = subject.make(Timeout=1)
    assert clients.invoke(client, name, {}).json() == {}
    answer = clients.tail(client, name, {"do": "sleep"})
    text = f"RequestId: {answer.request_id} Error: Task timed out after 1.00 seconds"
    assert (answer.error, answer.json()) == ("Unhandled", {"errorType": "Sandbox.Timedout", "errorMessage": text})
    assert "\tStatus: timeout" in answer.log
    assert clients.invoke(client, name, {"after": "that"}).json() == {"after": "that"}


def test_init_error(client, subject):
    name = subject.make(Environment={"Variables": {"FAIL_INIT": "raise"}})
    answer = clients.invoke(client, name, {})
    assert answer.error == "Unhandled"
    told, expected = answer.json(), dict(subject.runtime.init_error)
    told["errorMessage"] = told["errorMessage"].removeprefix(f"RequestId: {answer.request_id} Error: ")
    assert {member: told.get(member) for member in expected} == expected


def test_init_exit(client, subject):
    name = subject.make(Environment={"Variables": {"FAIL_INIT": "exit"}})
    answer = clients.invoke(client, name, {})
    text = f"RequestId: {answer.request_id} Error: Runtime exited with error: exit status 7"
    assert (answer.error, answer.json()) == (
        "Unhandled",
        {"errorType": "Runtime.ExitError", "errorMessage": text},
    )


def test_large_answers(client, subject):
    answer = clients.invoke(client, subject.name, {"do": "large", "bytes": SIX_MIB - 2})
    assert (answer.error, len(answer.payload)) == (None, SIX_MIB)
    answer = clients.invoke(client, subject.name, {"do": "large", "bytes": SIX_MIB + 200})
    assert (answer.error, answer.json()["errorType"]) == ("Unhandled", "Function.ResponseSizeTooLarge")
    assert clients.invoke(client, subject.name, {"and": "on"}).json() == {"and": "on"}


def test_context(client, subject):
    caller = base64.b64encode(json.dumps({"custom": {"tenant": "a b"}, "env": {}}).encode())
    answer = clients.invoke(client, subject.name, {"do": "context"}, ClientContext=caller.decode())
    seen = answer.json()
    arn = client.get_function_configuration(FunctionName=subject.name)["FunctionArn"]
    assert (seen["requestId"], seen["arn"]) == (answer.request_id, arn)
    assert seen["custom"] == {"tenant": "a b"}
    assert seen["trace"].startswith("Root=1-")
    assert 10_000 < seen["remainingMs"] <= 20_000
    assert clients.invoke(client, subject.name, {"do": "context"}).json()["custom"] is None


@pytest.fixture(scope="module")
def node_stream(client, create_shared):
    layer = client.publish_layer_version(
        LayerName=f"runtime-node-{uuid.uuid4().hex[:8]}", Content={"ZipFile": runtimes.layer("node")}
    )
    code = runtimes.function("scenarios.mjs")
    return create_shared(code, Handler="scenarios.stream", Layers=[layer["LayerVersionArn"]])


def test_node_streams(client, node_stream):
    chunks = b"".join(b"%d " % number + b"." * 14 for number in range(3))
    stream = Stream(client, node_stream, {"chunks": 3}, LogType="Tail")
    assert (stream.rest(), stream.end.get("ErrorCode")) == (chunks, None)
    assert REPORT.search(stream.log())
    # A caller that wants the answer as a whole gets it so.
    assert clients.invoke(client, node_stream, {"chunks": 3}).payload == chunks
    megabytes = Stream(client, node_stream, {"chunks": 80, "bytes": 65536}).rest()
    assert len(megabytes) == 80 * 65536


def test_node_streams_with_a_prelude(client, node_stream):
    prelude = {"statusCode": 201, "headers": {"x-a": "b"}}
    answer = Stream(client, node_stream, {"chunks": 1, "prelude": prelude}).rest()
    head, body = answer.split(bytes(8))
    assert (json.loads(head), body) == (prelude, b"0 ..............")


def test_node_fails_in_mid_stream(client, node_stream):
    """It tells the error in trailers, after what it had sent."""
    stream = Stream(client, node_stream, {"chunks": 2, "fail": True})
    assert stream.rest() == b"0 .............."
    code, document = stream.error()
    assert (code, document["errorType"], document["errorMessage"]) == ("RangeError", "RangeError", "as told")
    answer = clients.invoke(client, node_stream, {"chunks": 2, "fail": True})
    assert (answer.error, answer.json()["errorType"]) == ("Unhandled", "RangeError")
