"""Unmodified AWS clients, pointed at a server."""

import base64
import dataclasses
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request

import boto3
from botocore.config import Config

REGION = "us-east-1"
DEFAULT_ACCOUNT = "000000000000"
ROLE = f"arn:aws:iam::{DEFAULT_ACCOUNT}:role/conformance"
QUICK = {"Delay": 0.05, "MaxAttempts": 400}


def aws(url, service="lambda", account="test", region=REGION, connections=10, checking=True, prefix=True):
    """A boto3 client that never retries: what the server says first is what counts. Unless it is
    `checking`, it sends numbers out of range, as most other clients do. Some operations put a
    `prefix` before the server's name, which has no such names here."""
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=region,
        aws_access_key_id=account,
        aws_secret_access_key="secret",
        config=Config(
            retries={"max_attempts": 0},
            connect_timeout=10,
            read_timeout=90,
            max_pool_connections=connections,
            parameter_validation=checking,
            inject_host_prefix=prefix,
        ),
    )


def wait_active(client, name):
    client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig=QUICK)


def wait_updated(client, name):
    client.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig=QUICK)


@dataclasses.dataclass
class Answer:
    status: int
    error: str | None
    payload: bytes
    log: str
    version: str | None
    request_id: str

    def json(self):
        return json.loads(self.payload)


def invoke(client, name, event=None, **members):
    """Invokes synchronously and returns what came back, the log tail decoded."""
    if event is not None:
        members["Payload"] = event if isinstance(event, bytes) else json.dumps(event)
    response = client.invoke(FunctionName=name, **members)
    return Answer(
        status=response["StatusCode"],
        error=response.get("FunctionError"),
        payload=response["Payload"].read(),
        log=base64.b64decode(response.get("LogResult", "")).decode(),
        version=response.get("ExecutedVersion"),
        request_id=response["ResponseMetadata"]["RequestId"],
    )


def tail(client, name, event=None, **members):
    return invoke(client, name, event, LogType="Tail", **members)


class Cli:
    """aws-cli, always with --endpoint-url, in a home of its own."""

    def __init__(self, url, home):
        self.url = url
        self.home = home

    def __call__(self, *words):
        """What `aws lambda WORDS` prints, parsed; fails with what it said on stderr."""
        done = self.run(*words)
        assert done.returncode == 0, f"aws lambda {' '.join(map(str, words))}: {done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip() else None

    def run(self, *words):
        return self.of("lambda", *words)

    def of(self, service, *words):
        """The same for another service."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_MAX_ATTEMPTS": "1",
        }
        command = [sys.executable, "-m", "awscli", "--endpoint-url", self.url, service, *map(str, words)]
        return subprocess.run(
            command, env=environment, cwd=self.home, capture_output=True, text=True, timeout=60
        )


def http(url, method="GET", body=None, headers=None):
    """A request without any AWS client: (status, headers, body)."""
    request = urllib.request.Request(url, method=method, data=body, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()
