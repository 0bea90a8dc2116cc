"""CloudWatch Logs: what functions and clients log, as unmodified clients read it."""

import json
import pathlib
import subprocess
import threading
import time
import uuid

import pytest

import clients
import scripts
import zips

# Debian's aws-cli, of version 2; the one in the test's environment is of version 1.
AWS2 = pathlib.Path("/usr/bin/aws")

TALKER = """#!/bin/bash
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime"
while true; do
    curl -sS -D /tmp/head -o /tmp/event "$api/invocation/next" || exit 1
    id=$(grep -i '^lambda-runtime-aws-request-id:' /tmp/head | sed 's/^[^:]*: *//' | tr -d '\\r\\n')
    tr -d '"' < /tmp/event
    echo
    curl -sS -o /dev/null -X POST -d '"said"' "$api/invocation/$id/response"
done
"""


@pytest.fixture(scope="module")
def talker(create_shared):
    """A function that logs its event, a JSON string."""
    return create_shared(zips.of_files(bootstrap=TALKER))


@pytest.fixture
def number():
    return f"{uuid.uuid4().int % 10**12:012d}"


@pytest.fixture
def logs(server, number):
    """A client of an account that no other test uses."""
    return clients.aws(server.url, "logs", account=number)


@pytest.fixture(scope="session")
def function_logs(server):
    """A client of the account in which the functions are."""
    return clients.aws(server.url, "logs")


def now():
    return int(time.time() * 1000)


def eventually(find, seconds=30):
    deadline = time.monotonic() + seconds
    while not (found := find()):
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.02)
    return found


def texts(events):
    return [event["message"].rstrip() for event in events]


def fill(logs, messages, group="g", stream="s", start=None):
    start = start or now() - 60_000
    events = [{"timestamp": start + index, "message": message} for index, message in enumerate(messages)]
    return logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


def of_request(function_logs, group, request_id):
    """The events of one invocation, once its REPORT is there."""

    def whole():
        events = function_logs.filter_log_events(logGroupName=group)["events"]
        lines = texts(events)
        first = next((i for i, line in enumerate(lines) if line.startswith(f"START RequestId: {request_id}")), None)
        last = next((i for i, line in enumerate(lines) if line.startswith(f"REPORT RequestId: {request_id}")), None)
        return events[first : last + 1] if first is not None and last is not None else None

    return eventually(whole)


def test_a_function_logs_to_its_group(client, function_logs, talker):
    before = now()
    answer = clients.invoke(client, talker, "hello log")
    group = f"/aws/lambda/{talker}"
    events = of_request(function_logs, group, answer.request_id)
    lines = [event["message"] for event in events]
    assert lines[0] == f"START RequestId: {answer.request_id} Version: $LATEST\n"
    assert lines[1] == "hello log\n"
    assert lines[2] == f"END RequestId: {answer.request_id}\n"
    assert lines[3].startswith(f"REPORT RequestId: {answer.request_id}\tDuration: ")
    for event in events:
        assert before <= event["timestamp"] <= now() and before <= event["ingestionTime"] <= now()
        assert "/[$LATEST]" in event["logStreamName"]
        assert event["eventId"].isdigit() and len(event["eventId"]) == 56

    (found,) = function_logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    assert found["logGroupName"] == group and found["storedBytes"] > 0
    assert found["arn"] == f"arn:aws:logs:us-east-1:{clients.DEFAULT_ACCOUNT}:log-group:{group}:*"
    assert found["logGroupArn"] + ":*" == found["arn"] and "retentionInDays" not in found
    streams = function_logs.describe_log_streams(logGroupName=group)["logStreams"]
    stream = next(s for s in streams if s["logStreamName"] == events[0]["logStreamName"])
    assert before <= stream["firstEventTimestamp"] <= stream["lastEventTimestamp"]
    assert stream["arn"].endswith(f":log-group:{group}:log-stream:{stream['logStreamName']}")


