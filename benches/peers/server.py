"""The same task with FastAPI and prometheus_client: authenticates, parses a notification, detects duplicates and
out-of-order events, updates the metrics that the exporter has for it, and exposes them. State is in memory only.
Environment: PORT, SECRET, and optionally EXPOSITION, a file of samples to start with."""

import hashlib
import hmac
import os
import re
import time
from datetime import datetime

import orjson
import uvicorn
from fastapi import FastAPI, Request, Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

PREFIX = "cloudflare_stream_live_input_"
disable_created_metrics()
registry = CollectorRegistry()
families = {}


def family(name, *labels):
    if name not in families:
        kind = Counter if name.endswith("_total") else Gauge
        families[name] = kind(PREFIX + name, name, ["input_id", *labels], registry=registry)
    return families[name]


connected = family("connected")
state_timestamp = family("state_timestamp_seconds")
expected = family("expected")
events = family("events_total", "event")
errors = family("errors_total", "code")
last_event = family("last_event_timestamp_seconds", "event")
last_error = family("last_error_timestamp_seconds", "code")
sessions = family("sessions_total")
reconnects = family("reconnects_total")
connected_seconds = family("connected_seconds_total")
inconsistent = family("inconsistent_events_total", "event")
info = family("info", "name")


def histogram(name, *bounds):
    return Histogram(name, name, buckets=bounds, registry=registry)


DELAYS = (1, 2, 3, 5, 10, 15, 30, 60, 120, 300, 900, 3600)
source_delay = histogram("cloudflare_stream_live_notification_source_delay_seconds", *DELAYS)
delivery_delay = histogram("cloudflare_stream_live_notification_delivery_delay_seconds", *DELAYS)
reconnect_delay = histogram(PREFIX + "reconnect_delay_seconds", 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
session_duration = histogram(
    PREFIX + "session_duration_seconds", 10, 30, 60, 300, 900, 1800, 3600, 7200, 14400, 28800, 86400, 604800)
request_duration = histogram(
    "stream_live_exporter_request_duration_seconds",
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)


def own(kind, name, *labels):
    return kind("stream_live_exporter_" + name, name, labels, registry=registry)


notifications = own(Counter, "notifications_total", "outcome")
out_of_order = own(Counter, "events_out_of_order_total")
last_notification = own(Gauge, "last_notification_timestamp_seconds")
secret_last_used = own(Gauge, "secret_last_used_timestamp_seconds", "secret")

KINDS = ("connected", "disconnected", "errored")
CODES = ("ERR_GOP_OUT_OF_RANGE", "ERR_UNSUPPORTED_VIDEO_CODEC", "ERR_UNSUPPORTED_AUDIO_CODEC",
         "ERR_STORAGE_QUOTA_EXHAUSTED", "ERR_MISSING_SUBSCRIPTION", "ERR_UNHEALTHY", "other")
MAX_IDENTITIES = 4096
RECONNECT_WINDOW = 60
ID = re.compile(r"[0-9a-f]{32}")
inputs = {}


class Input:
    """Creates a series for each value of the closed labels at once."""

    def __init__(self, input_id):
        self.connected, self.since, self.began, self.last, self.identities = None, 0.0, 0.0, {}, {}
        expected.labels(input_id).set(0)
        info.labels(input_id, "").set(1)
        for event in KINDS:
            events.labels(input_id, event)
        for event in KINDS[:2]:
            inconsistent.labels(input_id, event)
        for code in CODES:
            errors.labels(input_id, code)
        for counter in (sessions, reconnects, connected_seconds):
            counter.labels(input_id)


def apply(body, now):
    data = body["data"]
    input_id, updated_at = data["input_id"], data["updated_at"]
    event = data["event_type"].removeprefix("live_input.")
    at = datetime.fromisoformat(updated_at).timestamp()
    if not ID.fullmatch(input_id) or event not in KINDS or at > now + 300:
        return "ignored"
    given = data.get("live_input_errored", {}).get("error", {}).get("code")
    if (input := inputs.get(input_id)) is None:
        input = inputs[input_id] = Input(input_id)
    identity = (event, updated_at, given)
    if identity in input.identities:
        return "duplicate"
    input.identities[identity] = True
    if len(input.identities) > MAX_IDENTITIES:
        del input.identities[next(iter(input.identities))]
    source_delay.observe(max(0.0, body["ts"] - at))
    delivery_delay.observe(max(0.0, now - body["ts"]))
    events.labels(input_id, event).inc()
    if at > input.last.get(event, 0.0):
        input.last[event] = at
        last_event.labels(input_id, event).set(at)
    if event == "errored":
        code = given if given in CODES else "other"
        errors.labels(input_id, code).inc()
        if at > input.last.get(code, 0.0):
            input.last[code] = at
            last_error.labels(input_id, code).set(at)
    elif at < input.since:
        out_of_order.inc()
    else:
        change(input_id, input, event, at)
    return "recorded"


def change(input_id, input, event, at):
    on, passed = event == "connected", at - input.since
    reconnects_now = on and input.connected is False and passed <= RECONNECT_WINDOW
    if input.connected is on:
        inconsistent.labels(input_id, event).inc()
    elif not on and input.connected:
        connected_seconds.labels(input_id).inc(passed)
    elif on and input.connected is False:
        if passed <= 3600:
            reconnect_delay.observe(passed)
        if reconnects_now:
            reconnects.labels(input_id).inc()
        else:
            session_duration.observe(input.since - input.began)
    if on and not reconnects_now and input.connected is not True:
        sessions.labels(input_id).inc()
        input.began = at
    input.connected, input.since = on, at
    connected.labels(input_id).set(on)
    state_timestamp.labels(input_id).set(at)


def load(path):
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            sample = re.match(rf"{PREFIX}([a-z_]+)\{{(input_id=.*)\}} (.*)$", line)
            if not sample:
                continue
            labels = dict(re.findall(r'([a-z_]+)="([^"]*)"', sample[2]))
            child = family(sample[1], *list(labels)[1:]).labels(**labels)
            (child.inc if sample[1].endswith("_total") else child.set)(float(sample[3]))


app = FastAPI(openapi_url=None)
secret = hashlib.sha256(os.environ["SECRET"].encode()).digest()


@app.post("/webhook")
async def webhook(request: Request) -> Response:
    began = time.perf_counter()
    presented = request.headers.get("cf-webhook-auth", "").encode()
    if not hmac.compare_digest(hashlib.sha256(presented).digest(), secret):
        return Response(status_code=401)
    now = time.time()
    outcome = apply(orjson.loads(await request.body()), now)
    notifications.labels(outcome).inc()
    last_notification.set(now)
    secret_last_used.labels("default").set(now)
    request_duration.observe(time.perf_counter() - began)
    return Response(f'{{"outcome":"{outcome}"}}'.encode(), media_type="application/json")


@app.get("/metrics")
async def metrics() -> Response:
    return Response(generate_latest(registry), media_type="text/plain; version=0.0.4; charset=utf-8")


if __name__ == "__main__":
    if "EXPOSITION" in os.environ:
        load(os.environ["EXPOSITION"])
    port = int(os.environ["PORT"])
    uvicorn.run(app, port=port, loop="uvloop", http="httptools", access_log=False, log_level="warning",
                timeout_keep_alive=600)
