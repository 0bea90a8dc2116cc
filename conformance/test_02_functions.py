"""Functions: created, read, changed, listed, deleted, with the members and texts that AWS sends."""

import base64
import hashlib
import re

import pytest

import clients
import scripts
import zips

LAST_MODIFIED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000")
# Always present in a function's configuration.
MEMBERS = {
    "Architectures", "CodeSha256", "CodeSize", "Description", "EphemeralStorage", "FunctionArn",
    "FunctionName", "Handler", "LastModified", "LoggingConfig", "MemorySize", "PackageType", "RevisionId",
    "Role", "Runtime", "RuntimeVersionConfig", "SnapStart", "State", "Timeout", "TracingConfig", "Version",
}  # fmt: skip


def sha256(code):
    return base64.b64encode(hashlib.sha256(code).digest()).decode()


def arn(name, account=clients.DEFAULT_ACCOUNT):
    return f"arn:aws:lambda:{clients.REGION}:{account}:function:{name}"


def missing(name):
    return (404, "ResourceNotFoundException", f"Function not found: {arn(name)}")


def test_created_function_has_every_member_and_default(client, create, name):
    code = scripts.saying("hello")
    response = client.create_function(
        FunctionName=name, Runtime="provided.al2023", Role=clients.ROLE, Handler="h", Code={"ZipFile": code}
    )
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert response["State"] == "Pending"
    assert response["StateReason"] == "The function is being created."
    assert response["StateReasonCode"] == "Creating"
    assert "LastUpdateStatus" not in response
    clients.wait_active(client, name)

    function = client.get_function_configuration(FunctionName=name)
    assert set(function) >= MEMBERS
    assert function["State"] == "Active"
    assert function["LastUpdateStatus"] == "Successful"
    assert "StateReason" not in function
    assert function["FunctionArn"] == arn(name)
    assert function["CodeSha256"] == sha256(code)
    assert function["CodeSize"] == len(code)
    assert LAST_MODIFIED.fullmatch(function["LastModified"])
    assert function["RevisionId"] != response["RevisionId"]
    expected = {
        "FunctionName": name, "Runtime": "provided.al2023", "Role": clients.ROLE, "Handler": "h",
        "Description": "", "Timeout": 3, "MemorySize": 128, "Version": "$LATEST", "PackageType": "Zip",
        "Architectures": ["x86_64"], "EphemeralStorage": {"Size": 512},
        "TracingConfig": {"Mode": "PassThrough"},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{name}"},
    }  # fmt: skip
    assert {member: function[member] for member in expected} == expected
    for absent in ("Environment", "Layers", "VpcConfig", "DeadLetterConfig", "KMSKeyArn"):
        assert absent not in function
    client.delete_function(FunctionName=name)


def test_code_location_is_the_uploaded_zip(client, create):
    code = scripts.saying("hello")
    function = client.get_function(FunctionName=create(code))
    assert function["Code"]["RepositoryType"] == "S3"
    assert "Tags" not in function
    assert "Concurrency" not in function
    status, _, body = clients.http(function["Code"]["Location"])
    assert (status, body) == (200, code)
    assert function["Configuration"]["CodeSha256"] == sha256(body)


def test_tags_given_at_creation_are_shown(client, create):
    name = create(scripts.saying("hello"), Tags={"team": "a", "stage": "test"})
    assert client.get_function(FunctionName=name)["Tags"] == {"team": "a", "stage": "test"}


@pytest.mark.parametrize("form", ["{name}", "function:{name}", "000000000000:function:{name}", "{arn}"])
def test_function_is_found_by_every_form_of_its_name(client, create, form):
    name = create(scripts.saying("hello"))
    asked = form.format(name=name, arn=arn(name))
    assert client.get_function_configuration(FunctionName=asked)["FunctionArn"] == arn(name)
    latest = client.get_function_configuration(FunctionName=f"{asked}:$LATEST")
    assert latest["FunctionArn"] == f"{arn(name)}:$LATEST"
    assert clients.invoke(client, asked, {}).json() == "hello"