def test_a_function_with_a_group_of_its_own_choice(client, function_logs, create, name):
    group = f"/shared/{name}"
    create(scripts.actor(), LoggingConfig={"LogGroup": group})
    answer = clients.invoke(client, name, {"do": "echo"})
    events = of_request(function_logs, group, answer.request_id)
    assert f"/{name}[$LATEST]" in events[0]["logStreamName"]
    function_logs.delete_log_group(logGroupName=group)


def test_groups(logs, number, refused):
    names = [f"group/{letter}" for letter in "edcba"]
    for name in names:
        assert logs.create_log_group(logGroupName=name, tags={"made": "here"})["ResponseMetadata"]["HTTPStatusCode"] == 200
    listed = logs.describe_log_groups()["logGroups"]
    assert [group["logGroupName"] for group in listed] == sorted(names)
    pages = list(logs.get_paginator("describe_log_groups").paginate(PaginationConfig={"PageSize": 2}))
    assert [len(page["logGroups"]) for page in pages] == [2, 2, 1]
    assert [g["logGroupName"] for page in pages for g in page["logGroups"]] == sorted(names)
    of = lambda **members: [g["logGroupName"] for g in logs.describe_log_groups(**members)["logGroups"]]
    assert of(logGroupNamePrefix="group/c") == ["group/c"]
    assert of(logGroupNamePattern="p/d") == ["group/d"]
    arn = f"arn:aws:logs:us-east-1:{number}:log-group:group/e"
    assert of(logGroupIdentifiers=[arn, "group/a"]) == ["group/a", "group/e"]
    assert of(logGroupNamePrefix="none") == []

    logs.put_retention_policy(logGroupName="group/a", retentionInDays=7)
    assert logs.describe_log_groups(limit=1)["logGroups"][0]["retentionInDays"] == 7
    logs.delete_retention_policy(logGroupName="group/a")
    assert "retentionInDays" not in logs.describe_log_groups(limit=1)["logGroups"][0]

    logs.delete_log_group(logGroupName="group/a")
    assert of() == sorted(names)[1:]
    gone = (400, "ResourceNotFoundException", "The specified log group does not exist.")
    assert refused(logs.delete_log_group, logGroupName="group/a") == gone
    assert refused(logs.filter_log_events, logGroupName="group/a") == gone
    assert refused(logs.put_retention_policy, logGroupName="group/a", retentionInDays=1) == gone
    exists = (400, "ResourceAlreadyExistsException", "The specified log group already exists")
    assert refused(logs.create_log_group, logGroupName="group/b") == exists


def test_tags_as_terraform_keeps_them(logs, number):
    logs.create_log_group(logGroupName="t", tags={"a": "1"})
    arn = logs.describe_log_groups()["logGroups"][0]["logGroupArn"]
    assert logs.list_tags_for_resource(resourceArn=arn)["tags"] == {"a": "1"}
    logs.tag_resource(resourceArn=arn, tags={"b": "2", "a": "3"})
    assert logs.list_tags_log_group(logGroupName="t")["tags"] == {"a": "3", "b": "2"}
    logs.untag_resource(resourceArn=arn, tagKeys=["a"])
    logs.tag_log_group(logGroupName="t", tags={"c": ""})
    logs.untag_log_group(logGroupName="t", tags=["b"])
    assert logs.list_tags_for_resource(resourceArn=arn)["tags"] == {"c": ""}


