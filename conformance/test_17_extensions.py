"""A real extension, as a layer: what it is told from a cold start through a timeout to the end; and what
callers get of extensions that fail."""

import json
import os
import pathlib

import pytest

import clients
import extension_events
import runtimes
import scripts
import server as servers
import zips
from test_15_logs import eventually

HERE = pathlib.Path(__file__).resolve().parent
TIMEOUT_S = 1


def recorder():
    """The example, with AWS's own crate: what that crate understands."""
    default = servers.ROOT / "target/debug/recorder"
    return pathlib.Path(os.environ.get("BOOTLACE_RECORDER", default)).read_bytes()


def wire():
    """A script without a client: every member as it came."""
    return (HERE / "extensions/wire").read_text()


def at_rest(server):
    """Waits until its one environment has nothing to do: who comes earlier may get a second one."""

    def rests():
        status, _, body = clients.http(f"{server.url}/bootlace/v1/environments")
        assert status == 200
        return [environment["state"] for environment in json.loads(body)["environments"]] == ["idle"]

    eventually(rests)


def create(client, extension, program):
    """The function `watched` on the walkthrough's runtime, with an extension beside it."""
    layers = {
        "runtime-shell": zips.of_files(bootstrap=(scripts.EXAMPLE / "runtime/bootstrap").read_text()),
        extension: zips.pack(zips.file(f"extensions/{extension}", program)),
    }
    arns = [
        client.publish_layer_version(LayerName=name, Content={"ZipFile": code})["LayerVersionArn"]
        for name, code in layers.items()
    ]
    client.create_function(
        FunctionName="watched", Runtime="provided.al2023", Role=clients.ROLE, Handler="watched.handler",
        Timeout=TIMEOUT_S, Code={"ZipFile": runtimes.function("watched.sh")}, Layers=arns,
    )  # fmt: skip
    clients.wait_active(client, "watched")


def live(server, client):
    """A cold start, three warm invocations, a timeout, one more; the answers."""
    answers = []
    for event in ("cold", "warm", "warm", "warm", "sleep", "again"):
        answers.append(clients.invoke(client, "watched", event))
        at_rest(server)
        if event == "sleep":
            assert answers[-1].error == "Unhandled" and answers[-1].json()["errorType"] == "Sandbox.Timedout"
        else:
            assert answers[-1].error is None and answers[-1].json() == event
    return answers


@pytest.mark.parametrize(
    ("extension", "program", "golden"),
    [("recorder", recorder, "extension_events.json"), ("wire", wire, "extension_wire.json")],
    ids=["recorder", "wire"],
)
def test_all_that_an_extension_is_told(own_server, extension, program, golden):
    server = own_server()
    client, logs = clients.aws(server.url), clients.aws(server.url, "logs")
    create(client, extension, program())
    answers = live(server, client)
    # Another configuration needs other environments.
    client.update_function_configuration(FunctionName="watched", Description="another")

    def whole():
        lines = extension_events.printed(logs, "/aws/lambda/watched")
        return lines if lines and lines[-1][1].get("shutdownReason") == "spindown" else None

    lines = eventually(whole)
    steady = extension_events.Steady([answer.request_id for answer in answers], TIMEOUT_S)
    told = [what for _, what in lines]
    parts = {
        "telemetry": [steady.record(what) for what in told if not extension_events.is_event(what)],
        "events": [steady.event(at, what) for at, what in lines if extension_events.is_event(what)],
    }
    difference = extension_events.difference(golden, parts)
    assert not difference, f"not what {golden} says:\n{difference}"
    check_shutdowns(told)
    check_suppressed_init(told)


