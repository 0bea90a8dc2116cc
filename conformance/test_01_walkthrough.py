"""The article's steps: a shell runtime as a layer, a function by its ARN, an invocation, its log."""

import base64
import json
import shutil
import subprocess

import pytest

import clients
import scripts
import server as servers
import zips

EVENT = {"key1": "value1", "key2": "value2", "key3": "value3"}
HANDLER = "function.handler"


def ours():
    runtime, function = scripts.EXAMPLE / "runtime/bootstrap", scripts.EXAMPLE / "function/function.sh"
    return runtime.read_text(), function.read_text()


def articles():
    folder = scripts.seed()
    if not folder:
        pytest.skip("the article's scripts are not on this machine (BOOTLACE_SEED names their folder)")
    return (folder / "bootstrap").read_text(), (folder / "function.sh").read_text()


@pytest.fixture(params=[articles, ours], ids=["article", "example"])
def walkthrough(request):
    """(layer, function): the zips a person makes by hand."""
    runtime, function = request.param()
    return zips.of_files(bootstrap=runtime), zips.of_files(function__sh=function)


def check_dump(text, function, request_id):
    """The function answered with what its runtime saw."""
    for line in (
        f"_HANDLER={HANDLER}",
        "LAMBDA_TASK_ROOT=/var/task",
        "AWS_LAMBDA_RUNTIME_API=",
        f"AWS_LAMBDA_FUNCTION_NAME={function}",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128",
        "AWS_REGION=us-east-1",
        f"Lambda-Runtime-Aws-Request-Id: {request_id}".lower(),
        f"arn:aws:lambda:us-east-1:000000000000:function:{function}",
        "Lambda-Runtime-Deadline-Ms: ".lower(),
    ):
        assert line.lower() in text.lower(), f"{line!r} is not in the answer:\n{text}"
    assert json.dumps(EVENT) in text


def check_log(log, request_id):
    assert f"START RequestId: {request_id} Version: $LATEST\n" in log
    assert json.dumps(EVENT) in log
    assert f"END RequestId: {request_id}\n" in log
    report = log[log.index(f"REPORT RequestId: {request_id}\tDuration: ") :]
    for field in ("Billed Duration: ", "Memory Size: 128 MB", "Max Memory Used: ", "Init Duration: "):
        assert f"\t{field}" in report


def test_with_boto3(client, walkthrough, name):
    layer, function = walkthrough
    published = client.publish_layer_version(
        LayerName=name, Content={"ZipFile": layer}, CompatibleRuntimes=["provided"]
    )
    assert published["Version"] == 1
    created = client.create_function(
        FunctionName=name,
        Runtime="provided",
        Role=clients.ROLE,
        Handler=HANDLER,
        Code={"ZipFile": function},
        Layers=[published["LayerVersionArn"]],
    )
    assert created["Layers"][0]["Arn"] == published["LayerVersionArn"]
    client.get_waiter("function_active_v2").wait(FunctionName=name)

    answer = clients.tail(client, name, EVENT)
    assert (answer.status, answer.error, answer.version) == (200, None, "$LATEST")
    check_dump(answer.payload.decode(), name, answer.request_id)
    check_log(answer.log, answer.request_id)

    again = clients.tail(client, name, EVENT)
    assert again.request_id != answer.request_id
    assert again.request_id in again.payload.decode()
    assert "Init Duration" not in again.log


def test_with_aws_cli(cli, walkthrough, name, tmp_path):
    layer, function = walkthrough
    (tmp_path / "bootstrap.zip").write_bytes(layer)
    (tmp_path / "function.zip").write_bytes(function)
    published = cli(
        "publish-layer-version", "--layer-name", name, "--compatible-runtimes", "provided",
        "--zip-file", f"fileb://{tmp_path}/bootstrap.zip",
    )  # fmt: skip
    created = cli(
        "create-function", "--function-name", name, "--runtime", "provided", "--handler", HANDLER,
        "--role", clients.ROLE, "--layers", published["LayerVersionArn"],
        "--zip-file", f"fileb://{tmp_path}/function.zip",
    )  # fmt: skip
    assert created["FunctionName"] == name
    cli("wait", "function-active-v2", "--function-name", name)

    answer = tmp_path / "answer"
    invoked = cli(
        "invoke", "--function-name", name, "--payload", json.dumps(EVENT), "--log-type", "Tail", answer
    )
    assert (invoked["StatusCode"], invoked["ExecutedVersion"]) == (200, "$LATEST")
    log = base64.b64decode(invoked["LogResult"]).decode()
    request_id = log.split("START RequestId: ")[1].split(" ")[0]
    check_dump(answer.read_text(), name, request_id)
    check_log(log, request_id)


def test_demo_shows_it_and_leaves_nothing(tmp_path):
    """`bootlace demo`, which is what `cargo xtask demo` runs."""
    home = tmp_path / "home"
    home.mkdir()
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(home), "TMPDIR": str(home)}
    done = subprocess.run(
        [servers.BINARY, "demo"], env=environment, capture_output=True, text=True, timeout=90
    )
    assert done.returncode == 0, done.stderr
    shown = done.stdout + done.stderr
    for text in ("_HANDLER", "Lambda-Runtime-Aws-Request-Id", "START RequestId", "REPORT RequestId"):
        assert text.lower() in shown.lower(), f"{text} is not in:\n{shown}"
    left = sorted(str(path) for path in home.rglob("*"))
    assert left == [], f"left in its home: {left}"


@pytest.mark.skipif(not shutil.which("awk"), reason="the example uses awk")
def test_examples_are_executable_as_checked_out():
    """A person who zips them keeps their mode bits."""
    for script in ("runtime/bootstrap", "function/function.sh"):
        assert (scripts.EXAMPLE / script).stat().st_mode & 0o111 == 0o111
