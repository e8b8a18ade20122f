"""A minimal container engine. It runs the services of the resolved composition with programs of the host instead of
images, so that the test needs no container engine and no registry.

Implemented: command, environment, user, bind mounts, volumes, tmpfs, secrets, read-only root, dropped capabilities,
no-new-privileges, host names, health checks, stop signals, depends_on. With a network, each service has an address of its
own; otherwise all share loopback. Not implemented: separate networks, limits of memory and processes, restarts, log
rotation.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

CONTAINER = Path(__file__).with_name("container.py")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Failure(Exception):
    """A check of the test failed."""


@dataclass(frozen=True)
class Image:
    """The configuration of an image, and the programs of the host that replace those in it."""

    entrypoint: list[str]
    programs: dict[str, Path]
    environment: dict[str, str]
    working_dir: str
    # Folders that the programs need: place in the container, and on the host.
    shares: dict[str, Path] = field(default_factory=dict)


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    """The instructions of the last stage of a Dockerfile."""
    lines = [line for line in dockerfile.read_text().splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    found = [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined) if word]
    last = max(index for index, (word, _) in enumerate(found) if word == "FROM")
    return found[last:]


def own_image(dockerfile: Path, program: Path) -> Image:
    """The image that the Dockerfile of the project describes."""
    words = dict(instructions(dockerfile))
    environment = dict(pair.split("=", 1) for pair in shlex.split(words["ENV"]))
    entrypoint = json.loads(words["ENTRYPOINT"])
    return Image(entrypoint, {entrypoint[0]: program}, environment, words["WORKDIR"])


def official_image(working_dir: str, daemon: str, client: str, programs: dict[str, Path]) -> Image:
    """An image of the Prometheus project: a daemon as entry point and its client, both in /bin."""
    return Image([f"/bin/{daemon}"], {f"/bin/{name}": programs[name] for name in (daemon, client)}, {}, working_dir)


@dataclass
class Container:
    name: str
    service: dict
    spec: dict
    log: Path
    process: subprocess.Popen | None = None
    command: list[str] = field(default_factory=list)
    # Runs a command in the container's network.
    in_network: list[str] = field(default_factory=list)

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.program("run", self.spec | {"command": self.command}),
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def run(self, command: list[str]) -> None:
        """Runs a command in a new container with the same files, until it ends."""
        with self.log.open("ab") as log:
            subprocess.run(self.program("run", self.spec | {"command": command}), check=True, stdout=log, stderr=log)

    def execute(self, command: list[str]) -> subprocess.CompletedProcess:
        """Runs a command in the running container."""
        arguments = self.program("enter", self.spec | {"pid": self.process.pid, "command": command})
        return subprocess.run(arguments, capture_output=True, text=True)

    def program(self, what: str, spec: dict) -> list:
        return [*self.in_network, sys.executable, "-I", CONTAINER, what, json.dumps(spec)]

    def healthy(self) -> bool:
        """Runs the health check of the composition in the container."""
        check = self.service["healthcheck"]
        if check["test"][0] != "CMD":
            raise Failure(f"{self.name}: the health check needs a shell")
        command = [self.spec["programs"].get(check["test"][1], check["test"][1]), *check["test"][2:]]
        arguments = self.program("enter", self.spec | {"pid": self.process.pid, "command": command})
        with self.log.with_suffix(".health").open("wb") as log:
            try:
                timeout = seconds(check["timeout"])
                return subprocess.run(arguments, stdout=log, stderr=log, timeout=timeout).returncode == 0
            except subprocess.TimeoutExpired:
                return False

    def await_health(self) -> float:
        """Waits until it is healthy, at most the start_period of the composition. Returns the seconds."""
        begun = time.monotonic()
        deadline = begun + seconds(self.service["healthcheck"]["start_period"])
        while not self.healthy():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Failure(f"{self.name} does not become healthy, exit code {self.process.poll()}")
            time.sleep(0.2)
        return time.monotonic() - begun

    def end(self, sign: int) -> int:
        self.process.send_signal(sign)
        return self.process.wait(30)

    def stop(self) -> None:
        """Stops it like `docker compose stop`."""
        sign = signal.Signals[self.service.get("stop_signal", "SIGTERM")]
        if self.process is not None and self.process.poll() is None:
            self.end(sign)

    def status(self) -> dict[str, str]:
        """The process status of the kernel."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def seconds(text: str) -> float:
    """A duration as `docker-compose config` writes it: 10s, 1m0s."""
    total, number = 0.0, ""
    for character in text:
        if character.isdigit() or character == ".":
            number += character
        else:
            total += float(number) * {"h": 3600, "m": 60, "s": 1}[character]
            number = ""
    return total


