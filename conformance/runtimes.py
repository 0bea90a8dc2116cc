"""AWS's own runtime clients, each made from its registry into a layer or a function."""

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

import server as servers
import zips

EXAMPLES = servers.ROOT / "examples/runtimes"
FUNCTIONS = pathlib.Path(__file__).resolve().parent / "functions"


def layer(language):
    """The zip of a layer in examples/runtimes. It is built once, and again when its sources change."""
    sources = sorted((EXAMPLES / language).iterdir())
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources if path.is_file()))
    digest.update(subprocess.check_output(["/usr/bin/python3", "--version"]))
    built = servers.ROOT / "target/runtimes" / f"{language}-{digest.hexdigest()[:12]}"
    if not built.exists():
        build(language, built)
    return zips.of_folder(built)


def build(language, built):
    unfinished = built.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    done = subprocess.run(
        [EXAMPLES / language / "build.sh", unfinished],
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, f"{language}/build.sh failed:\n{done.stdout}{done.stderr}"
    unfinished.rename(built)


def rust():
    """The code of the scenarios with the official Rust client, as `cargo build` made it."""
    default = servers.ROOT / "target/debug/scenarios"
    return zips.of_files(bootstrap=pathlib.Path(os.environ.get("BOOTLACE_SCENARIOS", default)).read_bytes())


def function(name):
    """The code of a function in conformance/functions."""
    return zips.pack(zips.file(name, (FUNCTIONS / name).read_text()))
