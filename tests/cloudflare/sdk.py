"""Makes the exporter's calls with Cloudflare's official Python client against the mock, and reads every answer strictly.

    sdk.py EXPORTER

The client accepts unknown members and values. So each answer is read three times: by the client, by its types in
pydantic's strict mode, and as it was sent. All members must be known, and what the client understood must be what was
sent.
"""

import http.server
import json
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import cloudflare
import pydantic
from cloudflare._base_client import BaseSyncPage

ACCOUNT = "51e0c1a7e51e0c1a7e51e0c1a7e51e0c"
TOKEN = "token-of-the-check"
STREAM_KEY = "fakestreamkey"
UNKNOWN_ID = "0" * 32
problems: list[str] = []
calls: set[str] = set()


def problem(text: str) -> None:
    problems.append(text)
    print(f"cloudflare: {text}", file=sys.stderr)


def expect(what: str, found, wanted) -> None:
    if found != wanted:
        problem(f"{what} is {found!r}, expected {wanted!r}")


class Webhook(http.server.BaseHTTPRequestHandler):
    """The receiver of the notifications. It answers 2xx at /webhook only, and keeps the secret of each test message."""

    tests: list[str] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if list(body) == ["text"]:
            self.tests.append(self.headers.get("cf-webhook-auth"))
        self.send_response(200 if self.path == "/webhook" else 404)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_) -> None:
        pass


@contextmanager
def webhook():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