class Network:
    """A bridge to which each service is connected with an address of its own. Needs iproute2 and a folder /run/netns."""

    BRIDGE, GATEWAY = "services", "10.0.0.1"

    def __init__(self, services: dict, outside: list[str]) -> None:
        """The names in `outside` resolve to the address of the test."""
        self.outside = outside
        self.addresses = {name: f"10.0.0.{number}" for number, name in enumerate(services, start=2)}
        self.aliases = {name: [name, *(alias for network in (service.get("networks") or {}).values()
                                       for alias in (network or {}).get("aliases", []))]
                        for name, service in services.items()}
        self.ip("link", "add", self.BRIDGE, "type", "bridge")
        self.ip("address", "add", f"{self.GATEWAY}/24", "dev", self.BRIDGE)
        self.ip("link", "set", self.BRIDGE, "up")
        for name, address in self.addresses.items():
            self.connect(name, address)

    @staticmethod
    def ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True)

    def connect(self, name: str, address: str) -> None:
        outer = f"to-{name}"[:15]
        self.ip("netns", "add", name)
        self.ip("link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", name)
        self.ip("link", "set", outer, "master", self.BRIDGE, "up")
        for settings in (["link", "set", "lo", "up"], ["link", "set", "eth0", "up"],
                         ["address", "add", f"{address}/24", "dev", "eth0"]):
            self.ip("-netns", name, *settings)

    def hosts(self) -> str:
        lines = [f"{address} {' '.join(self.aliases[name])}" for name, address in self.addresses.items()]
        return "\n".join(["127.0.0.1 localhost", f"{self.GATEWAY} {' '.join(self.outside)}", *lines, ""])


class Engine:
    """Creates a container for each service of a composition."""

    def __init__(self, composition: dict, images: dict[str, Image], work: Path, hosts: list[str],
                 network: Network | None = None) -> None:
        self.composition, self.images, self.work, self.network = composition, images, work, network
        names = ["localhost", *composition["services"], *hosts]
        self.hosts = network.hosts() if network else f"127.0.0.1 {' '.join(names)}\n"
        # Without root there is only one user in the namespace.
        self.can_change_user = Path("/proc/self/uid_map").read_text().split()[2] != "1"

    def container(self, name: str) -> Container:
        service = self.composition["services"][name]
        image = self.images[service["image"].partition(":")[0]]
        user, group = (int(number) for number in service["user"].split(":"))
        root = self.work / "roots" / name
        root.mkdir(parents=True)
        spec = {
            "root": str(root),
            "user": user,
            "group": group,
            "can_change_user": self.can_change_user,
            "read_only": service.get("read_only", False),
            "working_dir": image.working_dir,
            "environment": {"PATH": PATH} | image.environment | service.get("environment", {}),
            "files": {"/etc/hosts": self.hosts, "/etc/nsswitch.conf": "hosts: files\n", "/etc/resolv.conf": "",
                      "/etc/passwd": f"user:x:{user}:{group}::/:/\n", "/etc/group": f"user:x:{group}:\n"},
            "folders": [image.working_dir, "/tmp"],
            "binds": [*self.programs(image), *self.mounts(service, user, group), *self.secrets(service)],
            "tmpfs": {"/dev/shm": "size=64m,mode=1777"}
            | dict(entry.partition(":")[::2] for entry in service.get("tmpfs", [])),
            # Health checks may name programs without their folder.
            "programs": {Path(target).name: target for target in image.programs},
        }
        command = [*(service["entrypoint"] or image.entrypoint), *(service["command"] or [])]
        in_network = ["ip", "netns", "exec", name] if self.network else []
        return Container(name, service, spec, self.work / f"{name}.log", command=command, in_network=in_network)

    def programs(self, image: Image) -> list[tuple[str, str, bool]]:
        binds = [(str(path), target, True) for target, path in image.programs.items()]
        binds += [(str(path), target, True) for target, path in image.shares.items()]
        # The official programs embed these files; Debian's read them from disk.
        shares = {path.parent.parent / "share" / "prometheus" for path in image.programs.values()}
        return binds + [(str(share), "/usr/share/prometheus", True) for share in shares if share.is_dir()]

    def mounts(self, service: dict, user: int, group: int) -> list[tuple[str, str, bool]]:
        binds = []
        for mount in service.get("volumes", []):
            source = mount["source"]
            if mount["type"] == "volume":
                folder = self.work / "volumes" / source
                folder.mkdir(parents=True, exist_ok=True)
                if self.can_change_user:
                    os.chown(folder, user, group)
                source = str(folder)
            elif not os.path.exists(source):
                raise Failure(f"cannot mount {source}: no such file")
            binds.append((source, mount["target"], mount.get("read_only", False)))
        return binds

    def secrets(self, service: dict) -> list[tuple[str, str, bool]]:
        binds = []
        for secret in service.get("secrets", []):
            source = self.composition["secrets"][secret["source"]]["file"]
            target = secret.get("target", secret["source"])
            binds.append((source, target if target.startswith("/") else f"/run/secrets/{target}", True))
        return binds
