"""Stands in for everything outside that Alertmanager delivers to: keeps each message with the time of its arrival."""

import json
import re
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Message:
    at: float
    host: str
    title: str
    text: str

    def fires(self, summary: str) -> bool:
        """Says that an alert with this summary fires: in the title when it is the only one, else as a bold line."""
        wanted = rf"^([A-Z]+: |\*){re.escape(summary)}\*?$"
        return re.search(wanted, f"{self.title}\n{self.text}", re.MULTILINE) is not None

    def ends(self, summary: str) -> bool:
        """Says that an alert with this summary ended."""
        return f"It had said: {summary}" in self.text


class Sink:
    """Listens on loopback; every host name of a receiver leads here."""

    def __init__(self, port: int) -> None:
        self.messages: list[Message] = []
        self.arrived = threading.Condition()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                # What Slack answers; since 0.26 Alertmanager reads it.
                self.send_response(200)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"ok")
                sink.keep(time.monotonic(), self.headers["host"].split(":")[0], json.loads(body))

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def keep(self, at: float, host: str, body: dict) -> None:
        attachment = (body.get("attachments") or [{}])[0]
        with self.arrived:
            self.messages.append(Message(at, host, attachment.get("title", ""), attachment.get("text", "")))
            self.arrived.notify_all()

    def wait(self, wanted, deadline: float, since: float = 0.0) -> Message | None:
        """The first message since then for which `wanted` holds; None when the deadline passes without one."""
        with self.arrived:
            while True:
                for message in self.messages:
                    if message.at >= since and wanted(message):
                        return message
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                self.arrived.wait(left)
