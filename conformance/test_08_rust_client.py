"""A function with the official Rust client, as `provided.al2023`."""

import clients
import zips
from test_04_invoke import REPORT


def test_echo(client, create, echo):
    name = create(zips.of_files(bootstrap=echo), Handler="bootstrap", Timeout=5)
    for event in ({"text": "ümläut"}, [1, 2, 3], "x" * 1_000_000, None, {}):
        answer = clients.tail(client, name, event)
        assert answer.error is None, answer
        assert event is None or answer.json() == event
        assert REPORT.search(answer.log), answer.log
