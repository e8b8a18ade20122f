"""A webhook receiver for all of Alertmanager's receivers. It keeps each message with the time of its arrival."""

import json
import re
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Alert:
    name: str
    # The label value that identifies it; empty if only one alert of this name can fire.
    subject: str
    summary: str


@dataclass(frozen=True)
class Message:
    at: float
    host: str
    title: str
    text: str

    def fires(self, alert: Alert) -> bool:
        """The summary is in the title if it is the only alert, otherwise a bold line of the text."""
        return self.has(rf"^([A-Z]+: |\*){re.escape(alert.summary)}\*?$")

    def ends(self, alert: Alert) -> bool:
        """A resolved alert is named at the end of a line."""
        subject = re.escape(f" ({alert.subject})") if alert.subject else r"\b.*"
        return self.has(rf": {alert.name}{subject}$")

    def has(self, line: str) -> bool:
        return re.search(line, f"{self.title}\n{self.text}", re.MULTILINE) is not None


class Sink:
    """Listens on the address to which the host names of all receivers resolve."""

    def __init__(self, address: str, port: int) -> None:
        self.messages: list[Message] = []
        self.arrived = threading.Condition()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                # The answer of Slack; Alertmanager checks it since 0.26.
                self.send_response(200)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"ok")
                sink.add(time.monotonic(), self.headers["host"].split(":")[0], json.loads(body))

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer((address, port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def add(self, at: float, host: str, body: dict) -> None:
        attachment = (body.get("attachments") or [{}])[0]
        with self.arrived:
            self.messages.append(Message(at, host, attachment.get("title", ""), attachment.get("text", "")))
            self.arrived.notify_all()

    def wait(self, wanted, deadline: float, since: float = 0.0) -> Message | None:
        """The first message after `since` that matches `wanted`; None if there is none until the deadline."""
        with self.arrived:
            while True:
                for message in self.messages:
                    if message.at >= since and wanted(message):
                        return message
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                self.arrived.wait(left)
