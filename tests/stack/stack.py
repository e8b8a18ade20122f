"""The services of the composition, a client that acts as Cloudflare, and a receiver of the alerts."""

import itertools
import json
import os
import re
import subprocess
import sys
import time
import urllib.parse
from datetime import datetime, timezone
from pathlib import Path

from common import check_confined, fetch, report, resolved, say, tool
from engine import Container, Engine, Failure, Image, Network, official_image, own_image
from sink import Alert, Message, Sink

PROJECT = Path(__file__).resolve().parent.parent.parent
COMPOSE = PROJECT / "deploy" / "compose"
FIXTURES = PROJECT / "tests" / "fixtures" / "notifications"
DEADLINE = 60

PAGER, CHAT, DEADMAN = "pager.example", "chat.example", "dead-mans-switch-is-not-set.invalid"
# Inputs in deploy/compose/exporter.toml that are always expected, and the alerts about them: name and subject.
MAIN, SECOND = "1af76395c66448cd674ac9505f9cd004", "3d58bb03f31a4686c763de764d6fe1b0"
MAIN_OFF, SECOND_OFF = (("StreamLiveInputOffAirWhileExpected", stage) for stage in ("Main stage", "Second stage"))


class Stack:
    """Without a network, all services share loopback."""

    def __init__(self, work: Path, options: list[str], names: tuple[str, ...], webhook: str,
                 images: dict[str, Image], network: type[Network] | None = None) -> None:
        """`names` are the services in the order of their start, `webhook` the one that takes notifications."""
        programs = {name: tool(name.upper(), name) for name in ("prometheus", "promtool", "alertmanager", "amtool")}
        exporter = tool("EXPORTER", str(PROJECT / "target" / "debug" / "stream-live-exporter"))
        images = images | {
            "ghcr.io/stream-live-exporter/stream-live-exporter":
                own_image(PROJECT / "deploy" / "docker" / "Dockerfile", exporter),
            "prom/prometheus": official_image("/prometheus", "prometheus", "promtool", programs),
            "prom/alertmanager": official_image("/alertmanager", "alertmanager", "amtool", programs),
        }
        secrets = work / "secrets"
        environment = os.environ | {"SECRETS_DIR": str(secrets)}
        subprocess.run([COMPOSE / "prepare"], env=environment, check=True, stdout=subprocess.DEVNULL)
        (secrets / "pager-url").write_text(f"http://{PAGER}/services/pager\n")
        (secrets / "chat-url").write_text(f"http://{CHAT}/services/chat\n")
        self.secret = (secrets / "webhook-secret").read_text().strip()
        composition = resolved(COMPOSE, environment, *options)
        started = {name for name, service in composition["services"].items() if service.get("scale", 1) > 0}
        if started ^ set(names) != {"grafana"}:
            raise Failure(f"only Grafana may be untested, the composition starts {sorted(started)}")
        services = {name: composition["services"][name] for name in names}
        receivers = [PAGER, CHAT, DEADMAN]
        self.network = network(services, receivers) if network else None
        engine = Engine(composition | {"services": services}, images, work, receivers, self.network)
        if not engine.can_change_user:
            say("not root: all programs run as the same user, so users are not tested")
        self.containers = {name: engine.container(name) for name in names}
        self.work, self.webhook, self.posted = work, webhook, 0
        self.sink = Sink(network.GATEWAY if network else "127.0.0.1", 80)

    def __getitem__(self, name: str) -> Container:
        return self.containers[name]

    def start(self, name: str) -> None:
        """Starts a service. Its dependencies must be healthy, as the composition says."""
        for needed, how in self[name].service.get("depends_on", {}).items():
            if how["condition"] != "service_healthy" or not self[needed].healthy():
                raise Failure(f"{name} cannot start: {needed} is not healthy")
        self[name].start()

    def up(self, *names: str) -> None:
        """Starts services, and waits until they are healthy."""
        for name in names:
            self.start(name)
        for name in names:
            say(f"{self[name].await_health():6.1f} s  until {name} is healthy")
            check_confined(self[name])

    def stop(self) -> None:
        for container in reversed(self.containers.values()):
            container.stop()

    def run(self, *steps) -> None:
        """Takes the steps, and stops. Prints the logs and the messages after a failure."""
        try:
            for step in steps:
                step(self)
            self.stop()
            codes = {name: container.process.returncode for name, container in self.containers.items()}
            if failed := {name: code for name, code in codes.items() if code != 0}:
                raise Failure(f"these exited with an error: {failed}")
        except (Failure, OSError, subprocess.SubprocessError):
            report(self.containers)
            for message in self.sink.messages:
                print(f"--- delivered to {message.host}: {message.title}\n{message.text}".strip(), file=sys.stderr)
            raise

    def url(self, name: str, port: int, path: str) -> str:
        address = self.network.addresses[name] if self.network else "127.0.0.1"
        return f"http://{address}:{port}{path}"

    @staticmethod
    def notification(event: str, input_id: str, code: str | None = None) -> dict:
        """The notification of an event that happens now."""
        fixture = "errored-unhealthy" if code else event
        notification = json.loads((FIXTURES / f"{fixture}.json").read_text())
        now = datetime.now(timezone.utc)
        notification["ts"] = int(now.timestamp())
        notification["data"] |= {"input_id": input_id, "updated_at": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
        if code:
            notification["data"]["live_input_errored"]["error"]["code"] = code
        return notification

    def send(self, notification: dict) -> str:
        """Posts a notification like Cloudflare. Returns the outcome; another status than 2xx fails the test."""
        headers = {"cf-webhook-auth": self.secret, "content-type": "application/json"}
        return fetch(self.url(self.webhook, 10418, "/webhook"), json.dumps(notification).encode(), headers)["outcome"]

    def record(self, notification: dict) -> float:
        """Posts a notification that is new. Returns the time of the post."""
        posted = time.monotonic()
        if (outcome := self.send(notification)) != "recorded":
            raise Failure(f"{notification} is answered {outcome}")
        self.posted += 1
        return posted

    def post(self, event: str, input_id: str, code: str | None = None) -> float:
        return self.record(self.notification(event, input_id, code))

    def query(self, expression: str) -> list[dict]:
        query = urllib.parse.urlencode({"query": expression})
        return fetch(self.url("prometheus", 9090, f"/api/v1/query?{query}"))["data"]["result"]

    def value(self, expression: str) -> float:
        """The single value of the expression; 0 if there is none."""
        result = self.query(expression)
        return float(result[0]["value"][1]) if result else 0.0

    def await_value(self, expression: str, wanted, limit: float) -> float:
        """Waits until the value of the expression matches `wanted`. Returns the seconds."""
        begun = time.monotonic()
        while not wanted(value := self.value(expression)):
            if time.monotonic() - begun > limit:
                raise Failure(f"{expression} is {value} after {limit} s")
            time.sleep(0.5)
        return time.monotonic() - begun

    def alert(self, name: str, subject: str | tuple[str, ...]) -> Alert:
        """An alert with the summary of its rule in Prometheus. Its label values are the subject, or the parts of it."""
        groups = fetch(self.url("prometheus", 9090, "/api/v1/rules?type=alert"))["data"]["groups"]
        rule = next(rule for group in groups for rule in group["rules"] if rule["name"] == name)
        values = itertools.repeat(subject) if isinstance(subject, str) else iter(subject)
        without_conditions = re.sub(r"\{\{ (with|end).*?\}\}", "", rule["annotations"]["summary"])
        summary = re.sub(r"\{\{.*?\}\}", lambda _: next(values), without_conditions)
        return Alert(name, subject if isinstance(subject, str) else " ".join(subject), summary)

    def fires(self, what: str, host: str, alert: tuple, posted: float, limit: float = DEADLINE) -> Message:
        wanted = self.alert(*alert)
        return self.delivered(what, host, lambda message: message.fires(wanted), posted, limit)

    def ends(self, what: str, host: str, alert: tuple, posted: float, limit: float = DEADLINE) -> Message:
        wanted = self.alert(*alert)
        return self.delivered(what, host, lambda message: message.ends(wanted), posted, limit)

    def delivered(self, what: str, host: str, wanted, posted: float, limit: float) -> Message:
        """Waits for a message until the limit, and prints the seconds since the post."""
        message = self.sink.wait(lambda message: message.host == host and wanted(message), posted + limit, posted)
        if message is None:
            raise Failure(f"not delivered to {host} within {limit} s: {what}")
        say(f"{message.at - posted:6.1f} s  {what}")
        return message

    def check_not_ended(self, alert: tuple) -> None:
        wanted = self.alert(*alert)
        if message := self.sink.wait(lambda message: message.ends(wanted), 0):
            raise Failure(f"the page about an input that is off air has ended: {message}")
