"""A 12-digit access key id is the account; state is kept by account and region."""

import clients
import scripts
import zips


def create(client, text):
    client.create_function(
        FunctionName="shared-name", Runtime="provided.al2023", Role=clients.ROLE, Handler="h",
        Code={"ZipFile": scripts.saying(text)},
    )  # fmt: skip
    clients.wait_active(client, "shared-name")


def test_accounts_and_regions_see_their_own(server, refused):
    one = clients.aws(server.url, account="111111111111")
    two = clients.aws(server.url, account="222222222222")
    abroad = clients.aws(server.url, account="111111111111", region="eu-west-1")
    create(one, "one")
    create(two, "two")
    create(abroad, "abroad")
    for client, text, account, region in (
        (one, "one", "111111111111", "us-east-1"),
        (two, "two", "222222222222", "us-east-1"),
        (abroad, "abroad", "111111111111", "eu-west-1"),
    ):
        (function,) = client.list_functions()["Functions"]
        assert function["FunctionArn"] == f"arn:aws:lambda:{region}:{account}:function:shared-name"
        assert clients.invoke(client, "shared-name", {}).json() == text

    two.delete_function(FunctionName="shared-name")
    assert refused(two.invoke, FunctionName="shared-name").status == 404
    assert clients.invoke(one, "shared-name", {}).json() == "one"
    for client in (one, abroad):
        client.delete_function(FunctionName="shared-name")


def test_layers_belong_to_an_account(server, refused):
    owner = clients.aws(server.url, account="111111111111")
    other = clients.aws(server.url, account="222222222222")
    owner.publish_layer_version(LayerName="mine", Content={"ZipFile": zips.of_files(a="a")})
    assert [layer["LayerName"] for layer in owner.list_layers()["Layers"]] == ["mine"]
    assert other.list_layers()["Layers"] == []
    assert refused(other.get_layer_version, LayerName="mine", VersionNumber=1).status == 404
    owner.delete_layer_version(LayerName="mine", VersionNumber=1)


def test_access_keys_that_are_no_account_are_the_default(server, client, create_shared):
    name = create_shared(scripts.saying("hello"))
    for key in ("test", "AKIAIOSFODNN7EXAMPLE", clients.DEFAULT_ACCOUNT):
        assert clients.invoke(clients.aws(server.url, account=key), name, {}).json() == "hello"
    status, _, body = clients.http(f"{server.url}/2015-03-31/functions/{name}/invocations", "POST", b"{}")
    assert (status, body) == (200, b'"hello"')
