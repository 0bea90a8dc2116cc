"""Layers: published, read by name and by ARN, listed, deleted, and merged at /opt in order."""

import base64
import hashlib

import pytest

import clients
import scripts
import zips

GONE = (404, "ResourceNotFoundException", "The resource you requested does not exist.")


def text_layer(name, text):
    return zips.of_files(**{f"{name}__txt": text})


def test_published_version_is_read_by_name_and_by_arn(client, name):
    code = text_layer("a", "a")
    published = client.publish_layer_version(
        LayerName=name,
        Description="words",
        Content={"ZipFile": code},
        CompatibleRuntimes=["provided", "provided.al2023"],
        CompatibleArchitectures=["x86_64"],
        LicenseInfo="Apache-2.0",
    )
    assert published["ResponseMetadata"]["HTTPStatusCode"] == 201
    layer = f"arn:aws:lambda:us-east-1:000000000000:layer:{name}"
    assert published["LayerArn"] == layer
    assert published["LayerVersionArn"] == f"{layer}:1"
    assert published["Version"] == 1
    assert published["Description"] == "words"
    assert published["LicenseInfo"] == "Apache-2.0"
    assert published["CompatibleRuntimes"] == ["provided", "provided.al2023"]
    assert published["CompatibleArchitectures"] == ["x86_64"]
    content = published["Content"]
    assert content["CodeSize"] == len(code)
    assert content["CodeSha256"] == base64.b64encode(hashlib.sha256(code).digest()).decode()

    by_name = client.get_layer_version(LayerName=name, VersionNumber=1)
    by_arn = client.get_layer_version_by_arn(Arn=f"{layer}:1")
    for read in (by_name, by_arn):
        assert clients.http(read["Content"]["Location"])[::2] == (200, code)
        assert read["CreatedDate"] == published["CreatedDate"]
        for member in ("LayerArn", "LayerVersionArn", "Version", "Description", "CompatibleRuntimes"):
            assert read[member] == published[member]


def test_versions_count_up_and_are_never_reused(client, publish, name):
    assert [publish(text_layer("a", text))[-2:] for text in "123"] == [":1", ":2", ":3"]
    listed = client.list_layer_versions(LayerName=name)["LayerVersions"]
    assert [version["Version"] for version in listed] == [3, 2, 1]
    deleted = client.delete_layer_version(LayerName=name, VersionNumber=3)
    assert deleted["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert publish(text_layer("a", "4")).endswith(":4")
    pages = client.get_paginator("list_layer_versions").paginate(
        LayerName=name, PaginationConfig={"PageSize": 1}
    )
    assert [version["Version"] for page in pages for version in page["LayerVersions"]] == [4, 2, 1]
    client.delete_layer_version(LayerName=name, VersionNumber=3)
    client.delete_layer_version(LayerName="not-there", VersionNumber=1)


def test_list_layers_shows_the_latest_version(account):
    for name in ("one", "two", "three"):
        for text in "ab":
            account.publish_layer_version(LayerName=name, Content={"ZipFile": text_layer("a", text)})
    account.publish_layer_version(
        LayerName="for-arm",
        Content={"ZipFile": text_layer("a", "a")},
        CompatibleArchitectures=["arm64"],
        CompatibleRuntimes=["provided.al2023"],
    )
    pages = account.get_paginator("list_layers").paginate(PaginationConfig={"PageSize": 2})
    layers = {layer["LayerName"]: layer for page in pages for layer in page["Layers"]}
    assert sorted(layers) == ["for-arm", "one", "three", "two"]
    assert layers["one"]["LatestMatchingVersion"]["Version"] == 2
    matching = account.list_layers(CompatibleArchitecture="arm64", CompatibleRuntime="provided.al2023")
    assert [layer["LayerName"] for layer in matching["Layers"]] == ["for-arm"]


def test_layers_merge_in_order(client, create, publish, name):
    """A later layer covers an earlier one, file by file."""
    first = publish(zips.of_files(a__txt="a of first\n", both__txt="both of first\n"))
    second = publish(zips.of_files(both__txt="both of second\n", c__txt="c of second\n"), LayerName=f"{name}-2")
    function = create(scripts.actor(), Layers=[first, second])
    seen = clients.invoke(client, function, {"do": "opt"}).payload.decode()
    assert seen == "a of first\nboth of second\nc of second\n"

    client.update_function_configuration(FunctionName=function, Layers=[second, first])
    clients.wait_updated(client, function)
    seen = clients.invoke(client, function, {"do": "opt"}).payload.decode()
    assert seen == "a of first\nboth of first\nc of second\n"
    layers = client.get_function_configuration(FunctionName=function)["Layers"]
    assert [layer["Arn"] for layer in layers] == [second, first]
    assert all(layer["CodeSize"] > 0 for layer in layers)


def test_a_function_keeps_a_deleted_layer(client, create, publish, name):
    layer = publish(text_layer("a", "still here\n"))
    function = create(scripts.actor(), Layers=[layer])
    client.delete_layer_version(LayerName=name, VersionNumber=1)
    assert clients.invoke(client, function, {"do": "opt"}).payload == b"still here\n"


def test_five_layers_are_fine(client, create, publish, name):
    layers = [publish(text_layer(f"l{n}", f"{n}\n"), LayerName=f"{name}-{n}") for n in range(5)]
    function = create(scripts.actor(), Layers=layers)
    assert clients.invoke(client, function, {"do": "opt"}).payload == b"0\n1\n2\n3\n4\n"


def test_what_is_not_there(client, publish, refused, name):
    arn = publish(text_layer("a", "a"))
    assert refused(client.get_layer_version, LayerName=name, VersionNumber=2) == GONE
    assert refused(client.get_layer_version, LayerName="not-there", VersionNumber=1) == GONE
    assert refused(client.get_layer_version_by_arn, Arn=arn[:-1] + "9") == GONE


@pytest.mark.parametrize("number", [0, -1])
def test_version_numbers_start_at_one(client, refused, name, number):
    text = "Layer Version Cannot be less than 1"
    error = refused(client.get_layer_version, LayerName=name, VersionNumber=number)
    assert error == (400, "InvalidParameterValueException", text)
    error = refused(client.delete_layer_version, LayerName=name, VersionNumber=number)
    assert error == (400, "InvalidParameterValueException", text)


def test_arn_without_a_version(client, publish, refused):
    arn = publish(text_layer("a", "a")).rsplit(":", 1)[0]
    error = refused(client.get_layer_version_by_arn, Arn=arn)
    assert (error.status, error.code) == (400, "ValidationException")
    start = f"1 validation error detected: Value '{arn}' at 'arn' failed to satisfy constraint: "
    assert error.message.startswith(start + "Member must satisfy regular expression pattern: ")
