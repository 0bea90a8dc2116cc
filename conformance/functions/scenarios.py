"""Does as its event says; scenarios.mjs, scenarios.sh and scenarios.rs do the same."""

import os
import signal
import time
import uuid

if os.environ.get("FAIL_INIT") == "raise":
    raise RuntimeError("no configuration")
if os.environ.get("FAIL_INIT") == "exit":
    os._exit(7)

ENVIRONMENT = str(uuid.uuid4())
invocations = 0


def handler(event, context):
    global invocations
    invocations += 1
    match event.get("do") if isinstance(event, dict) else None:
        case "error":
            raise ValueError("as told")
        case "exit":
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "sleep":
            time.sleep(60)
        case "large":
            return "x" * event["bytes"]
        case "count":
            return {"environment": ENVIRONMENT, "invocations": invocations}
        case "context":
            return seen(context)
        case _:
            return event


def seen(context):
    caller = context.client_context
    return {
        "requestId": context.aws_request_id,
        "arn": context.invoked_function_arn,
        "remainingMs": context.get_remaining_time_in_millis(),
        "custom": caller.custom if caller else None,
        "trace": os.environ["_X_AMZN_TRACE_ID"],
    }
