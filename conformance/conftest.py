"""Fixtures: one server for most tests, clients for it, and functions that tests share."""

import os
import pathlib
import re
import uuid

import pytest
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer

import clients
import scripts
import server as servers


@pytest.fixture(scope="session")
def s3():
    """The address of an S3 that code can be fetched from."""
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    yield f"http://{host}:{port}"
    moto.stop()


@pytest.fixture(scope="session")
def server(s3, tmp_path_factory):
    """The server that most tests talk to; at the end it must leave nothing behind."""
    settings = {
        "store.s3_endpoint": s3,
        "store.s3_access_key_id": "test",
        "store.s3_secret_access_key": "secret",
    }
    running = servers.Server(tmp_path_factory.mktemp("server") / "data", settings)
    yield running
    running.stop()


@pytest.fixture
def own_server(tmp_path):
    """Starts servers for one test alone: `own_server(**{"invoke.idle_timeout_s": 1})`."""
    started = []

    def start(**settings):
        running = servers.Server(tmp_path / f"data-{len(started)}", settings)
        started.append(running)
        return running

    yield start
    for running in started:
        if running.process.poll() is None:
            running.stop()


@pytest.fixture(scope="session")
def client(server):
    return clients.aws(server.url)


@pytest.fixture
def account(server):
    """A client of an account that no other test uses."""
    return clients.aws(server.url, account=f"{uuid.uuid4().int % 10**12:012d}")


@pytest.fixture(scope="session")
def cli(server, tmp_path_factory):
    return clients.Cli(server.url, tmp_path_factory.mktemp("cli"))


@pytest.fixture
def name(request):
    """A name for a function or layer that tells which test it belongs to."""
    readable = re.sub("[^a-zA-Z0-9]+", "-", request.node.name).strip("-")[:40]
    return f"{readable}-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def create(client, name):
    """Creates a function, waits until it is active, and deletes it after the test."""
    yield from creator(client, name)


@pytest.fixture(scope="module")
def create_shared(client):
    yield from creator(client, f"shared-{uuid.uuid4().hex[:8]}")


def creator(client, name):
    created = []

    def make(code, **members):
        request = {
            "FunctionName": f"{name}-{len(created)}" if created else name,
            "Runtime": "provided.al2023",
            "Role": clients.ROLE,
            "Handler": "function.handler",
            "Timeout": 20,
            "Code": {"ZipFile": code} if isinstance(code, bytes) else code,
            **members,
        }
        client.create_function(**request)
        created.append(request["FunctionName"])
        clients.wait_active(client, request["FunctionName"])
        return request["FunctionName"]

    yield make
    for function in created:
        try:
            client.delete_function(FunctionName=function)
        except client.exceptions.ResourceNotFoundException:
            pass


@pytest.fixture(scope="module")
def actor(create_shared):
    """The name of a function that does as its event says (scripts.ACTOR)."""
    return create_shared(scripts.actor())


@pytest.fixture
def publish(client, name):
    """Publishes a layer version and returns its ARN."""

    def make(code, **members):
        members.setdefault("LayerName", name)
        return client.publish_layer_version(Content={"ZipFile": code}, **members)["LayerVersionArn"]

    return make


@pytest.fixture
def refused():
    """Calls a client's method and returns the error: `refused(client.invoke, FunctionName=…)`."""

    def call(method, **members):
        with pytest.raises(ClientError) as caught:
            method(**members)
        return Refusal(caught.value.response)

    return call


class Refusal:
    """An error as the client parsed it."""

    def __init__(self, response):
        self.status = response["ResponseMetadata"]["HTTPStatusCode"]
        self.code = response["Error"]["Code"]
        self.message = response["Error"]["Message"]
        self.response = response

    def __eq__(self, other):
        return (self.status, self.code, self.message) == other

    def __repr__(self):
        return repr((self.status, self.code, self.message))


@pytest.fixture(scope="session")
def echo():
    """The echo function with the official Rust client, as `cargo build` made it."""
    program = pathlib.Path(os.environ.get("BOOTLACE_ECHO", servers.ROOT / "target/debug/bootstrap"))
    return program.read_bytes()


@pytest.fixture(scope="session")
def stream_program():
    """A function that streams with the official Rust client."""
    default = servers.ROOT / "target/debug/bootstrap-stream"
    return pathlib.Path(os.environ.get("BOOTLACE_STREAM", default)).read_bytes()
