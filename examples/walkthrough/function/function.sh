# Answers with everything that a function can see: its handler, its environment, the headers of the
# Runtime API and the event. What goes to standard error is the invocation's log.

handler() {
    local event
    event=$(cat)
    echo "got an event of ${#event} characters: $event" >&2

    echo "--- handler"
    echo "_HANDLER=$_HANDLER"
    echo "--- environment"
    env | sort
    echo "--- headers of the Runtime API"
    tr -d '\r' <"$RUNTIME_HEADERS" | grep .
    echo "--- event"
    printf '%s\n' "$event"
}
