"""Bad input has a clear error, costs nothing that was there before, and harms nobody."""

import json

import pytest

import clients
import scripts
import zips

MEGABYTE = 1 << 20
NO_ZIP = "Could not unzip uploaded file. Please check your file, then try to upload again."
TOO_LARGE_UNZIPPED = "Unzipped size must be smaller than 262144000 bytes"
TOO_LARGE_ZIPPED = "Zipped size must be smaller than 52428800 bytes"
INVALID = "InvalidParameterValueException"


def corrupt():
    """A zip with its middle overwritten: the directory is fine, the content is not."""
    code = bytearray(zips.stored("bootstrap", b"#!/bin/sh\n" * 1000))
    code[3000:3100] = bytes(100)
    return bytes(code)


def truncated():
    code = scripts.saying("hello")
    return code[: len(code) // 2]


BAD_ZIPS = {
    "no-zip": b"this is no zip",
    "empty": b"PK",
    "corrupt": corrupt(),
    "truncated": truncated(),
    "parent": zips.pack(zips.file("../../escaped", "x"), zips.file("bootstrap", "x")),
    "parent-inside": zips.pack(zips.file("a/../../escaped", "x")),
    "absolute": zips.pack(zips.file("/tmp/escaped", "x")),
    "link-up": zips.pack(zips.link("out", "../../../../tmp/escaped")),
    "link-absolute": zips.pack(zips.link("out", "/etc/passwd")),
    "through-link": zips.pack(zips.link("out", "/tmp"), zips.file("out/escaped", "x")),
    "through-links": zips.pack(
        zips.link("a", "b"), zips.link("b", ".."), zips.file("a/escaped", "x")
    ),
}
SIZE = 300 * MEGABYTE


def function(name, code, **members):
    return {
        "FunctionName": name,
        "Runtime": "provided.al2023",
        "Role": clients.ROLE,
        "Handler": "h",
        "Code": {"ZipFile": code},
        **members,
    }


@pytest.fixture
def unharmed(client, server, create):
    """What was there before is there afterwards, and runs."""
    name = create(scripts.saying("unharmed"))
    before = client.get_function_configuration(FunctionName=name)
    functions = {function["FunctionName"] for function in client.list_functions()["Functions"]}
    yield name
    after = client.get_function_configuration(FunctionName=name)
    assert {**after, "ResponseMetadata": 0} == {**before, "ResponseMetadata": 0}
    assert clients.invoke(client, name, {}).json() == "unharmed"
    assert {function["FunctionName"] for function in client.list_functions()["Functions"]} == functions
    left = [path for path in (server.data_dir).rglob("*") if "escaped" in path.name]
    assert left == []


@pytest.mark.parametrize("code", BAD_ZIPS.values(), ids=BAD_ZIPS)
def test_bad_zips(client, unharmed, refused, name, code):
    """As a new function, as new code of one, and as a layer."""
    for error in (
        refused(client.create_function, **function(f"{name}-x", code)),
        refused(client.update_function_code, FunctionName=unharmed, ZipFile=code),
        refused(client.publish_layer_version, LayerName=name, Content={"ZipFile": code}),
    ):
        assert (error.status, error.code) == (400, INVALID)
        assert error.message.startswith(NO_ZIP), error


@pytest.mark.parametrize("claim", [SIZE, 1000], ids=["honest", "lying"])
def test_bombs(client, unharmed, refused, name, claim):
    code = zips.understated(zips.zeros("zeros", SIZE), SIZE, claim)
    for error in (
        refused(client.create_function, **function(f"{name}-x", code)),
        refused(client.publish_layer_version, LayerName=name, Content={"ZipFile": code}),
    ):
        assert (error.status, error.code) == (400, INVALID)
        assert error.message in (TOO_LARGE_UNZIPPED, NO_ZIP)


def test_over_fifty_megabytes_direct(client, unharmed, refused, name):
    code = zips.stored("large", bytes(50 * MEGABYTE))
    assert 52428800 < len(code) < 52428800 + 1000
    error = refused(client.create_function, **function(f"{name}-x", code))
    assert error == (413, "RequestEntityTooLargeException", TOO_LARGE_ZIPPED)


def test_a_request_that_is_too_large_as_a_whole(client, unharmed, refused, name):
    code = zips.stored("large", bytes(53 * MEGABYTE))
    error = refused(client.create_function, **function(f"{name}-x", code))
    text = "Request must be smaller than 70167211 bytes for the CreateFunction operation"
    assert error == (413, "RequestEntityTooLargeException", text)


def test_too_large_unzipped_with_layers(client, unharmed, refused, publish, name):
    layer = publish(zips.zeros("zeros", 200 * MEGABYTE))
    code = zips.zeros("zeros", 60 * MEGABYTE)
    error = refused(client.create_function, **function(f"{name}-x", code, Layers=[layer]))
    assert (error.status, error.code) == (400, INVALID)
    assert "262144000" in error.message


def test_six_layers(client, unharmed, refused, publish, name):
    layers = [publish(zips.of_files(a="a"), LayerName=f"{name}-{n}") for n in range(6)]
    error = refused(client.create_function, **function(f"{name}-x", scripts.saying("x"), Layers=layers))
    assert error == (400, INVALID, "Cannot reference more than 5 layers.")
    error = refused(client.update_function_configuration, FunctionName=unharmed, Layers=layers)
    assert error == (400, INVALID, "Cannot reference more than 5 layers.")


def test_a_layer_that_is_not_there(client, unharmed, refused, publish):
    arn = publish(zips.of_files(a="a"))[:-1] + "7"
    error = refused(client.create_function, **function("x", scripts.saying("x"), Layers=[arn]))
    assert error == (400, INVALID, f"Layer version {arn} does not exist.")
    error = refused(client.update_function_configuration, FunctionName=unharmed, Layers=[arn])
    assert error == (400, INVALID, f"Layer version {arn} does not exist.")


def test_two_versions_of_one_layer(client, unharmed, refused, publish):
    one, two = (publish(zips.of_files(a=text)) for text in "12")
    error = refused(client.create_function, **function("x", scripts.saying("x"), Layers=[one, two]))
    text = (
        "Two different versions of the same layer are not allowed to be referenced in the same function. "
        f"{one} and {two} are versions of the same layer."
    )
    assert error == (400, INVALID, text)


def test_a_layer_of_another_architecture(client, unharmed, refused, publish):
    arn = publish(zips.of_files(a="a"), CompatibleArchitectures=["arm64"])
    error = refused(client.create_function, **function("x", scripts.saying("x"), Layers=[arn]))
    assert (error.status, error.code) == (400, INVALID)
    assert arn in error.message
    assert "arm64" in error.message


def test_a_layer_of_another_region(client, unharmed, refused, publish):
    arn = publish(zips.of_files(a="a")).replace("us-east-1", "eu-west-1")
    error = refused(client.create_function, **function("x", scripts.saying("x"), Layers=[arn]))
    text = (
        "Layers are not in the same region as the function. "
        "Layers are expected to be in region us-east-1."
    )
    assert error == (400, INVALID, text)


@pytest.fixture(scope="module")
def unchecked(server):
    return clients.aws(server.url, checking=False)


def pattern(client, shape):
    """The pattern as the service's own model has it."""
    return client.meta.service_model.shape_for(shape).metadata["pattern"]


def constraint(value, path, rule):
    text = f"1 validation error detected: Value '{value}' at '{path}' failed to satisfy constraint: {rule}"
    return (400, "ValidationException", text)


@pytest.mark.parametrize(
    "bad", ["*", "my-function!", "a b", "invalid-account:function:f", "f:1:2", "arn:aws:s3:::bucket"]
)
def test_function_names_out_of_grammar(client, unharmed, refused, bad):
    def rule(shape):
        return "Member must satisfy regular expression pattern: " + pattern(client, shape)

    for call in (client.get_function, client.delete_function, client.invoke):
        expected = constraint(bad, "functionName", rule("NamespacedFunctionName"))
        assert refused(call, FunctionName=bad) == expected
    error = refused(client.create_function, **function(bad, scripts.saying("x")))
    assert error == constraint(bad, "functionName", rule("FunctionName"))


def test_lengths(client, unharmed, refused):
    long = "x" * 65
    rule = "Member must have length less than or equal to 64"
    error = refused(client.create_function, **function(long, scripts.saying("x")))
    assert error == (400, INVALID, constraint(long, "functionName", rule)[2])
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{long}"
    error = refused(client.get_function, FunctionName=long)
    assert error == (404, "ResourceNotFoundException", f"Function not found: {arn}")
    qualifier = "q" * 129
    error = refused(client.get_function, FunctionName=unharmed, Qualifier=qualifier)
    rule = "Member must have length less than or equal to 128"
    assert error == constraint(qualifier, "qualifier", rule)


def test_qualifiers_out_of_grammar(client, unharmed, refused):
    error = refused(client.get_function, FunctionName=unharmed, Qualifier="invalid!")
    assert (error.status, error.code) == (400, "ValidationException")
    start = "1 validation error detected: Value 'invalid!' at 'qualifier' failed to satisfy constraint: "
    assert error.message.startswith(start + "Member must satisfy regular expression pattern: ")
    error = refused(client.get_function, FunctionName=f"{unharmed}:1", Qualifier="2")
    text = "The derived qualifier from the function name does not match the specified qualifier."
    assert error == (400, INVALID, text)


def test_arns_of_elsewhere(client, unharmed, refused):
    arn = f"arn:aws:lambda:eu-west-1:000000000000:function:{unharmed}"
    error = refused(client.get_function, FunctionName=arn)
    text = "Functions from 'eu-west-1' are not reachable in this region ('us-east-1')"
    assert error == (404, "ResourceNotFoundException", text)
    arn = f"arn:aws:lambda:us-east-1:123456789012:function:{unharmed}"
    error = refused(client.get_function, FunctionName=arn)
    assert (error.status, error.code) == (403, "AccessDeniedException")
    assert f"is not authorized to perform: lambda:GetFunction on resource: {arn}" in error.message


@pytest.mark.parametrize(
    ("members", "path", "rule"),
    [
        ({"MemorySize": 127}, "memorySize", "Member must have value greater than or equal to 128"),
        ({"Timeout": 0}, "timeout", "Member must have value greater than or equal to 1"),
        ({"Description": "x" * 257}, "description", "Member must have length less than or equal to 256"),
        ({"Handler": "x" * 129}, "handler", "Member must have length less than or equal to 128"),
        (
            {"EphemeralStorage": {"Size": 511}},
            "ephemeralStorage.size",
            "Member must have value greater than or equal to 512",
        ),
        (
            {"Architectures": ["x86_64", "arm64"]},
            "architectures",
            "Member must have length less than or equal to 1",
        ),
    ],
    ids=["memory", "timeout", "description", "handler", "tmp", "architectures"],
)
def test_members_out_of_range(unchecked, unharmed, refused, members, path, rule):
    value = next(iter(members.values()))
    value = next(iter(value.values())) if isinstance(value, dict) else value
    value = f"[{', '.join(value)}]" if isinstance(value, list) else value
    error = refused(unchecked.create_function, **function("x", scripts.saying("x"), **members))
    assert error == constraint(value, path, rule)


def test_two_members_out_of_range_are_told_together(unchecked, unharmed, refused):
    error = refused(unchecked.create_function, **function("x", scripts.saying("x"), MemorySize=1, Timeout=0))
    assert (error.status, error.code) == (400, "ValidationException")
    start, items = error.message.split(": ", 1)
    assert start == "2 validation errors detected"
    rule = "failed to satisfy constraint: Member must have value greater than or equal to"
    assert set(items.split("; ")) == {
        f"Value '1' at 'memorySize' {rule} 128",
        f"Value '0' at 'timeout' {rule} 1",
    }


def test_runtimes_out_of_grammar(client, unharmed, refused):
    error = refused(client.create_function, **function("x", scripts.saying("x"), Runtime="PYTHON3.9"))
    assert (error.status, error.code) == (400, INVALID)
    start = "Value PYTHON3.9 at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: ["
    assert error.message.startswith(start)
    assert error.message.endswith("] or be a valid ARN")


def test_environment_variables(client, unharmed, refused):
    variables = {"BIG": "x" * 4096}
    measured = json.dumps(variables, separators=(",", ":"))
    error = refused(
        client.create_function, **function("x", scripts.saying("x"), Environment={"Variables": variables})
    )
    text = (
        "Lambda was unable to configure your environment variables because the environment variables you "
        f"have provided exceeded the 4KB limit. String measured: {measured}"
    )
    assert error == (400, INVALID, text)
    reserved = {"AWS_REGION": "x", "OTHER": "y"}
    error = refused(
        client.create_function, **function("x", scripts.saying("x"), Environment={"Variables": reserved})
    )
    text = (
        "Lambda was unable to configure your environment variables because the environment variables you "
        "have provided contains reserved keys that are currently not supported for modification. "
        "Reserved keys used in this request: AWS_REGION"
    )
    assert error == (400, INVALID, text)


@pytest.mark.parametrize("body", [b"{", b"", b"[]", b'{"FunctionName": 7}', b"\xff\xfe"])
def test_bad_json_to_the_control_plane(server, unharmed, body):
    status, headers, answer = clients.http(f"{server.url}/2015-03-31/functions", "POST", body)
    assert status == 400
    assert headers["x-amzn-ErrorType"] in ("SerializationException", "ValidationException")
    assert headers["x-amzn-RequestId"]
    json.loads(answer)


@pytest.mark.parametrize("body", [b"{", b"not json", b'{"a": }', b'"\xff"', b"{} {}", b"[" * 100_000])
def test_bad_json_as_an_event(client, unharmed, refused, body):
    error = refused(client.invoke, FunctionName=unharmed, Payload=body)
    assert (error.status, error.code) == (400, "InvalidRequestContentException")
    start = "Could not parse request body into json: Could not parse payload into json: "
    assert error.message.startswith(start)


def test_an_event_over_six_megabytes(client, unharmed, refused):
    payload = b'"' + b"x" * (6291456 - 1) + b'"'
    error = refused(client.invoke, FunctionName=unharmed, Payload=payload)
    text = (
        f"{len(payload)} byte payload is too large for the RequestResponse invocation type "
        "(limit 6291456 bytes)"
    )
    assert error == (413, "RequestEntityTooLargeException", text)


def test_client_context_that_is_too_long_or_no_json(client, unharmed, refused):
    for context in ("e" * 3584, "!!!", "bm8ganNvbg=="):
        error = refused(client.invoke, FunctionName=unharmed, ClientContext=context)
        assert error.status == 400, error


def test_paths_that_no_operation_has(server, unharmed):
    for path in ("/", "/2015-03-31", "/2015-03-31/functions/f/nothing", "/%ff", "/2015-03-31/functions/%00"):
        status, headers, _ = clients.http(server.url + path)
        assert status in (400, 403, 404), path
        assert headers["x-amzn-ErrorType"], path
        assert headers["x-amzn-RequestId"], path
