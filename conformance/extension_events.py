"""What an extension printed, checked against itself and made the same from run to run.

Each line is `recorder {…}`, a telemetry record or an event of the Extensions API. What differs from run to
run becomes a placeholder, after it was looked at: a request is known by its number, a time only by having
the right form and not being earlier than the one before it.
"""

import datetime
import difflib
import json
import math
import os
import pathlib
import re

GOLDEN = pathlib.Path(__file__).resolve().parent / "golden"
MARK = "recorder "
# The crate leaves the milliseconds out when there are none.
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z")
TRACE = re.compile(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=[01]")
SHUTDOWN_MS = 2_000


def printed(logs, group):
    """All that it printed, as (when, what), of all streams of the group."""
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group)
    events = [event for page in pages for event in page["events"]]
    lines = ((event["timestamp"], event["message"]) for event in events)
    return [(at, json.loads(line.removeprefix(MARK))) for at, line in lines if line.startswith(MARK)]


def is_event(what):
    return "eventType" in what


class Steady:
    """Makes records the same from run to run. `requests` are the ids that the caller got, in order."""

    def __init__(self, requests, timeout_s):
        self.names = {request: f"<request {number}>" for number, request in enumerate(requests, 1)}
        self.timeout_ms = timeout_s * 1000
        self.traces = {}
        self.last = 0

    def event(self, at, event):
        """An event of the Extensions API, printed at this time."""
        within = SHUTDOWN_MS if event["eventType"] == "SHUTDOWN" else self.timeout_ms
        assert at < event["deadlineMs"] <= at + within, (at, event)
        event = {**event, "deadlineMs": "<deadline>"}
        return self.of_request(event, event) if "requestId" in event else event

    def record(self, what):
        """A telemetry record."""
        assert set(what) == {"time", "type", "record"}, what
        time, record = milliseconds(what["time"]), what["record"]
        assert time >= self.last, f"{what} comes after {self.last}"
        self.last = time
        if isinstance(record, dict):
            record = self.of_request(record, what) if "requestId" in record else dict(record)
            if "metrics" in record:
                record["metrics"] = metrics(record["metrics"])
            if "spans" in record:
                record["spans"] = spans(record["spans"], until=time)
        return {"time": "<time>", "type": what["type"], "record": record}

    def of_request(self, record, what):
        """The same with the request's number; a request has one trace, whoever tells it."""
        name = self.names.get(record["requestId"])
        assert name, f"nobody asked for this: {what}"
        trace = record["tracing"]["value"]
        assert TRACE.fullmatch(trace), what
        assert self.traces.setdefault(name, trace) == trace, what
        return {**record, "requestId": name, "tracing": {**record["tracing"], "value": "<trace>"}}


def metrics(given):
    steady = dict(given)
    for name in ("durationMs", "initDurationMs"):
        if name in given:
            assert isinstance(given[name], float) and given[name] > 0, given
            steady[name] = "<ms>"
    if "billedDurationMs" in given:
        whole = given["durationMs"] + given.get("initDurationMs", 0)
        assert given["billedDurationMs"] in (math.ceil(whole), math.ceil(whole - 0.001)), given
        steady["billedDurationMs"] = "<ms>"
    if "maxMemoryUsedMB" in given:
        assert 0 < given["maxMemoryUsedMB"] <= given["memorySizeMB"], given
        steady["maxMemoryUsedMB"] = "<MB>"
    return steady


def spans(given, until):
    """They follow each other, and none ends after the record that has them."""
    end = None
    for span in given:
        begin = milliseconds(span["start"])
        # Times are whole milliseconds.
        assert span["durationMs"] >= 0 and (end is None or abs(begin - end) <= 2), given
        end = begin + span["durationMs"]
        assert end <= until + 2, (given, until)
    return [{**span, "start": "<time>", "durationMs": "<ms>"} for span in given]


def milliseconds(time):
    assert TIME.fullmatch(time), time
    return round(datetime.datetime.fromisoformat(time).timestamp() * 1000)


def as_text(part):
    """One record a line, so that a difference is a line."""
    return [json.dumps(one, sort_keys=True) for one in part]


def difference(golden, parts):
    """What is missing, more, or elsewhere than in the golden file: nothing if all is as it should be.
    UPDATE_GOLDEN=1 writes the file; a person then looks at what changed."""
    path = GOLDEN / golden
    if os.environ.get("UPDATE_GOLDEN"):
        listed = (f'"{name}": [\n' + ",\n".join(as_text(part)) + "\n]" for name, part in parts.items())
        path.write_text("{\n" + ",\n".join(listed) + "\n}\n")
    want = json.loads(path.read_text())
    assert list(want) == list(parts)
    lines = []
    for name, part in parts.items():
        lines += difflib.unified_diff(
            as_text(want[name]), as_text(part), f"{golden}: {name}", "received", n=1, lineterm=""
        )
    return "\n".join(lines)
