"""Functions that fail: the caller gets AWS's error document, the next invocation a clean process."""

import os
import re

import pytest

import clients
import scripts
import zips


def failure(client, name, event):
    answer = clients.tail(client, name, event)
    assert (answer.status, answer.error) == (200, "Unhandled"), answer
    return answer


def exited(answer, how):
    """The document of a process that ended by itself."""
    return {
        "errorType": "Runtime.ExitError",
        "errorMessage": f"RequestId: {answer.request_id} Error: Runtime exited {how}",
    }


def test_handler_error_is_passed_through(client, actor):
    before = clients.invoke(client, actor, {"do": "count"}).json()
    answer = failure(client, actor, {"do": "error"})
    assert answer.payload.strip() == b'{"errorType":"Oops","errorMessage":"as told","stackTrace":[]}'
    after = clients.invoke(client, actor, {"do": "count"}).json()
    assert after["environment"] == before["environment"]


@pytest.mark.parametrize(
    ("action", "how"),
    [
        ("exit", "without providing a reason"),
        ("exit-3", "with error: exit status 3"),
        ("kill", "with error: signal: killed"),
    ],
)
def test_crash(client, create, action, how):
    name = create(scripts.actor())
    before = clients.invoke(client, name, {"do": "count"}).json()
    answer = failure(client, name, {"do": action})
    assert answer.json() == exited(answer, how)
    assert f"END RequestId: {answer.request_id}" in answer.log
    assert f"REPORT RequestId: {answer.request_id}" in answer.log
    after = clients.invoke(client, name, {"do": "count"}).json()
    assert after["environment"] != before["environment"]
    assert after["invocations"] == 1


def test_timeout(client, create):
    name = create(scripts.actor(), Timeout=1)
    answer = failure(client, name, {"do": "sleep"})
    assert answer.json() == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": f"RequestId: {answer.request_id} Error: Task timed out after 1.00 seconds",
    }
    assert re.search(rf"REPORT RequestId: {answer.request_id}\tDuration: 10\d\d\.\d\d ms\t", answer.log)
    assert clients.invoke(client, name, {"do": "count"}).json()["invocations"] == 1


def test_no_bootstrap(client, create):
    name = create(zips.of_files(function__sh="handler() { :; }"))
    answer = failure(client, name, {})
    assert answer.json() == {
        "errorType": "Runtime.InvalidEntrypoint",
        "errorMessage": f"RequestId: {answer.request_id} Error: "
        "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]",
    }


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (zips.pack(zips.file("bootstrap", "#!/bin/sh\n", mode=0o644)), "permission denied"),
        (zips.of_files(bootstrap="\x7fELF but no program"), "exec format error"),
    ],
    ids=["not-executable", "no-program"],
)
def test_bootstrap_that_cannot_run(client, create, code, reason):
    answer = failure(client, create(code), {})
    assert answer.json() == {
        "errorType": "Runtime.InvalidEntrypoint",
        "errorMessage": f"RequestId: {answer.request_id} Error: fork/exec /var/task/bootstrap: {reason}",
    }


def test_reported_init_error(client, create):
    name = create(scripts.actor(), Environment={"Variables": {"FAIL_INIT": "report"}})
    answer = failure(client, name, {})
    assert answer.json() == {"errorType": "Runtime.NoConfig", "errorMessage": "no configuration"}


def test_exit_during_init(client, create):
    name = create(scripts.actor(), Environment={"Variables": {"FAIL_INIT": "exit"}})
    answer = failure(client, name, {})
    assert answer.json() == exited(answer, "with error: exit status 7")


def test_a_repaired_function_works_again(client, create):
    name = create(scripts.actor(), Environment={"Variables": {"FAIL_INIT": "exit"}})
    failure(client, name, {})
    client.update_function_configuration(FunctionName=name, Environment={"Variables": {}})
    clients.wait_updated(client, name)
    assert clients.invoke(client, name, {"do": "echo"}).error is None


def test_too_large_an_answer(client, actor):
    answer = failure(client, actor, {"do": "large"})
    assert answer.json() == {
        "errorType": "Function.ResponseSizeTooLarge",
        "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
    }
    assert clients.invoke(client, actor, {"do": "echo"}).error is None


def test_memory_limit(client, create):
    hungry = zips.of_files(
        bootstrap="""#!/bin/bash
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime"
curl -sS -o /dev/null "$api/invocation/next"
head -c 400000000 /dev/zero | tail -c 400000000 > /dev/null
"""
    )
    answer = failure(client, create(hungry), {})
    assert answer.json() == exited(answer, "with error: signal: killed")


def test_failures_of_many_leave_no_processes(client, create, server):
    """Ten crashes and ten repairs later there are as few environments as before."""
    name = create(scripts.actor())
    for _ in range(10):
        failure(client, name, {"do": "exit-3"})
        clients.invoke(client, name, {"do": "echo"})
    status, _, body = clients.http(f"{server.url}/bootlace/v1/environments")
    assert status == 200
    assert body.decode().count(name) <= 8, body
    assert os.path.exists(f"/proc/{server.process.pid}")