def test_update_code_is_what_runs_next(client, create):
    name = create(scripts.saying("first"))
    before = client.get_function_configuration(FunctionName=name)
    assert clients.invoke(client, name, {}).json() == "first"

    code = scripts.saying("second")
    updated = client.update_function_code(FunctionName=name, ZipFile=code, RevisionId=before["RevisionId"])
    assert updated["CodeSha256"] == sha256(code)
    assert updated["State"] == "Active"
    assert updated["LastUpdateStatus"] == "InProgress"
    clients.wait_updated(client, name)
    assert clients.invoke(client, name, {}).json() == "second"
    after = client.get_function_configuration(FunctionName=name)
    assert after["LastUpdateStatus"] == "Successful"
    assert after["RevisionId"] != before["RevisionId"]


def test_update_code_dry_run_changes_nothing(client, create):
    name = create(scripts.saying("first"))
    code = scripts.saying("second")
    shown = client.update_function_code(FunctionName=name, ZipFile=code, DryRun=True)
    assert shown["CodeSha256"] == sha256(code)
    assert client.get_function_configuration(FunctionName=name)["CodeSha256"] != sha256(code)
    assert clients.invoke(client, name, {}).json() == "first"


def test_update_configuration_reaches_the_function(client, create):
    name = create(scripts.actor())
    clients.invoke(client, name, {"do": "env"})
    updated = client.update_function_configuration(
        FunctionName=name,
        MemorySize=256,
        Timeout=9,
        Description="changed",
        Handler="other.handler",
        Environment={"Variables": {"GREETING": "hello there"}},
        EphemeralStorage={"Size": 600},
    )
    assert updated["LastUpdateStatus"] == "InProgress"
    clients.wait_updated(client, name)
    function = client.get_function_configuration(FunctionName=name)
    assert (function["MemorySize"], function["Timeout"], function["Description"]) == (256, 9, "changed")
    assert function["Environment"] == {"Variables": {"GREETING": "hello there"}}
    assert function["EphemeralStorage"] == {"Size": 600}
    seen = clients.invoke(client, name, {"do": "env"}).payload.decode().splitlines()
    assert "GREETING=hello there" in seen
    assert "_HANDLER=other.handler" in seen
    assert "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=256" in seen

    client.update_function_configuration(FunctionName=name, Environment={"Variables": {}})
    clients.wait_updated(client, name)
    function = client.get_function_configuration(FunctionName=name)
    assert function.get("Environment", {}).get("Variables", {}) == {}
    assert function["MemorySize"] == 256


def test_empty_values_clear(client, create):
    """Terraform removes a setting by sending it empty."""
    name = create(
        scripts.saying("hello"),
        Environment={"Variables": {"A1": "x"}},
        DeadLetterConfig={"TargetArn": "arn:aws:sqs:us-east-1:000000000000:dead"},
    )
    client.update_function_configuration(
        FunctionName=name,
        Environment={"Variables": {}},
        DeadLetterConfig={"TargetArn": ""},
        VpcConfig={"SubnetIds": [], "SecurityGroupIds": []},
        Layers=[],
        KMSKeyArn="",
    )
    clients.wait_updated(client, name)
    function = client.get_function_configuration(FunctionName=name)
    assert function.get("Environment", {}).get("Variables", {}) == {}
    assert "DeadLetterConfig" not in function
    assert not function.get("KMSKeyArn")
    assert not function.get("Layers")
    assert function.get("VpcConfig", {}).get("SubnetIds", []) == []
    assert clients.invoke(client, name, {}).json() == "hello"


def test_a_link_inside_the_package_works(client, create):
    code = zips.pack(
        zips.file("bin/real", scripts.saying_script("through a link")),
        zips.link("bootstrap", "bin/real"),
    )
    assert clients.invoke(client, create(code), {}).json() == "through a link"


def test_stale_revision_is_refused(client, create, refused):
    name = create(scripts.saying("hello"))
    stale = "00000000-0000-4000-8000-000000000000"
    text = (
        "The Revision Id provided does not match the latest Revision Id. "
        "Call the GetFunction/GetAlias API to retrieve the latest Revision Id"
    )
    error = refused(client.update_function_configuration, FunctionName=name, Timeout=5, RevisionId=stale)
    assert error == (412, "PreconditionFailedException", text)
    error = refused(
        client.update_function_code, FunctionName=name, ZipFile=scripts.saying("x"), RevisionId=stale
    )
    assert error == (412, "PreconditionFailedException", text)
    assert client.get_function_configuration(FunctionName=name)["Timeout"] == 20


