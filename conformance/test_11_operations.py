"""Every operation of the service's model: it works as documented, or says that it is not built."""

import re

import boto3
import pytest
from botocore import xform_name

import clients
import scripts

TABLE = scripts.ROOT / "docs/COMPATIBILITY.md"
MODEL = boto3.client("lambda", region_name="us-east-1").meta.service_model


def documented():
    """The operations of docs/COMPATIBILITY.md and their status."""
    row = re.compile(r"\| (?P<name>[A-Z]\w+) \| `[A-Z]+ /\S*` \| (?P<status>[^|]+) \|")
    rows = (row.fullmatch(line) for line in TABLE.read_text().splitlines())
    return {row["name"]: row["status"].strip() for row in rows if row}


NOT_YET = sorted(name for name, status in documented().items() if status == "not yet")


def sample(shape, name=""):
    """The least that the client takes for a shape."""
    match shape.type_name:
        case "structure":
            return {member: sample(shape.members[member], member) for member in shape.required_members}
        case "list":
            return [sample(shape.member)] * max(1, shape.metadata.get("min", 0))
        case "map":
            return {}
        case "string":
            return sample_text(shape, name)
        case "blob":
            return b"{}"
        case "boolean":
            return True
        case "timestamp":
            return 1_800_000_000
        case _:
            return max(1, shape.metadata.get("min", 1))


def sample_text(shape, name):
    if shape.enum:
        return shape.enum[0]
    if "arn" in name.lower() or name == "Resource":
        return "arn:aws:lambda:us-east-1:000000000000:function:f"
    return "f" * max(1, shape.metadata.get("min", 1))


def test_the_table_has_every_operation_of_the_model():
    assert sorted(documented()) == sorted(MODEL.operation_names)
    assert set(documented().values()) == {"works", "not yet"}


@pytest.mark.parametrize("operation", NOT_YET)
def test_what_is_not_built_says_so(client, refused, operation):
    shape = MODEL.operation_model(operation).input_shape
    members = sample(shape) if shape else {}
    error = refused(getattr(client, xform_name(operation)), **members)
    assert error.status == 501, error
    assert operation in error.message
    assert error.response["ResponseMetadata"]["RequestId"]


def test_a_request_of_another_service_is_told_apart(server):
    """With AWS_ENDPOINT_URL set, clients send everything here."""
    status, headers, _ = clients.http(
        server.url, "POST", b"Action=GetCallerIdentity&Version=2011-06-15",
        {"Content-Type": "application/x-www-form-urlencoded"},
    )  # fmt: skip
    assert status >= 400
    assert headers["x-amzn-RequestId"]