@pytest.mark.parametrize("golden", ["extension_events.json", "extension_wire.json"])
def test_what_is_missing_more_or_misplaced_is_found(golden):
    read = lambda: json.loads((extension_events.GOLDEN / golden).read_text())
    assert extension_events.difference(golden, read()) == ""
    for part in ("telemetry", "events"):
        for index, one in enumerate(read()[part]):
            less, more, moved = read(), read(), read()
            del less[part][index]
            more[part].insert(index, one)
            moved[part].insert(0, moved[part].pop(index))
            shown = json.dumps(one, sort_keys=True)
            assert "\n-" in extension_events.difference(golden, less)
            assert f"\n+{shown}" in extension_events.difference(golden, more)
            if moved != read():
                assert extension_events.difference(golden, moved)


def check_shutdowns(told):
    """Whoever hears of the end has heard all that was before it."""
    reports, seen = 0, {}
    for what in told:
        reports += what.get("type") == "platform.report"
        if what.get("eventType") == "SHUTDOWN":
            seen[what["shutdownReason"]] = reports
    assert seen == {"timeout": 5, "spindown": 6}
    assert told[-1]["eventType"] == "SHUTDOWN"


def check_suppressed_init(told):
    """The initialization after the reset is a part of the invocation that needs it."""
    of = lambda kind: [what["record"]["metrics"] for what in told if what.get("type") == kind]
    inits, reports = of("platform.initReport"), of("platform.report")
    assert reports[0]["initDurationMs"] == inits[0]["durationMs"]
    assert reports[-1]["durationMs"] > inits[-1]["durationMs"]


def failing(then):
    """An extension that registers and goes on with these lines."""
    return f"""#!/bin/bash
api="http://$AWS_LAMBDA_RUNTIME_API/2020-01-01/extension"
id=$(curl -sS -D - -o /dev/null -H "Lambda-Extension-Name: ${{0##*/}}" -d '{{"events":["INVOKE"]}}' "$api/register" |
    sed -n 's/^lambda-extension-identifier: *//Ip' | tr -d '\\r')
next() {{ curl -sS -o /dev/null -H "Lambda-Extension-Identifier: $id" "$api/event/next"; }}
report() {{
    curl -sS -o /dev/null -H "Lambda-Extension-Identifier: $id" \\
        -H "Lambda-Extension-Function-Error-Type: Extension.AsTold" \\
        -d '{{"errorType":"Extension.AsTold","errorMessage":"as told","stackTrace":[]}}' "$api/$1/error"
}}
{then}
"""


@pytest.mark.parametrize(
    ("program", "error_type", "text"),
    [
        ("#!/bin/bash\nexit 0\n", "Extension.Crash", "exit code 0"),
        ("#!/bin/bash\nexit 3\n", "Extension.Crash", "exit status 3"),
        (failing("kill -KILL $$"), "Extension.Crash", "signal: killed"),
        (failing("report init; exit 4"), "Extension.InitError", "exit status 4"),
        (failing("next; exit 5"), "Extension.Crash", "exit status 5"),
        (failing("next; report exit; exit 6"), "Extension.ExitError", "exit status 6"),
        ("#!/no/such/program\n", "Extension.LaunchError", "no such file or directory"),
    ],
    ids=["exit-0", "exit-3", "killed", "init-error", "exit-in-invoke", "exit-error", "no-program"],
)
def test_an_extension_that_fails_fails_the_invocation(client, create, publish, program, error_type, text):
    layer = publish(zips.pack(zips.file("extensions/failing", program)))
    # The runtime would answer only after the extension has failed.
    name = create(scripts.actor(), Layers=[layer])
    answer = clients.tail(client, name, {"do": "sleep"})
    assert (answer.status, answer.error) == (200, "Unhandled"), answer
    document = answer.json()
    assert set(document) == {"errorType", "errorMessage"}
    assert document["errorType"] == error_type, document
    assert document["errorMessage"].startswith(f"RequestId: {answer.request_id} Error: "), document
    assert document["errorMessage"].endswith(text), document
    assert f"\tStatus: error\tError Type: {error_type}" in answer.log
    # A function without it works again.
    client.update_function_configuration(FunctionName=name, Layers=[])
    clients.wait_updated(client, name)
    assert clients.invoke(client, name, {"do": "echo"}).error is None
