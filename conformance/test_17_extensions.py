"""A real extension, as a layer: what it is told over the life of an environment, and how others fail."""

import difflib
import json
import os
import pathlib
import re
import time

import pytest

import clients
import runtimes
import server as servers
import zips

GOLDEN = pathlib.Path(__file__).resolve().parent / "golden/extension_events.json"
# What differs from run to run, by the name of the member.
VARYING = {"time": str, "start": str, "durationMs": float, "billedDurationMs": int, "initDurationMs": float}
VARYING |= {"maxMemoryUsedMB": int, "deadlineMs": int, "producedBytes": int, "value": str, "spanId": str}


@pytest.fixture(scope="module")
def recorder():
    program = pathlib.Path(os.environ.get("BOOTLACE_RECORDER", servers.ROOT / "target/debug/recorder"))
    return zips.pack(zips.file("extensions/recorder", program.read_bytes()))


class Life:
    """A function with the recorder, and what that wrote into the function's log."""

    def __init__(self, client, logs, name):
        self.client = client
        self.logs = logs
        self.name = name
        self.ids = {}

    def invoke(self, **event):
        answer = clients.invoke(self.client, self.name, event)
        self.ids[answer.request_id] = f"<invocation {len(self.ids) + 1}>"
        return answer

    def told(self):
        """All lines of the recorder, as the documents in them."""
        pages = self.logs.get_paginator("filter_log_events")
        lines = pages.paginate(logGroupName=f"/aws/lambda/{self.name}", filterPattern='"recorder "')
        events = [event["message"] for page in lines for event in page["events"]]
        return [json.loads(line.removeprefix("recorder ")) for line in events if line.startswith("recorder {")]

    def plain(self, value, member=None):
        """With placeholders for what varies, after a look at its type."""
        if isinstance(value, dict):
            return {name: self.plain(value[name], name) for name in sorted(value)}
        if isinstance(value, list):
            return [self.plain(one) for one in value]
        if member in VARYING and value is not None:
            wanted = VARYING[member]
            assert isinstance(value, (int, float) if wanted is float else wanted), (member, value)
            if member in ("time", "start"):
                assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", value), (member, value)
            return f"<{member}>"
        if isinstance(value, str):
            for known, placeholder in self.ids.items():
                value = value.replace(known, placeholder)
            return value.replace(self.name, "<function>")
        return value


def test_what_an_extension_is_told(client, server, create, publish, recorder):
    """A cold start, three warm invocations, a timeout, a start after it, and the end."""
    name = create(runtimes.rust(), Layers=[publish(recorder)], Timeout=1)
    life = Life(client, clients.aws(server.url, "logs"), name)
    for number in range(4):
        assert life.invoke(number=number).json() == {"number": number}
    assert life.invoke(do="sleep").json()["errorType"] == "Sandbox.Timedout"
    assert life.invoke(number=5).json() == {"number": 5}
    client.delete_function(FunctionName=name)
    deadline = time.monotonic() + 15
    while not any(one.get("shutdownReason") == "spindown" for one in life.told()):
        assert time.monotonic() < deadline, life.told()
        time.sleep(0.05)
    told = life.told()
    seen = {
        "events": [life.plain(one) for one in told if "eventType" in one],
        "records": [life.plain(one) for one in told if "type" in one],
    }
    assert len(told) == len(seen["events"]) + len(seen["records"])
    # The last report comes before the end is told.
    kinds = [one.get("eventType") or one["type"] for one in told]
    assert kinds[-2:] == ["platform.report", "SHUTDOWN"], kinds
    check_golden(seen)
    check_times(told)


def check_golden(seen):
    """UPDATE_GOLDEN=1 writes the file; what changed is then looked at by a person."""
    text = json.dumps(seen, indent=2, ensure_ascii=False) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text)
    golden = GOLDEN.read_text()
    difference = difflib.unified_diff(golden.splitlines(), text.splitlines(), "golden", "seen", lineterm="")
    assert text == golden, "\n".join(difference)


def check_times(told):
    """Records of the platform are in the order of their times, and durations are true."""
    platform = [one for one in told if one.get("type", "").startswith("platform.")]
    times = [one["time"] for one in platform]
    assert times == sorted(times)
    for one in platform:
        if one["type"] == "platform.report":
            metrics = one["record"]["metrics"]
            whole = metrics["durationMs"] + metrics.get("initDurationMs", 0)
            assert 0 <= metrics["billedDurationMs"] - whole < 1, one
            timed_out = one["record"]["status"] == "timeout"
            assert (metrics["durationMs"] >= 1000) == timed_out, one


# An extension in the shell, that fails in the way that is put in its place.
FAILING = """#!/bin/bash
api="http://$AWS_LAMBDA_RUNTIME_API/2020-01-01/extension"
fails() {
    curl -sS -o /dev/null -H "Lambda-Extension-Identifier: $id" -d '{"errorMessage":"as told"}' \\
        -H "Lambda-Extension-Function-Error-Type: Extension.$2" "$api/$1/error"
    exit 1
}
curl -sS -o /dev/null -D /tmp/head -H "Lambda-Extension-Name: ${0##*/}" -d '{"events":["INVOKE"]}' "$api/register"
id=$(sed -n 's/^lambda-extension-identifier: *//Ip' /tmp/head | tr -d '\\r')
next() { curl -sS -o /dev/null -H "Lambda-Extension-Identifier: $id" "$api/event/next"; }
"""

FAILURES = {
    "exit 0": ("Extension.Crash", "exit code 0"),
    "exit 3": ("Extension.Crash", "exit status 3"),
    "fails init NoConfig": ("Extension.InitError", None),
    "next; fails exit Gone": ("Extension.ExitError", None),
    "next; exit 4": ("Extension.Crash", "exit status 4"),
}


@pytest.mark.parametrize("how", FAILURES)
def test_an_extension_that_fails(client, create, publish, how):
    layer = publish(zips.pack(zips.file("extensions/failing", FAILING + how)))
    name = create(runtimes.rust(), Layers=[layer])
    # The function does not answer, so that the first thing to happen is the extension's failure.
    answer = clients.tail(client, name, {"do": "sleep"})
    kind, text = FAILURES[how]
    assert (answer.error, answer.json()["errorType"]) == ("Unhandled", kind)
    if text:
        assert answer.json()["errorMessage"] == f"RequestId: {answer.request_id} Error: {text}"
    assert f"\tStatus: error\tError Type: {kind}" in answer.log
