"""Many invocations at once: each is answered rightly, and no environment serves two at a time."""

import concurrent.futures
import itertools

import clients
import scripts

MANY = 200


def all_at_once(work, count):
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


def test_two_hundred_at_once(server, create):
    name = create(scripts.actor(), Timeout=60)
    client = clients.aws(server.url, connections=MANY)
    answers = all_at_once(lambda n: clients.invoke(client, name, {"do": "hold", "n": n}), MANY)
    assert [answer.error for answer in answers] == [None] * MANY
    held = [answer.json() for answer in answers]
    assert [answer["event"]["n"] for answer in held] == list(range(MANY))
    assert not any(answer["shared"] for answer in held)
    assert len({answer.request_id for answer in answers}) == MANY
    # Each held its environment for a while, so they cannot have been served by a few in turn.
    assert len({answer["environment"] for answer in held}) > MANY // 4


def test_two_environments_share_no_tmp(server, create):
    name = create(scripts.actor())
    client = clients.aws(server.url, connections=20)
    for _ in range(3):
        answers = all_at_once(lambda _: clients.invoke(client, name, {"do": "keep"}), 6)
        for answer in answers:
            assert answer.error is None
            kept = answer.payload.decode().split()
            assert len(set(kept)) <= 1, "an environment saw what another had written"


def test_an_environment_is_used_again_rather_than_made(client, create):
    name = create(scripts.actor())
    counts = [clients.invoke(client, name, {"do": "count"}).json() for _ in range(20)]
    by_environment = itertools.groupby(sorted(answer["environment"] for answer in counts))
    assert max(len(list(group)) for _, group in by_environment) >= 15


def test_account_concurrency(own_server, refused):
    server = own_server(**{"invoke.account_concurrency": 2})
    client = clients.aws(server.url, connections=8)
    client.create_function(
        FunctionName="f", Runtime="provided.al2023", Role=clients.ROLE, Handler="h", Timeout=20,
        Code={"ZipFile": scripts.actor()},
    )  # fmt: skip
    clients.wait_active(client, "f")

    def attempt(number):
        try:
            return clients.invoke(client, "f", {"do": "hold", "n": number}).json()["event"]["n"] == number
        except client.exceptions.TooManyRequestsException as error:
            return error.response

    answers = all_at_once(attempt, 6)
    refusals = [answer for answer in answers if answer is not True]
    assert 1 <= len(refusals) <= 4
    for refusal in refusals:
        assert refusal["ResponseMetadata"]["HTTPStatusCode"] == 429
        assert refusal["Error"]["Message"] == "Rate Exceeded."
        assert refusal["Reason"] == "ConcurrentInvocationLimitExceeded"
    assert clients.invoke(client, "f", {}).error is None
    assert client.get_account_settings()["AccountLimit"]["ConcurrentExecutions"] == 2


def test_running_invocations_finish_on_their_old_environment(server, create):
    name = create(scripts.actor())
    client = clients.aws(server.url)
    old = clients.invoke(client, name, {"do": "count"}).json()["environment"]
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(clients.invoke, client, name, {"do": "hold", "n": 1})
        client.update_function_configuration(FunctionName=name, Description="changed")
        clients.wait_updated(client, name)
        assert running.result().error is None
    assert clients.invoke(client, name, {"do": "count"}).json()["environment"] != old
