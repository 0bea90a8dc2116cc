"""Code and layers fetched from the S3 endpoint that the configuration names."""

import clients
import scripts
import zips

INVALID = "InvalidParameterValueException"


def bucket_with(s3, name, **objects):
    storage = clients.aws(s3, "s3")
    bucket = f"bucket-{name[-8:]}"
    storage.create_bucket(Bucket=bucket)
    for key, code in objects.items():
        storage.put_object(Bucket=bucket, Key=key, Body=code)
    return bucket


def test_function_and_layer(client, create, s3, name):
    bucket = bucket_with(
        s3,
        name,
        function=scripts.actor(),
        layer=zips.of_files(a__txt="from a bucket\n"),
        changed=scripts.saying("changed"),
    )
    layer = client.publish_layer_version(LayerName=name, Content={"S3Bucket": bucket, "S3Key": "layer"})
    function = create({"S3Bucket": bucket, "S3Key": "function"}, Layers=[layer["LayerVersionArn"]])
    assert clients.invoke(client, function, {"do": "opt"}).payload == b"from a bucket\n"
    code = client.get_function(FunctionName=function)["Code"]["Location"]
    assert clients.http(code)[2] == scripts.actor()

    client.update_function_code(FunctionName=function, S3Bucket=bucket, S3Key="changed")
    clients.wait_updated(client, function)
    assert clients.invoke(client, function, {}).json() == "changed"


def test_keys_with_odd_characters(create, client, s3, name):
    key = "a folder/ümläut+plus &=?#%20.zip"
    bucket = bucket_with(s3, name, **{key: scripts.saying("odd")})
    function = create({"S3Bucket": bucket, "S3Key": key})
    assert clients.invoke(client, function, {}).json() == "odd"


def test_what_is_not_in_s3(client, refused, s3, name):
    bucket = bucket_with(s3, name)
    start = "Error occurred while GetObject. S3 Error Code: "
    for source, text in (
        (
            {"S3Bucket": bucket, "S3Key": "not-there"},
            "NoSuchKey. S3 Error Message: The specified key does not exist.",
        ),
        (
            {"S3Bucket": "no-such-bucket", "S3Key": "k"},
            "NoSuchBucket. S3 Error Message: The specified bucket does not exist",
        ),
    ):
        error = refused(
            client.create_function, FunctionName=name, Runtime="provided.al2023", Role=clients.ROLE,
            Handler="h", Code=source,
        )  # fmt: skip
        assert error == (400, INVALID, start + text)
