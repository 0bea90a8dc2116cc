"""Starts Bootlace as a process of its own, and checks that it leaves nothing behind."""

import hashlib
import os
import pathlib
import signal
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY = pathlib.Path(os.environ.get("BOOTLACE_BIN", ROOT / "target/debug/bootlace"))
LISTENING = "listening on "


class Server:
    """A running `bootlace serve` on a port of its choice. `settings` are configuration keys."""

    def __init__(self, data_dir, settings=None):
        self.data_dir = pathlib.Path(data_dir)
        self.settings = dict(settings or {})
        self.log = self.data_dir.parent / f"{self.data_dir.name}.log"
        self.process = None
        self.url = None
        self.start()

    def start(self):
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("BOOTLACE_", "AWS_"))
        }
        for key, value in self.settings.items():
            environment["BOOTLACE_" + key.upper().replace(".", "__")] = str(value)
        command = [BINARY, "serve", "--listen", "127.0.0.1:0", "--data-dir", self.data_dir]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                text=True,
            )
        line = self.process.stdout.readline().strip()
        assert line.startswith(LISTENING), f"no address but {line!r}; its log:\n{self.log_text()}"
        self.url = line.removeprefix(LISTENING)

    @property
    def instance(self):
        """What the server calls everything that it makes on this host."""
        path = os.path.realpath(self.data_dir)
        return "bootlace-" + hashlib.sha256(path.encode()).hexdigest()[:12]

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def stop(self):
        """SIGTERM: it must exit with 0 and take everything along that it made."""
        below = descendants(self.process.pid)
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=60)
        self.process.stdout.close()
        assert code == 0, f"exit code {code} after SIGTERM; its log:\n{self.log_text()}"
        left = wait_until_gone(lambda: leftovers(self.instance, self.data_dir, below))
        assert not left, f"left behind: {left}"

    def kill(self):
        """SIGKILL, with no time to tidy anything."""
        self.process.kill()
        self.process.wait(timeout=30)
        self.process.stdout.close()


def leftovers(instance, data_dir, processes):
    """Processes, mounts, cgroups and files that should have gone with the server."""
    left = [f"process {pid} {name}" for pid, name in processes if process_name(pid) == name]
    mounts = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    marks = (instance, os.path.realpath(data_dir))
    left += [f"mount {line}" for line in mounts if any(mark in line for mark in marks)]
    left += [f"directory {path}" for path in named(instance)]
    staging = [path for path in data_dir.rglob("*") if ".tmp" in path.name or "staging" in path.parts]
    left += [f"file {path}" for path in staging if path.is_file()]
    return left


def named(instance):
    """Cgroups and namespaces are directories or files that carry the instance's name."""
    for top in ("/sys/fs/cgroup", "/run/netns", "/run/bootlace"):
        for folder, folders, files in os.walk(top):
            yield from (os.path.join(folder, name) for name in folders + files if instance in name)


def wait_until_gone(find, seconds=10):
    """A killed process takes a moment to be reaped by whoever inherits it."""
    deadline = time.monotonic() + seconds
    while (left := find()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def descendants(pid):
    """(pid, start time and name) of all processes below one."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (parent := parent_of(int(entry))):
            children.setdefault(parent, []).append(int(entry))
    found, unseen = [], [pid]
    while unseen:
        below = children.get(unseen.pop(), [])
        found += below
        unseen += below
    return [(child, name) for child in found if (name := process_name(child))]


def stat_of(pid):
    """The fields of /proc/PID/stat behind the name; none when the process is gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text[text.rindex(")") + 2 :].split()


def parent_of(pid):
    stat = stat_of(pid)
    return int(stat[1]) if stat else None


def process_name(pid):
    """Pids come round again, start times do not. A zombie is as good as gone."""
    stat = stat_of(pid)
    return f"started at {stat[19]}" if stat and stat[0] not in "ZX" else None