@contextmanager
def mock(exporter: str, url: str, work: Path):
    """The base URL of the mock, while the simulation runs."""
    for name, text in (("secret", "secret-of-the-simulation"), ("token", TOKEN)):
        (work / name).write_text(f"{text}\n")
        (work / name).chmod(0o600)
    command = [
        exporter, "simulate", f"--url={url}/webhook", f"--secret-file={work / 'secret'}", "--inputs=12", "--rate=40",
        "--duration=10m", "--lose=0.2", "--cloudflare-api=127.0.0.1:0", f"--cloudflare-token-file={work / 'token'}",
        "--cloudflare-status=mixed",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        line = process.stdout.readline()
        if "http://" not in line:
            sys.exit(f"cloudflare: the mock does not start: {line}")
        yield line.split()[-1].rstrip(".")
    finally:
        process.terminate()
        process.wait(30)


def known(model: pydantic.BaseModel, sent, where: str) -> None:
    """Every member that was sent is a field of the model, and its value is of the field's type."""
    fields = {field.alias or name: (name, field) for name, field in type(model).model_fields.items()}
    for member, value in sent.items():
        if member not in fields:
            problem(f"{where}.{member} is not known to the client")
            continue
        name, field = fields[member]
        try:
            pydantic.TypeAdapter(field.annotation).validate_json(json.dumps(value), strict=True)
        except pydantic.ValidationError as error:
            problem(f"{where}.{member}: {error.errors()[0]['msg']}: {value!r}")
        understood(getattr(model, name), value, f"{where}.{member}")


def understood(value, sent, where: str) -> None:
    """What the client understood is what was sent."""
    if isinstance(value, pydantic.BaseModel) and isinstance(sent, dict):
        known(value, sent, where)
    elif isinstance(value, list) and isinstance(sent, list):
        expect(f"the length of {where}", len(value), len(sent))
        for index, (part, sent_part) in enumerate(zip(value, sent)):
            understood(part, sent_part, f"{where}[{index}]")
    elif isinstance(value, dict) and isinstance(sent, dict):
        expect(f"the members of {where}", sorted(value), sorted(sent))
        for member, sent_part in sent.items():
            understood(value.get(member), sent_part, f"{where}.{member}")
    elif isinstance(value, datetime):
        expect(where, value, datetime.fromisoformat(sent.replace("Z", "+00:00")) if sent else sent)
    else:
        expect(where, value, sent)


def read(resource, method: str, *arguments, whole: bool = False, **parameters):
    """Calls a method of the client. Returns what it understood, after a comparison with what was sent."""
    name = f"{type(resource).__name__.removesuffix('Resource')}.{method}"
    calls.add(name)
    raw = getattr(resource.with_raw_response, method)(*arguments, **parameters)
    sent = raw.json()
    expect(f"{name}: the members", {"success", "errors", "messages"} - set(sent), set())
    value = raw.parse()
    if isinstance(value, BaseSyncPage):
        value = value.result
    understood(value, sent if whole else sent["result"], name)
    return value


def refused(status: int, code: int | None, resource, method: str, *arguments, **parameters) -> None:
    """The call is refused with this status, and with this code in the envelope."""
    name = f"{type(resource).__name__}.{method}"
    try:
        getattr(resource, method)(*arguments, **parameters)
        problem(f"{name} is not refused with {status}")
    except cloudflare.APIStatusError as error:
        expect(f"{name}: the status", error.status_code, status)
        if code is not None:
            expect(f"{name}: the code", [entry.code for entry in error.errors], [code])


def check_tokens(client: cloudflare.Cloudflare) -> None:
    verified = read(client.user.tokens, "verify")
    expect("the token's status", verified.status, "active")
    details = read(client.user.tokens, "get", verified.id)
    expect("a permission", "Stream Read" in [group.name for group in details.policies[0].permission_groups], True)
    refused(401, 1000, client.accounts.tokens, "verify", account_id=ACCOUNT)
    other = client.copy(api_token="unknown")
    refused(401, 1000, other.user.tokens, "verify")
    refused(401, 10000, other.stream.live_inputs, "list", account_id=ACCOUNT)


def check_inputs(client: cloudflare.Cloudflare) -> None:
    live_inputs = client.stream.live_inputs
    listed = read(live_inputs, "list", account_id=ACCOUNT, include_counts=True)
    expect("the number of inputs", (len(listed.live_inputs), listed.total), (12, 12))
    words = set()
    for entry in listed.live_inputs:
        # The form of the status depends on the input. The client knows only words; other forms were seen as well.
        raw = live_inputs.with_raw_response.get(entry.uid, account_id=ACCOUNT).json()["result"]
        expect("the name", (raw["meta"], raw["enabled"]), (entry.meta, entry.enabled))
        if not isinstance(raw.get("status"), dict):
            words.add(read(live_inputs, "get", entry.uid, account_id=ACCOUNT).status)
        if STREAM_KEY not in raw["rtmps"]["streamKey"]:
            problem("a stream key is not marked as fake")
    if not words - {None}:
        problem("no input has a status of the documented form")
    refused(404, 10003, live_inputs, "get", UNKNOWN_ID, account_id=ACCOUNT)
    refused(403, 10000, live_inputs, "list", account_id=UNKNOWN_ID)


def check_destinations(client: cloudflare.Cloudflare, url: str) -> str:
    """Returns the id of a new destination."""
    webhooks = client.alerting.destinations.webhooks
    body = {"account_id": ACCOUNT, "name": "exporter", "url": f"{url}/webhook", "secret": "first"}
    refused(422, None, webhooks, "create", **body | {"url": f"{url}/other"})
    created = read(webhooks, "create", **body)
    read(webhooks, "update", created.id, **body | {"secret": "second"})
    expect("the secrets of the tests", Webhook.tests, ["first", "first", "second"])
    found = read(webhooks, "get", created.id, account_id=ACCOUNT)
    expect("the destination", (found.name, found.url, found.type), ("exporter", body["url"], "generic"))
    expect("the age of its last success", found.last_success is not None and found.last_failure is None, True)
    raw = webhooks.with_raw_response.list(account_id=ACCOUNT).text()
    if "second" in raw:
        problem("a destination shows its secret")
    expect("the destinations", [entry.name for entry in read(webhooks, "list", account_id=ACCOUNT)], ["simulate", "exporter"])
    refused(404, None, webhooks, "get", UNKNOWN_ID, account_id=ACCOUNT)
    return created.id


def check_policies(client: cloudflare.Cloudflare, destination: str) -> None:
    policies = client.alerting.policies
    body = {
        "account_id": ACCOUNT, "name": "Stream live", "enabled": True, "alert_type": "stream_live_notifications",
        "mechanisms": {"webhooks": [{"id": destination}]}, "filters": {"event_type": ["live_input.errored"]},
    }
    created = read(policies, "create", **body)
    read(policies, "update", created.id, account_id=ACCOUNT, enabled=False)
    found = read(policies, "get", created.id, account_id=ACCOUNT)
    expect("the policy", (found.enabled, found.filters.event_type), (False, ["live_input.errored"]))
    expect("its destination", [entry.id for entry in found.mechanisms.webhooks], [destination])
    expect("the number of policies", len(read(policies, "list", account_id=ACCOUNT)), 4)

    silences = client.alerting.silences
    times = {"start_time": "2026-11-28T10:00:00Z", "end_time": "2026-11-28T11:00:00Z"}
    read(silences, "create", account_id=ACCOUNT, body=[{"policy_id": created.id} | times], whole=True)
    listed = read(silences, "list", account_id=ACCOUNT)
    expect("the silences", [entry.policy_id for entry in listed], [created.id])
    read(silences, "get", listed[0].id, account_id=ACCOUNT)
    read(silences, "delete", listed[0].id, account_id=ACCOUNT, whole=True)

    read(policies, "delete", created.id, account_id=ACCOUNT, whole=True)
    refused(404, None, policies, "get", created.id, account_id=ACCOUNT)
    read(client.alerting.destinations.webhooks, "delete", destination, account_id=ACCOUNT, whole=True)
    alerts = read(client.alerting.available_alerts, "list", account_id=ACCOUNT)
    types = [alert.type for group in alerts.values() for alert in group]
    expect("the alert of live inputs is available", "stream_live_notifications" in types, True)


def check_history(client: cloudflare.Cloudflare) -> None:
    history = client.alerting.history
    bounds = {"account_id": ACCOUNT, "since": "2020-01-01T00:00:00Z", "before": "2100-01-01T00:00:00Z"}
    texts = 0
    for page in (1, 2):
        raw = history.with_raw_response.list(**bounds, page=page, per_page=5)
        calls.add("History.list")
        entries, sent = raw.parse().result, raw.json()
        expect("the number of entries", (len(entries), sent["result_info"]["page"]), (5, page))
        for entry, sent_entry in zip(entries, sent["result"]):
            # The client knows only the documented form of the body, a text. It was shown as an object as well.
            if isinstance(sent_entry["alert_body"], dict):
                sent_entry = {name: value for name, value in sent_entry.items() if name != "alert_body"}
            else:
                texts += 1
            known(entry, sent_entry, "History.list")
    for page in range(3, 9):
        texts += sum(isinstance(entry.alert_body, str) for entry in history.list(**bounds, page=page, per_page=5).result)
    if texts == 0:
        problem("no entry of the history has a body of the documented form")


def check_quality(client: cloudflare.Cloudflare) -> None:
    """The client has no types for GraphQL."""
    query = """query ($account: string!, $from: Time!, $until: Time!) { viewer { accounts(filter: {accountTag: $account}) {
        liveInputEventsAdaptiveGroups(filter: {datetime_geq: $from, datetime_lt: $until}, limit: 100) {
            dimensions { datetimeMinute inputId } avg { gopDuration } } } } }"""
    variables = {"account": ACCOUNT, "from": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3600))}
    variables["until"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60))
    answer = client.post("/graphql", body={"query": query, "variables": variables}, cast_to=object)
    rows = answer["data"]["viewer"]["accounts"][0]["liveInputEventsAdaptiveGroups"]
    expect("there is a row", bool(rows) and rows[0]["avg"]["gopDuration"] > 0, True)
    answer = client.post("/graphql", body={"query": query.replace("avg", "none"), "variables": variables}, cast_to=object)
    expect("the data of a wrong query", (answer["data"], len(answer["errors"])), (None, 1))


def main() -> None:
    with tempfile.TemporaryDirectory() as work, webhook() as url, mock(sys.argv[1], url, Path(work)) as base_url:
        client = cloudflare.Cloudflare(api_token=TOKEN, base_url=base_url, max_retries=0)
        deadline = time.monotonic() + 60
        while len(client.alerting.history.list(account_id=ACCOUNT, per_page=50).result) < 40:
            if time.monotonic() > deadline:
                sys.exit("cloudflare: the history does not grow")
            time.sleep(0.2)
        check_tokens(client)
        check_inputs(client)
        check_policies(client, check_destinations(client, url))
        check_history(client)
        check_quality(client)
    if problems:
        sys.exit(f"cloudflare: {len(problems)} problems")
    print(f"cloudflare: {len(calls)} methods of the client {cloudflare.__version__} read every answer: {', '.join(sorted(calls))}")


main()
