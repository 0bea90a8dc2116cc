#!/usr/bin/env python3
"""Invokes a function with boto3 and prints its response and the decoded tail of its log.

    python3 invoke.py [FUNCTION] [EVENT]

The server is taken from AWS_ENDPOINT_URL, else it is the one on this machine.
"""

import base64
import json
import os
import sys

import boto3


def main() -> int:
    name = sys.argv[1] if len(sys.argv) > 1 else "runlambda"
    event = sys.argv[2] if len(sys.argv) > 2 else json.dumps({"hello": "from boto3"})
    client = boto3.client(
        "lambda",
        # Always said, so that no boto3 however old asks the real cloud.
        endpoint_url=os.environ.get("AWS_ENDPOINT_URL", "http://127.0.0.1:4574"),
        region_name=os.environ.get("AWS_REGION", "us-east-1"),
        aws_access_key_id=os.environ.get("AWS_ACCESS_KEY_ID", "test"),
        aws_secret_access_key=os.environ.get("AWS_SECRET_ACCESS_KEY", "test"),
    )
    answer = client.invoke(FunctionName=name, Payload=event, LogType="Tail")
    print(answer["Payload"].read().decode(errors="replace"))
    print("--- log tail")
    print(base64.b64decode(answer["LogResult"]).decode(errors="replace"), end="")
    if "FunctionError" in answer:
        print(f"the function failed: {answer['FunctionError']}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
