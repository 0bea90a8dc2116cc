# Does as its event says; scenarios.py, scenarios.mjs and scenarios.rs do the same.
# The walkthrough's runtime runs a handler in a shell of its own; $$ is the runtime.

case ${FAIL_INIT-} in
    raise) return 1 ;;
    exit) exit 7 ;;
esac

environment=$(cat /proc/sys/kernel/random/uuid)

handler() {
    local event
    event=$(cat)
    echo invoked >>/tmp/"$environment"
    case $(member do "$event") in
        error) return 1 ;;
        exit) kill -TERM $$; sleep 60 ;;
        kill) kill -KILL $$; sleep 60 ;;
        sleep) sleep 60 ;;
        large) printf '"'; head -c "$(member bytes "$event")" /dev/zero | tr '\0' x; printf '"' ;;
        count) printf '{"environment":"%s","invocations":%d}' "$environment" "$(wc -l </tmp/"$environment")" ;;
        context) seen ;;
        *) printf '%s' "$event" ;;
    esac
}

member() { printf '%s' "${2:0:200}" | sed -n "s/.*\"$1\": *\"\{0,1\}\([a-z0-9-]*\).*/\1/p"; }

seen() {
    local custom
    custom=$(runtime_header Lambda-Runtime-Client-Context | sed -n 's/.*"custom": *\({[^}]*}\).*/\1/p')
    printf '{"requestId":"%s","arn":"%s","remainingMs":%d,"custom":%s,"trace":"%s"}' \
        "$(runtime_header Lambda-Runtime-Aws-Request-Id)" \
        "$(runtime_header Lambda-Runtime-Invoked-Function-Arn)" \
        $(($(runtime_header Lambda-Runtime-Deadline-Ms) - $(date +%s%3N))) \
        "${custom:-null}" "$_X_AMZN_TRACE_ID"
}
