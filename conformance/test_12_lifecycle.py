"""Starting, stopping and being killed: what was acknowledged stays, what was running goes."""

import concurrent.futures
import json
import os
import pathlib
import subprocess
import time

import pytest

import clients
import scripts
import server as servers
import zips


def fill(client):
    """A function with a layer; returns the layer's ARN."""
    layer = client.publish_layer_version(LayerName="l", Content={"ZipFile": zips.of_files(a__txt="layer\n")})
    client.create_function(
        FunctionName="f", Runtime="provided.al2023", Role=clients.ROLE, Handler="h", Timeout=20,
        Code={"ZipFile": scripts.actor()}, Layers=[layer["LayerVersionArn"]],
    )  # fmt: skip
    clients.wait_active(client, "f")
    return layer["LayerVersionArn"]


def check(server, layer):
    client = clients.aws(server.url)
    assert clients.invoke(client, "f", {"do": "opt"}).payload == b"layer\n"
    read = client.get_layer_version_by_arn(Arn=layer)
    assert clients.http(read["Content"]["Location"])[0] == 200


def wait_until(condition, seconds=15):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.02)


def states(server):
    """What the environments of the server do."""
    status, _, body = clients.http(f"{server.url}/bootlace/v1/environments")
    assert status == 200
    return [environment["state"] for environment in json.loads(body)["environments"]]


def test_what_a_server_makes_is_seen_and_goes(own_server):
    """Shows that the checks for things left behind would find them."""
    server = own_server()
    fill(clients.aws(server.url))
    clients.invoke(clients.aws(server.url), "f", {})
    below = servers.descendants(server.process.pid)
    seen = servers.leftovers(server.instance, server.data_dir, below)
    assert [what for what in seen if what.startswith("process")]
    server.stop()


def test_stop_and_start_again(own_server):
    server = own_server()
    layer = fill(clients.aws(server.url))
    check(server, layer)
    server.stop()
    server.start()
    check(server, layer)


def test_kill_and_start_again(own_server):
    """In the middle of an invocation; the second life sweeps what the first could not."""
    server = own_server()
    client = clients.aws(server.url)
    layer = fill(client)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(clients.invoke, client, "f", {"do": "sleep"})
        wait_until(lambda: "running" in states(server))
        below = servers.descendants(server.process.pid)
        server.kill()
        assert running.exception(timeout=20)
    server.start()
    left = servers.wait_until_gone(lambda: [p for p in below if servers.process_name(p[0]) == p[1]])
    assert not left, f"processes of the old life: {left}"
    check(server, layer)


def test_acknowledged_writes_survive_being_killed(own_server):
    server = own_server()
    for round_number in range(3):
        client = clients.aws(server.url)
        done = []

        def write(client=client, done=done, start=100 * round_number):
            for number in range(start, start + 100):
                arn = client.publish_layer_version(
                    LayerName=f"layer-{number}", Content={"ZipFile": zips.of_files(a=str(number))}
                )["LayerVersionArn"]
                done.append((number, arn))

        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            writing = pool.submit(write)
            wait_until(lambda done=done: len(done) >= 5)
            server.kill()
            assert writing.exception(timeout=20)
        server.start()
        client = clients.aws(server.url)
        for number, arn in done:
            read = client.get_layer_version_by_arn(Arn=arn)
            assert clients.http(read["Content"]["Location"])[2] == zips.of_files(a=str(number))
    servers_temporary = [path for path in server.data_dir.rglob("*") if ".tmp" in path.name]
    assert servers_temporary == []


def test_drain_finishes_what_runs(own_server):
    server = own_server()
    client = clients.aws(server.url)
    fill(client)
    clients.invoke(client, "f", {})
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(clients.invoke, client, "f", {"do": "hold", "n": 1})
        wait_until(lambda: "running" in states(server))
        server.stop()
        assert running.result().json()["event"]["n"] == 1


def test_idle_environments_end(own_server):
    server = own_server(**{"invoke.idle_timeout_s": 1})
    client = clients.aws(server.url)
    fill(client)
    first = clients.invoke(client, "f", {"do": "count"}).json()
    wait_until(lambda: states(server) == [])
    second = clients.invoke(client, "f", {"do": "count"}).json()
    assert second["environment"] != first["environment"]


def test_one_server_per_data_directory(own_server):
    server = own_server()
    command = [servers.BINARY, "serve", "--listen", "127.0.0.1:0", "--data-dir", server.data_dir]
    second = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert second.returncode != 0
    assert str(server.data_dir) in second.stderr
    assert clients.http(f"{server.url}/bootlace/v1/health")[0] == 200


def test_two_servers_on_one_host(own_server):
    one, two = own_server(), own_server()
    fill(clients.aws(one.url))
    fill(clients.aws(two.url))
    clients.invoke(clients.aws(two.url), "f", {"do": "keep"})
    one.stop()
    assert clients.invoke(clients.aws(two.url), "f", {"do": "keep"}).payload != b""


def test_admin_interface(server):
    for path in ("health", "ready", "metrics", "environments"):
        status, _, body = clients.http(f"{server.url}/bootlace/v1/{path}")
        assert status == 200, path
        assert body, path


def test_foreign_hosts_and_origins_are_refused(server, client, create_shared):
    """A page in a browser must not reach a server on this machine."""
    name = create_shared(scripts.saying("hello"))
    url = f"{server.url}/2015-03-31/functions/{name}/invocations"
    assert clients.http(url, "POST", b"{}", {"Host": "evil.example"})[0] == 403
    assert clients.http(url, "POST", b"{}", {"Origin": "http://evil.example"})[0] == 403
    assert clients.http(url, "POST", b"{}", {"Host": "localhost:1"})[0] == 200


def test_reset_empties_the_store(own_server):
    server = own_server()
    client = clients.aws(server.url)
    fill(client)
    status, _, _ = clients.http(f"{server.url}/bootlace/v1/reset", "POST", b"")
    assert status in (200, 204)
    assert client.list_functions()["Functions"] == []
    assert client.list_layers()["Layers"] == []
    fill(client)
    assert clients.invoke(client, "f", {"do": "opt"}).payload == b"layer\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may look into other processes")
def test_the_spawner_shows_nothing_of_the_host(server, client, create_shared):
    """Whoever looks at the first process of a sandbox learns nothing from its environment."""
    clients.invoke(client, create_shared(scripts.saying("hello")), {})
    for pid, _ in servers.descendants(server.process.pid):
        try:
            variables = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        assert b"BOOTLACE_" not in variables
        assert os.environ.get("HOME", "/root").encode() + b"\0" not in variables