def test_streams(logs, refused):
    logs.create_log_group(logGroupName="g")
    for name in ("b", "a", "ab"):
        logs.create_log_stream(logGroupName="g", logStreamName=name)
    names = lambda **members: [
        stream["logStreamName"] for stream in logs.describe_log_streams(logGroupName="g", **members)["logStreams"]
    ]
    assert names() == ["a", "ab", "b"]
    assert names(logStreamNamePrefix="a", descending=True) == ["ab", "a"]
    fill(logs, ["x"], stream="b", start=now() - 2000)
    fill(logs, ["x"], stream="a", start=now() - 1000)
    assert names(orderBy="LastEventTime", descending=True) == ["a", "b", "ab"]
    page = logs.describe_log_streams(logGroupName="g", orderBy="LastEventTime", descending=True, limit=1)
    assert names(orderBy="LastEventTime", descending=True, nextToken=page["nextToken"]) == ["b", "ab"]
    logs.delete_log_stream(logGroupName="g", logStreamName="a")
    assert names() == ["ab", "b"]
    no_stream = (400, "ResourceNotFoundException", "The specified log stream does not exist.")
    assert refused(logs.get_log_events, logGroupName="g", logStreamName="a") == no_stream
    assert refused(logs.delete_log_stream, logGroupName="g", logStreamName="a") == no_stream
    events = [{"timestamp": now(), "message": "x"}]
    assert refused(logs.put_log_events, logGroupName="g", logStreamName="a", logEvents=events) == no_stream
    exists = (400, "ResourceAlreadyExistsException", "The specified log stream already exists")
    assert refused(logs.create_log_stream, logGroupName="g", logStreamName="b") == exists
    error = refused(logs.describe_log_streams, logGroupName="g", orderBy="LastEventTime", logStreamNamePrefix="a")
    assert error.message == "Cannot order by LastEventTime with a logStreamNamePrefix."


def test_a_stream_is_read_from_either_end(logs):
    logs.create_log_group(logGroupName="g")
    logs.create_log_stream(logGroupName="g", logStreamName="s")
    start = now() - 60_000
    fill(logs, [f"line {index}" for index in range(10)], start=start)
    get = lambda **members: logs.get_log_events(logGroupName="g", logStreamName="s", **members)

    newest = get(limit=3)
    assert texts(newest["events"]) == ["line 7", "line 8", "line 9"]
    assert newest["nextForwardToken"].startswith("f/") and newest["nextBackwardToken"].startswith("b/")
    back = get(limit=3, nextToken=newest["nextBackwardToken"])
    assert texts(back["events"]) == ["line 4", "line 5", "line 6"]

    first = get(limit=4, startFromHead=True)
    assert texts(first["events"]) == [f"line {index}" for index in range(4)]
    seen, page = texts(first["events"]), first
    while True:
        following = get(limit=4, startFromHead=True, nextToken=page["nextForwardToken"])
        if following["nextForwardToken"] == page["nextForwardToken"]:
            break
        seen, page = seen + texts(following["events"]), following
    assert seen == [f"line {index}" for index in range(10)] and following["events"] == []
    fill(logs, ["late"], start=now())
    assert texts(get(nextToken=following["nextForwardToken"])["events"]) == ["late"]
    before = get(limit=2, nextToken=following["nextBackwardToken"])
    assert texts(before["events"]) == ["line 8", "line 9"]

    window = get(startTime=start + 2, endTime=start + 5, startFromHead=True)
    assert texts(window["events"]) == ["line 2", "line 3", "line 4"]
    assert set(window["events"][0]) == {"timestamp", "message", "ingestionTime"}


def test_filtering_goes_through_all_streams_in_order(logs, number):
    logs.create_log_group(logGroupName="g")
    start = now() - 60_000
    for index, stream in enumerate(("one", "two", "three")):
        logs.create_log_stream(logGroupName="g", logStreamName=stream)
        events = [{"timestamp": start + 10 * i + index, "message": f"{stream} {i}"} for i in range(50)]
        logs.put_log_events(logGroupName="g", logStreamName=stream, logEvents=events)
    find = lambda **members: texts(logs.filter_log_events(logGroupName="g", **members)["events"])
    everything = [f"{stream} {i}" for i in range(50) for stream in ("one", "two", "three")]
    assert find(interleaved=True) == everything
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName="g", PaginationConfig={"PageSize": 40})
    pages = [texts(page["events"]) for page in pages]
    assert sum(pages, []) == everything and len(pages) == 4
    assert find(logStreamNames=["two"], limit=2) == ["two 0", "two 1"]
    assert find(logStreamNamePrefix="t", limit=2) == ["two 0", "three 0"]
    assert find(startTime=start + 10, endTime=start + 12) == ["one 1", "two 1", "three 1"]
    assert find(startFromHead=False, limit=2) == ["three 49", "two 49"]
    arn = f"arn:aws:logs:us-east-1:{number}:log-group:g"
    found = logs.filter_log_events(logGroupIdentifier=arn, limit=1)
    assert texts(found["events"]) == ["one 0"] and found["searchedLogStreams"] == [] and found["nextToken"]


