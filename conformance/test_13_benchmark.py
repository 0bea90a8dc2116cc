"""The benchmark runs; how fast anything is on a debug build says nothing."""

import os
import pathlib
import subprocess

import server as servers

BENCH = pathlib.Path(os.environ.get("BOOTLACE_BENCH", servers.ROOT / "target/debug/bootlace-bench"))
STREAM = pathlib.Path(os.environ.get("BOOTLACE_STREAM", servers.ROOT / "target/debug/bootstrap-stream"))
ECHO = pathlib.Path(os.environ.get("BOOTLACE_ECHO", servers.ROOT / "target/debug/bootstrap"))


def test_quick_run_prints_the_table():
    command = [BENCH, "run", "--quick", "--bootlace", servers.BINARY, "--function", ECHO]
    command += ["--stream-function", STREAM]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for row in ("warm invoke p50, 100 B", "throughput, 16 connections", "(cold)", "memory, idle", "listening", "streamed chunk"):
        assert row in done.stdout, done.stdout