def test_same_name_twice(client, create, refused):
    name = create(scripts.saying("hello"))
    error = refused(
        client.create_function, FunctionName=name, Runtime="provided.al2023", Role=clients.ROLE,
        Handler="h", Code={"ZipFile": scripts.saying("other")},
    )  # fmt: skip
    assert error == (409, "ResourceConflictException", f"Function already exist: {name}")
    assert clients.invoke(client, name, {}).json() == "hello"


def test_deleted_function_is_gone(client, create, refused):
    name = create(scripts.saying("hello"))
    response = client.delete_function(FunctionName=name)
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refused(client.get_function, FunctionName=name) == missing(name)
    assert refused(client.delete_function, FunctionName=name) == missing(name)
    error = refused(client.invoke, FunctionName=name)
    assert error == missing(f"{name}:$LATEST")
    assert create(scripts.saying("again"), FunctionName=name) == name
    assert clients.invoke(client, name, {}).json() == "again"


def test_missing_function_is_told_the_same_way_everywhere(client, refused):
    name = "not-there"
    for call, members in (
        (client.get_function, {}),
        (client.get_function_configuration, {}),
        (client.delete_function, {}),
        (client.update_function_configuration, {"Timeout": 5}),
        (client.update_function_code, {"ZipFile": scripts.saying("x")}),
    ):
        assert refused(call, FunctionName=name, **members) == missing(name)
    assert refused(client.get_function, FunctionName=name, Qualifier="7") == missing(f"{name}:7")


def test_listing_pages(account):
    names = [f"page-{index:02d}" for index in range(7)]
    code = scripts.saying("hello")
    for name in names:
        account.create_function(
            FunctionName=name, Runtime="provided.al2023", Role=clients.ROLE, Handler="h",
            Code={"ZipFile": code},
        )  # fmt: skip
    first = account.list_functions(MaxItems=3)
    assert len(first["Functions"]) == 3
    assert first["NextMarker"]
    pages = account.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 3})
    found = [function for page in pages for function in page["Functions"]]
    assert sorted(function["FunctionName"] for function in found) == names
    for function in found:
        assert "State" not in function
        assert "LastUpdateStatus" not in function
        assert "RuntimeVersionConfig" not in function
    assert "NextMarker" not in account.list_functions()
    for name in names:
        clients.wait_active(account, name)
        account.delete_function(FunctionName=name)
    assert account.list_functions()["Functions"] == []


def test_older_paths_with_a_final_slash(server, create):
    """boto3 before 2024 and others list this way."""
    name = create(scripts.saying("hello"))
    status, headers, body = clients.http(f"{server.url}/2015-03-31/functions/")
    assert status == 200
    assert headers["Content-Type"] == "application/json"
    assert headers["x-amzn-RequestId"]
    assert name in body.decode()


def test_account_settings(account):
    settings = account.get_account_settings()
    limit = settings["AccountLimit"]
    assert limit["CodeSizeUnzipped"] == 262144000
    assert limit["CodeSizeZipped"] == 52428800
    assert limit["ConcurrentExecutions"] == 1000
    assert limit["UnreservedConcurrentExecutions"] == 1000
    assert limit["TotalCodeSize"] > 0
    assert settings["AccountUsage"] == {"TotalCodeSize": 0, "FunctionCount": 0}


def test_aws_cli_reads_and_changes(cli, tmp_path, name):
    code = tmp_path / "code.zip"
    code.write_bytes(scripts.saying("from the cli"))
    cli(
        "create-function", "--function-name", name, "--runtime", "provided.al2023", "--handler", "h",
        "--role", clients.ROLE, "--zip-file", f"fileb://{code}",
    )  # fmt: skip
    cli("wait", "function-active-v2", "--function-name", name)
    cli("update-function-configuration", "--function-name", name, "--timeout", "7")
    cli("wait", "function-updated-v2", "--function-name", name)
    assert cli("get-function", "--function-name", name)["Configuration"]["Timeout"] == 7
    assert name in [function["FunctionName"] for function in cli("list-functions")["Functions"]]
    cli("delete-function", "--function-name", name)
    done = cli.run("get-function", "--function-name", name)
    assert done.returncode != 0
    said = f"(ResourceNotFoundException) when calling the GetFunction operation: Function not found: {arn(name)}"
    assert said in done.stderr
