"""The scripts that the tests run as functions."""

import os
import pathlib

import zips

ROOT = pathlib.Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples/walkthrough"

# A whole runtime in one file. What it does is chosen by the member "do" of the event. Everything goes
# through files, so that an event or an answer may be as large as the interface allows.
ACTOR = """#!/bin/bash
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime"
environment=$(cat /proc/sys/kernel/random/uuid)
invocations=0

header() { grep -i "^$1:" /tmp/head | sed 's/^[^:]*: *//' | tr -d '\\r\\n'; }

answer() { curl -sS -o /dev/null -X POST --data-binary "@$1" "$api/invocation/$id/${2:-response}"; }

if [ "$FAIL_INIT" = report ]; then
    curl -sS -o /dev/null -H 'Lambda-Runtime-Function-Error-Type: Runtime.NoConfig' \\
        -d '{"errorType":"Runtime.NoConfig","errorMessage":"no configuration"}' "$api/init/error"
    exit 1
elif [ "$FAIL_INIT" = exit ]; then
    exit 7
fi

while true; do
    curl -sS -D /tmp/head -o /tmp/event "$api/invocation/next" || exit 1
    id=$(header lambda-runtime-aws-request-id)
    action=$(head -c 200 /tmp/event | sed -n 's/.*"do": *"\\([a-z0-9-]*\\)".*/\\1/p')
    invocations=$((invocations + 1))
    case $action in
        "" | echo) cp /tmp/event /tmp/answer ;;
        error)
            echo '{"errorType":"Oops","errorMessage":"as told","stackTrace":[]}' > /tmp/answer
            answer /tmp/answer error
            continue ;;
        exit) exit 0 ;;
        exit-3) exit 3 ;;
        kill) kill -KILL $$ ;;
        sleep) sleep 30 ;;
        large)
            { printf '"'; head -c 6291600 /dev/zero | tr '\\0' x; printf '"'; } > /tmp/answer ;;
        trace) printf '"%s"' "$(header lambda-runtime-trace-id)" > /tmp/answer ;;
        context) header lambda-runtime-client-context > /tmp/answer ;;
        arn) printf '"%s"' "$(header lambda-runtime-invoked-function-arn)" > /tmp/answer ;;
        env) env > /tmp/answer ;;
        opt) cat /opt/*.txt > /tmp/answer ;;
        log) for line in $(seq 1000); do echo "line $line"; done; echo '"logged"' > /tmp/answer ;;
        count)
            printf '{"environment":"%s","invocations":%d}' "$environment" "$invocations" > /tmp/answer ;;
        hold)
            shared=false
            mkdir /tmp/busy 2> /dev/null || shared=true
            sleep 0.3
            rmdir /tmp/busy
            printf '{"environment":"%s","shared":%s,"event":%s}' "$environment" "$shared" \\
                "$(cat /tmp/event)" > /tmp/answer ;;
        keep) cat /tmp/kept 2> /dev/null > /tmp/answer; echo "$environment" >> /tmp/kept ;;
    esac
    answer /tmp/answer
done
"""


def actor():
    """The code of a function that does as its event says."""
    return zips.of_files(bootstrap=ACTOR)


def saying_script(text):
    """A runtime that answers every event with one JSON string."""
    return f"""#!/bin/sh
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime"
while true; do
    id=$(curl -sS -D - -o /dev/null "$api/invocation/next" |
        awk -F': ' 'tolower($1) == "lambda-runtime-aws-request-id" {{print $2}}' | tr -d '\\r')
    curl -sS -o /dev/null -d '"{text}"' "$api/invocation/$id/response"
done
"""


def saying(text):
    """The code of a function with that runtime."""
    return zips.of_files(bootstrap=saying_script(text))


def seed():
    """Where the article's own two scripts are, if this machine has them; they are not ours to copy."""
    folder = pathlib.Path(os.environ.get("BOOTLACE_SEED", ROOT.parent / "shared/seed"))
    return folder if (folder / "bootstrap").is_file() else None