LINES = [
    "ERROR disk full",
    "INFO fine",
    "WARN no error",
    '{"level":"ERROR","took":12.5,"user":{"name":"Ann"}}',
    '{"level":"INFO","took":3}',
]


@pytest.mark.parametrize(
    "pattern, expected",
    [
        ("ERROR", [0, 3]),
        ("ERROR -level", [0]),
        ('"disk full"', [0]),
        ("?disk ?fine", [0, 1]),
        ("%f[iu][nl]+%", [0, 1]),
        ('{ $.level = "ERROR" }', [3]),
        ("{ $.took > 12 && $.user.name = A* }", [3]),
        ("{ $.took < 12 || $.user.name = %nn$% }", [3, 4]),
        ("{ $.user NOT EXISTS }", [4]),
        ("[level = INFO, what]", [1]),
        ("nowhere", []),
    ],
)
def test_patterns(logs, pattern, expected):
    logs.create_log_group(logGroupName="g")
    logs.create_log_stream(logGroupName="g", logStreamName="s")
    fill(logs, LINES)
    found = texts(logs.filter_log_events(logGroupName="g", filterPattern=pattern)["events"])
    assert found == [LINES[index] for index in expected]


@pytest.mark.parametrize("pattern", ["{ $.took < 12", "%a(b)%", '"open', "[a, b", "{ $.a = 1 } more"])
def test_what_is_no_pattern(logs, refused, pattern):
    logs.create_log_group(logGroupName="g")
    error = refused(logs.filter_log_events, logGroupName="g", filterPattern=pattern)
    assert error == (400, "InvalidParameterException", "Invalid filter pattern")


