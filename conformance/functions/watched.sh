# Says what it does, for extensions that listen on port 9003. The event "sleep" makes it late.
# The walkthrough's runtime runs it.

# An extension subscribes when it has registered, and that may be later than the runtime starts. Once a
# delivery's connection stands (23 2B is 9003, 01 is established), it has.
until grep -q ':232B [^ ]* 01 ' /proc/net/tcp; do sleep 0.01; done
echo started

handler() {
    local event
    event=$(cat)
    echo "got $event" >&2
    [[ $event != '"sleep"' ]] || sleep 60
    printf '%s' "$event"
}
