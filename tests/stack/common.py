"""What the tests of this folder have in common: programs, requests, and namespaces in which they run."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from engine import Container, Failure
from network import raise_loopback

SKIPPED = 77


def say(text: str) -> None:
    print(f"stack: {text}", flush=True)


def tool(name: str, default: str, program: str = "") -> Path:
    """The path of a program, from its variable or PATH; of a program in the folder that the variable names. Skips the
    test if its SKIP_ variable is set."""
    if reason := os.environ.get(f"SKIP_{name}"):
        print(f"SKIPPED: tests/stack: {name}: {reason}", file=sys.stderr)
        sys.exit(SKIPPED)
    wanted = os.path.join(os.environ.get(name) or default, program) if program else os.environ.get(name) or default
    found = shutil.which(wanted)
    if found is None:
        sys.exit(f"stack: {wanted} not found: set {name}, or SKIP_{name} to the reason")
    return Path(found).resolve()


def fetch(url: str, body: bytes | None = None, headers: dict | None = None) -> dict:
    """The answer as JSON. An error status fails the test."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers or {}), timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise Failure(f"{url} answers {error.code}: {error.read(500)!r}") from error


def check_confined(container: Container) -> None:
    """Checks that the program has no privileges and cannot write outside of its volumes."""
    status, spec = container.status(), container.spec
    wanted = {"CapEff": 0, "CapPrm": 0, "CapBnd": 0, "NoNewPrivs": 1}
    held = {key: int(status[key], 16) for key in wanted}
    users = {int(number) for number in (status["Uid"] + " " + status["Gid"]).split()}
    if held != wanted or (spec["can_change_user"] and users != {spec["user"], spec["group"]}):
        raise Failure(f"{container.name} has privileges: {held}, users {users}")
    try:
        Path(f"/proc/{container.process.pid}/root/etc/written").touch()
    except OSError:
        return
    raise Failure(f"{container.name} can write its root")


def resolved(compose: Path, environment: dict, *options: str) -> dict:
    """The composition as Compose understands it."""
    config = [tool("DOCKER_COMPOSE", "docker-compose"), *options, "config", "--format", "json"]
    printed = subprocess.run(config, cwd=compose, env=environment, check=True, stdout=subprocess.PIPE).stdout
    return json.loads(printed)


def report(containers: dict[str, Container]) -> None:
    """Prints the ends of the logs after a failure."""
    for name, container in containers.items():
        if container.log.exists():
            print(f"--- {name}, last lines of the log", file=sys.stderr)
            print("\n".join(container.log.read_text(errors="replace").splitlines()[-15:]), file=sys.stderr)


def inside(work: Path, run_steps) -> None:
    """Runs as the first process of its namespaces: when it exits, the kernel kills all others."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", work], check=True)
    raise_loopback()
    begun = time.monotonic()
    try:
        run_steps(work)
    except (Failure, subprocess.SubprocessError) as failure:
        sys.exit(f"stack: FAILED: {failure}")
    say(f"passed in {time.monotonic() - begun:.0f} s")


def in_namespaces(program: str) -> int:
    """Runs the program again with `--inside FOLDER` in namespaces of its own."""
    unshare = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.getuid() != 0:
        unshare += ["--user", "--map-root-user"]
    tried = subprocess.run([*unshare, "mount", "-t", "tmpfs", "tmpfs", "/tmp"], capture_output=True, text=True)
    if tried.returncode != 0:
        print(f"SKIPPED: tests/stack: cannot create namespaces: {tried.stderr.strip()}", file=sys.stderr)
        return SKIPPED
    # The children are killed with this process.
    bound = ["setpriv", "--pdeathsig", "KILL", *unshare]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix="stream-live-stack-") as work:
        return subprocess.run([*bound, sys.executable, program, "--inside", work]).returncode


def start(program: str, usage: str, run_steps) -> None:
    if len(sys.argv) == 3 and sys.argv[1] == "--inside":
        inside(Path(sys.argv[2]), run_steps)
    elif len(sys.argv) == 1:
        sys.exit(in_namespaces(program))
    else:
        sys.exit(usage)