def test_putting_events(logs, refused):
    logs.create_log_group(logGroupName="g")
    logs.create_log_stream(logGroupName="g", logStreamName="s")
    day = 86_400_000
    events = [{"timestamp": now() + offset, "message": "m"} for offset in (-15 * day, 0, 3 * 3_600_000)]
    stream = {"logGroupName": "g", "logStreamName": "s", "sequenceToken": "any"}
    answer = logs.put_log_events(logEvents=events, **stream)
    assert answer["nextSequenceToken"]
    assert answer["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1, "tooNewLogEventStartIndex": 2}
    assert len(logs.filter_log_events(logGroupName="g")["events"]) == 1
    text = "Log events in a single PutLogEvents request must be in chronological order."
    assert refused(logs.put_log_events, logEvents=events[::-1], **stream) == (400, "InvalidParameterException", text)
    text = "Upload too large: 1048602 bytes exceeds limit of 1048576"
    large = [{"timestamp": now(), "message": "x" * 1_048_576}]
    assert refused(logs.put_log_events, logEvents=large, **stream) == (400, "InvalidParameterException", text)
    snow = "\u2603 x" * 100_000
    logs.put_log_events(logEvents=[{"timestamp": now(), "message": snow}], **stream)
    assert logs.filter_log_events(logGroupName="g")["events"][1]["message"] == snow


def test_wrong_requests(server, number, refused):
    logs = clients.aws(server.url, "logs", account=number, checking=False)

    def check(method, message, **members):
        assert refused(method, **members) == (400, "InvalidParameterException", message)

    error = "1 validation error detected: Value {} failed to satisfy constraint: {}"
    check(logs.create_log_group, error.format("'a b' at 'logGroupName'",
          r"Member must satisfy regular expression pattern: [\.\-_/#A-Za-z0-9]+"), logGroupName="a b")  # fmt: skip
    check(logs.create_log_group, error.format("null at 'logGroupName'", "Member must not be null"))
    check(logs.create_log_group, error.format("'' at 'logGroupName'",
          "Member must have length greater than or equal to 1"), logGroupName="")  # fmt: skip
    check(logs.describe_log_groups, error.format("'51' at 'limit'",
          "Member must have value less than or equal to 50"), limit=51)  # fmt: skip
    check(logs.filter_log_events, error.format("'10001' at 'limit'",
          "Member must have value less than or equal to 10000"), logGroupName="g", limit=10_001)  # fmt: skip
    logs.create_log_group(logGroupName="g")
    check(logs.put_retention_policy, error.format("'2' at 'retentionInDays'",
          "Member must satisfy enum value set: [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, "
          "1827, 2192, 2557, 2922, 3288, 3653]"), logGroupName="g", retentionInDays=2)  # fmt: skip
    for token in ("x", "Zi8x", "f/1/s"):
        check(logs.filter_log_events, "The specified nextToken is invalid.", logGroupName="g", nextToken=token)
    answer = refused(logs.start_query, logGroupName="g", startTime=0, endTime=1, queryString="fields @message")
    assert (answer.status, answer.code) == (501, "NotImplementedException")
    assert answer.message == "StartQuery of the service Logs is not built yet in Bootlace"


def test_accounts_and_regions_see_their_own(server, refused):
    one, two = (clients.aws(server.url, "logs", account=f"{uuid.uuid4().int % 10**12:012d}") for _ in range(2))
    for logs in (one, two):
        logs.create_log_group(logGroupName="same")
        logs.create_log_stream(logGroupName="same", logStreamName="s")
    fill(one, ["of one"], group="same")
    assert texts(one.filter_log_events(logGroupName="same")["events"]) == ["of one"]
    assert two.filter_log_events(logGroupName="same")["events"] == []
    arn = one.describe_log_groups()["logGroups"][0]["logGroupArn"]
    assert refused(two.filter_log_events, logGroupIdentifier=arn).code == "ResourceNotFoundException"
    one.delete_log_group(logGroupName="same")
    assert len(two.describe_log_groups()["logGroups"]) == 1


def test_live_tail(server, client, talker):
    logs = clients.aws(server.url, "logs", prefix=False)
    clients.invoke(client, talker, "before the session")
    arn = f"arn:aws:logs:us-east-1:{clients.DEFAULT_ACCOUNT}:log-group:/aws/lambda/{talker}"
    eventually(lambda: logs.describe_log_groups(logGroupIdentifiers=[arn])["logGroups"])
    answer = logs.start_live_tail(logGroupIdentifiers=[arn], logEventFilterPattern="live")
    events = iter(answer["responseStream"])
    start = next(events)["sessionStart"]
    assert start["logGroupIdentifiers"] == [arn] and start["sessionId"]
    clients.invoke(client, talker, "live one")
    clients.invoke(client, talker, "dead two")
    clients.invoke(client, talker, "live three")
    seen = []
    while len(seen) < 2:
        update = next(events)["sessionUpdate"]
        assert update["sessionMetadata"] == {"sampled": False}
        seen += update["sessionResults"]
    answer["responseStream"].close()
    assert texts(seen) == ["live one", "live three"]
    assert seen[0]["logGroupIdentifier"] == arn and "/[$LATEST]" in seen[0]["logStreamName"]


def test_an_open_live_tail_does_not_keep_the_server(own_server):
    server = own_server()
    logs = clients.aws(server.url, "logs", prefix=False)
    logs.create_log_group(logGroupName="g")
    stream = logs.start_live_tail(logGroupIdentifiers=["g"])["responseStream"]
    events = iter(stream)
    assert "sessionStart" in next(events)
    server.stop()
    assert all("sessionUpdate" in event for event in events)


def test_aws_cli_version_1(cli, client, function_logs, talker):
    answer = clients.invoke(client, talker, "for the cli")
    of_request(function_logs, f"/aws/lambda/{talker}", answer.request_id)
    words = ["--log-group-name", f"/aws/lambda/{talker}", "--filter-pattern", '"for the cli"']
    done = cli.of("logs", "filter-log-events", *words)
    assert done.returncode == 0, done.stderr
    assert "for the cli" in texts(json.loads(done.stdout)["events"])
    done = cli.of("logs", "filter-log-events", "--log-group-name", "none")
    assert "(ResourceNotFoundException)" in done.stderr and done.returncode != 0


def test_aws_logs_tail_follows_a_running_function(server, client, function_logs, talker, tmp_path):
    version = subprocess.run([AWS2, "--version"], capture_output=True, text=True).stdout if AWS2.exists() else ""
    if not version.startswith("aws-cli/2"):
        pytest.skip(f"{AWS2} is no aws-cli of version 2, which alone can follow logs")
    environment = {
        "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": clients.REGION, "PYTHONUNBUFFERED": "1",
    }  # fmt: skip
    clients.invoke(client, talker, "before it")
    group = f"/aws/lambda/{talker}"
    eventually(lambda: function_logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"])
    command = [AWS2, "logs", "tail", group, "--follow", "--format", "short", "--endpoint-url", server.url]
    tail = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    seen = []
    reader = threading.Thread(target=lambda: seen.extend(iter(tail.stdout.readline, "")), daemon=True)
    reader.start()
    try:
        eventually(lambda: any("before it" in line for line in seen))
        clients.invoke(client, talker, "while it follows")
        eventually(lambda: any("while it follows" in line for line in seen))
        assert sum("before it" in line for line in seen) == 1
    finally:
        tail.terminate()
        tail.wait(timeout=30)
        reader.join(timeout=30)
        tail.stdout.close()


def test_logs_outlive_the_server_however_it_ends(own_server):
    server = own_server()
    function = clients.aws(server.url)
    function.create_function(
        FunctionName="f", Runtime="provided.al2023", Role=clients.ROLE, Handler="h",
        Code={"ZipFile": zips.of_files(bootstrap=TALKER)},
    )  # fmt: skip
    clients.wait_active(function, "f")
    answer = clients.tail(function, "f", "remember me")
    files = lambda: b"".join(path.read_bytes() for path in (server.data_dir / "logs").glob("*.log"))
    eventually(lambda: f"REPORT RequestId: {answer.request_id}".encode() in files())
    server.kill()
    server.start()
    logs = clients.aws(server.url, "logs")
    lines = texts(logs.filter_log_events(logGroupName="/aws/lambda/f")["events"])
    assert lines[1] == "remember me" and lines[3].startswith(f"REPORT RequestId: {answer.request_id}")
    server.stop()
    server.start()
    logs = clients.aws(server.url, "logs")
    assert texts(logs.filter_log_events(logGroupName="/aws/lambda/f")["events"]) == lines
    server.stop()


def test_all_logs_together_have_a_size(own_server):
    server = own_server(**{"logs.max_bytes": 1 << 20})
    logs = clients.aws(server.url, "logs")
    logs.create_log_group(logGroupName="g")
    logs.create_log_stream(logGroupName="g", logStreamName="s")
    for index in range(40):
        fill(logs, [f"{index} " + "x" * 100_000], start=now())
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName="g")
    kept = [line for page in pages for line in texts(page["events"])]
    assert kept[-1].startswith("39 ") and len(kept) < 12
    size = sum(path.stat().st_size for path in (server.data_dir / "logs").iterdir())
    assert size < 1_400_000, size
    server.stop()
