"""The same job with FastAPI and prometheus_client: receives notifications, updates the families of every input in
memory, exposes them. Not durable. PORT, SECRET, and optionally EXPOSITION: a file of samples to begin with."""

import hmac
import os
import re
from datetime import datetime

import orjson
import uvicorn
from fastapi import FastAPI, Request, Response
from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics, generate_latest

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

# By input: whether it is connected, and since when.
inputs = {}


def apply(data):
    input_id = data["input_id"]
    event = data["event_type"].removeprefix("live_input.")
    at = datetime.fromisoformat(data["updated_at"]).timestamp()
    if input_id not in inputs:
        inputs[input_id] = (None, 0.0)
        expected.labels(input_id).set(0)
        info.labels(input_id, "").set(1)
    before, since = inputs[input_id]
    events.labels(input_id, event).inc()
    last_event.labels(input_id, event).set(at)
    if event == "errored":
        code = data.get("live_input_errored", {}).get("error", {}).get("code", "other")
        errors.labels(input_id, code).inc()
        last_error.labels(input_id, code).set(at)
        return
    on = event == "connected"
    if before is on:
        inconsistent.labels(input_id, event).inc()
    elif before and not on:
        connected_seconds.labels(input_id).inc(max(0.0, at - since))
    elif before is False and at - since < 60:
        reconnects.labels(input_id).inc()
    elif on:
        sessions.labels(input_id).inc()
    inputs[input_id] = (on, at)
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
secret = os.environ["SECRET"]


@app.post("/webhook")
async def webhook(request: Request) -> Response:
    if not hmac.compare_digest(request.headers.get("cf-webhook-auth", ""), secret):
        return Response(status_code=401)
    apply(orjson.loads(await request.body())["data"])
    return Response(b'{"outcome":"recorded"}', media_type="application/json")


@app.get("/metrics")
async def metrics() -> Response:
    return Response(generate_latest(registry), media_type="text/plain; version=0.0.4; charset=utf-8")


if __name__ == "__main__":
    if "EXPOSITION" in os.environ:
        load(os.environ["EXPOSITION"])
    port = int(os.environ["PORT"])
    uvicorn.run(app, port=port, loop="uvloop", http="httptools", access_log=False, log_level="warning",
                timeout_keep_alive=600)
