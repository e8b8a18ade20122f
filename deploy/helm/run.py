"""Runs the exporter of every rendered pod as its container would: run.py EXPORTER RENDERED WORK

For each file in the folder RENDERED: a root file system with the volumes of the pod, laid out and owned as kubelet does
it; the image's entry point with arguments, environment and user; the probes; notifications through the webhook's
service; metrics through the ServiceMonitor's endpoint; new contents of the mounted secrets; SIGTERM. With a shared
journal, PostgreSQL answers at the names and ports of its URL.

Needs root, and network, mount and PID namespaces of its own. POSTGRES_BIN names the folder of PostgreSQL's programs.
"""

import base64
import http.client
import json
import os
import re
import secrets
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import yaml

PROJECT = Path(__file__).resolve().parent.parent.parent
NOTIFICATION = PROJECT / "tests/fixtures/notifications/connected.json"
# The example user of docs/web-config.md.
USER, PASSWORD = "prometheus", "its password"
DEADLINE = 60
# PostgreSQL does not run as root.
UNPRIVILEGED = 65534


def fail(problem):
    sys.exit(f"check: {problem}")


def run(*command, **options):
    command = [str(part) for part in command]
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode != 0:
        fail(f"{' '.join(command)}: {done.returncode}: {done.stderr}")
    return done.stdout


def image():
    """Entry point and environment of the image, from its Dockerfile."""
    text = (PROJECT / "deploy/docker/Dockerfile").read_text().replace("\\\n", "")
    environment = dict(re.findall(r"(STREAM_LIVE_EXPORTER__\w+)=(\S+)", re.search(r"^ENV (.*)$", text, re.M).group(1)))
    return json.loads(re.search(r"^ENTRYPOINT (.*)$", text, re.M).group(1)), environment


def web_config():
    """A web configuration with TLS and a user, and the files that it names."""
    document = (PROJECT / "docs/web-config.md").read_text()
    (hashed,) = re.findall(rf"^  {USER}: (\S+)$", document, re.M)
    return {
        "web.yml": f"tls_server_config: {{cert_file: tls.crt, key_file: tls.key}}\nbasic_auth_users: {{{USER}: {hashed}}}\n",
        **certificate(),
    }


def certificate():
    names = ("tls.key", "tls.crt")
    with_files = ["-keyout", "/dev/stdout", "-out", "/dev/stdout"]
    both = run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=exporter",
               "-addext", "subjectAltName=DNS:exporter", *with_files)
    blocks = re.findall(r"-----BEGIN .*?-----END [A-Z ]+-----\n", both, re.S)
    return dict(zip(names, blocks, strict=True))


class PostgreSQL:
    """A cluster for the URL of a shared journal: on the last of its hosts, with TLS unless the URL turns it off."""

    def __init__(self, url, programs):
        self.programs, self.url = programs, urllib.parse.urlsplit(url)
        # Not in the check's own folder, which only root may enter.
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self.temporary.name)
        places = [place.rpartition("@")[2] for place in self.url.netloc.split(",")]
        self.hosts = [place.partition(":")[0] for place in places]
        self.port = places[-1].partition(":")[2] or "5432"
        self.tls = "sslmode=disable" not in self.url.query
        self.password = secrets.token_hex(16)

    def start(self):
        name = self.url.username
        data, certificates = self.folder / "data", authority(self.hosts)
        self.ca = certificates["ca.crt"]
        os.chown(self.folder, UNPRIVILEGED, UNPRIVILEGED)
        run(*self.command("initdb", "--pgdata", data, "--username=postgres", "--auth=trust", "--encoding=UTF8",
             "--no-sync"))
        for file in ("tls.crt", "tls.key"):
            (data / file).write_text(certificates[file])
            (data / file).chmod(0o600)
            os.chown(data / file, UNPRIVILEGED, UNPRIVILEGED)
        admitted = "hostssl" if self.tls else "hostnossl"
        (data / "pg_hba.conf").write_text(f"local all postgres trust\n{admitted} all {name} all scram-sha-256\n")
        settings = {"listen_addresses": "*", "port": self.port, "unix_socket_directories": self.folder, "ssl": "on",
                    "ssl_cert_file": "tls.crt", "ssl_key_file": "tls.key"}
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        with open(self.folder / "log", "w") as log:
            self.process = subprocess.Popen(self.command("postgres", "-D", data, *options), stdout=log, stderr=log)
        end = time.monotonic() + DEADLINE
        while subprocess.run(self.command("pg_isready", "--quiet", *self.local())).returncode != 0:
            if self.process.poll() is not None or time.monotonic() > end:
                fail(f"PostgreSQL does not start:\n{(self.folder / 'log').read_text()}")
            time.sleep(0.1)
        self.sql(f"CREATE ROLE {name} LOGIN PASSWORD '{self.password}'")
        self.sql(f"CREATE DATABASE {self.url.path[1:]} OWNER {name}")

    def local(self):
        return ["--host", self.folder, "--port", self.port, "--username", "postgres"]

    def sql(self, statement):
        run(*self.command("psql", *self.local(), "--no-psqlrc", "--quiet", "--command", statement))

    def command(self, program, *arguments):
        as_user = ["setpriv", f"--reuid={UNPRIVILEGED}", f"--regid={UNPRIVILEGED}", "--clear-groups"]
        return [*as_user, *(str(one) for one in (self.programs / program, *arguments))]

    def stop(self):
        # Does not wait for connections.
        self.process.send_signal(signal.SIGINT)
        self.process.wait(DEADLINE)
        self.temporary.cleanup()


def authority(hosts):
    """The certificate of an authority, and certificate and key of a server for these names."""
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder, name) for name in ("ca.key", "ca.crt", "tls.key", "tls.crt", "request")}
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=authority",
            "-keyout", files["ca.key"], "-out", files["ca.crt"])
        names = ",".join(f"{'IP' if host[0].isdigit() else 'DNS'}:{host}" for host in hosts)
        run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=server", "-keyout", files["tls.key"],
            "-addext", f"subjectAltName={names}", "-out", files["request"])
        run("openssl", "x509", "-req", "-in", files["request"], "-days", "2", "-CA", files["ca.crt"],
            "-CAkey", files["ca.key"], "-CAcreateserial", "-copy_extensions", "copy", "-out", files["tls.crt"])
        return {name: path.read_text() for name, path in files.items()}


def postgresql_programs():
    """The folder of PostgreSQL's programs: the one in POSTGRES_BIN, or the newest of Debian."""
    if folder := os.environ.get("POSTGRES_BIN"):
        return Path(folder)
    return max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), default=None)


def project(folder, files, group, mode):
    """Writes the files as kubelet does: links into a folder that is replaced at once."""
    new = folder / f"..{time.monotonic_ns()}"
    new.mkdir(parents=True)
    for name, content in files.items():
        path = new / name
        path.write_text(content)
        os.chown(path, 0, group)
        path.chmod(mode)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    temporary = folder / "..data_tmp"
    temporary.symlink_to(new.name)
    temporary.rename(folder / "..data")


class Pod:
    """A pod of rendered manifests, with its files in a folder."""

    def __init__(self, file, exporter, folder, postgresql):
        self.file = file
        self.postgresql = None
        self.programs = postgresql
        self.documents = [document for document in yaml.safe_load_all(file.read_text()) if document]
        (workload,) = self.of("StatefulSet")
        self.spec = workload["spec"]["template"]["spec"]
        (self.container,) = [one for one in self.spec["containers"] if one["name"] == "exporter"]
        self.root = folder
        context = self.spec["securityContext"]
        self.user, self.group = context["runAsUser"], context["fsGroup"]
        entry_point, environment = image()
        self.program = self.container.get("command", entry_point)
        added = {one["name"]: one["value"] for one in self.container.get("env", [])}
        self.environment = environment | added
        self.secret_files = {}
        self.place(exporter)
        self.config = self.read_config()
        if url := self.config["storage"].get("url"):
            self.provide_postgresql(url)
        self.mount_volumes(workload)

    def of(self, kind):
        return [document for document in self.documents if document["kind"] == kind]

    def read_config(self):
        (name,) = [volume["configMap"]["name"] for volume in self.spec["volumes"] if volume["name"] == "config"]
        (data,) = [one["data"] for one in self.of("ConfigMap") if one["metadata"]["name"] == name]
        return yaml.safe_load(data["config.yaml"])

    def provide_postgresql(self, url):
        """Starts the server, and lets its names lead to it."""
        self.postgresql = PostgreSQL(url, self.programs)
        for host in self.postgresql.hosts:
            if host[0].isdigit():
                run("ip", "address", "replace", f"{host}/32", "dev", "lo")
        names = [host for host in self.postgresql.hosts if not host[0].isdigit()]
        (self.root / "etc").mkdir()
        (self.root / "etc/hosts").write_text(f"127.0.0.1 localhost {' '.join(names)}\n")
        self.postgresql.start()

    def place(self, exporter):
        for name in ("proc", "dev", "tmp"):
            (self.root / name).mkdir(parents=True)
        shutil.copy(exporter, f"{self.root}{self.program[0]}")
        run("mount", "--bind", "/dev", self.root / "dev")
        run("mount", "-t", "proc", "proc", self.root / "proc")
        # A release is static; a debug build needs the machine's libraries.
        if b"ld-linux" in exporter.read_bytes()[:4096]:
            for name in ("usr/lib", "lib", "lib64"):
                if Path("/", name).is_dir():
                    (self.root / name).mkdir(parents=True)
                    run("mount", "--bind", f"/{name}", self.root / name)

    def mount_volumes(self, workload):
        volumes = {volume["name"]: volume for volume in self.spec["volumes"]}
        claims = {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])}
        for mount in self.container["volumeMounts"]:
            folder = Path(f"{self.root}{mount['mountPath']}")
            folder.mkdir(parents=True)
            volume = volumes.get(mount["name"], {})
            if "configMap" in volume:
                (data,) = [one["data"] for one in self.of("ConfigMap")
                           if one["metadata"]["name"] == volume["configMap"]["name"]]
                project(folder, data, 0, 0o644)
            elif "secret" in volume:
                self.secret_files[mount["mountPath"]] = folder, volume["secret"]["defaultMode"]
            elif "projected" in volume:
                paths = [item["path"] for one in volume["projected"]["sources"] for item in one["secret"]["items"]]
                known = {"password": self.postgresql.password, "ca.crt": self.postgresql.ca}
                project(folder, {path: known[path] for path in paths}, self.group, volume["projected"]["defaultMode"])
            elif mount["name"] in claims or volume.keys() & {"emptyDir", "persistentVolumeClaim"}:
                # As with fsGroup, and as in a new ext4 file system.
                os.chown(folder, 0, self.group)
                folder.chmod(0o2775)
                (folder / "lost+found").mkdir(mode=0o700)
        self.renew_secrets()

    def renew_secrets(self):
        """New contents of all mounted secrets."""
        valid = [Path(path) for path in self.config["webhook"].get("secret_files", {}).values()]
        accounts = self.config.get("cloudflare", {})
        tokens = [Path(one["token_file"]) for one in [accounts, *accounts.get("accounts", [])] if "token_file" in one]
        for mounted, (folder, mode) in self.secret_files.items():
            keys = [path.name for path in [*valid, *tokens] if str(path.parent) == mounted]
            if keys:
                files = {key: secrets.token_hex(32) + "\n" for key in keys}
            else:
                files = web_config() if "web" in Path(mounted).name else certificate()
            project(folder, files, self.group, mode)
        self.secrets = [Path(f"{self.root}{path}").read_text().strip() for path in valid]

    def command(self, *arguments):
        return [shutil.which("chroot"), f"--userspec={self.user}:{self.group}", f"--groups={self.group}", str(self.root), *arguments]

    def start(self):
        with open(f"{self.root}.log", "w") as log:
            command = self.command(*self.program, *self.container.get("args", []))
            self.process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)

    def require(self, condition, problem):
        if not condition:
            log = Path(f"{self.root}.log")
            fail(f"{self.file.name}: {problem}\n{log.read_text() if log.exists() else ''}")

    def port(self, name):
        (port,) = [one["containerPort"] for one in self.container["ports"] if one["name"] == name]
        return port

    def succeeds(self, probe):
        if "exec" in probe:
            command = self.command(*probe["exec"]["command"])
            return subprocess.run(command, env=self.environment, capture_output=True).returncode == 0
        get = probe["httpGet"]
        return 200 <= self.request(get.get("scheme", "HTTP").lower(), self.port(get["port"]), get["path"])[0] < 400

    def request(self, scheme, port, path, body=None, **headers):
        """Status and content; status 0 if there is no answer."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(f"{scheme}://127.0.0.1:{port}{path}", data=body, headers=names)
        try:
            with urllib.request.urlopen(request, timeout=10, context=ssl._create_unverified_context()) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except (OSError, http.client.HTTPException):
            return 0, ""

    def target(self, port_name):
        """The container's port behind a service's port."""
        (port,) = [port for service in self.of("Service") for port in service["spec"]["ports"]
                   if port["name"] == port_name]
        return self.port(port["targetPort"])

    def await_probes(self):
        probes = [self.container[name] for name in ("startupProbe", "livenessProbe", "readinessProbe")]
        end = time.monotonic() + DEADLINE
        while not all(self.succeeds(probe) for probe in probes):
            self.require(self.process.poll() is None, "the exporter has exited")
            self.require(time.monotonic() < end, "a probe does not succeed")
            time.sleep(0.05)

    def at_webhook(self, path, body=None, **headers):
        scheme = "https" if self.config["webhook"].get("tls_cert_file") else "http"
        return self.request(scheme, self.target("webhook"), path, body, **headers)

    def post(self, secret):
        path, body = self.config["webhook"]["path"], NOTIFICATION.read_bytes()
        status, content = self.at_webhook(path, body, cf_webhook_auth=secret)
        return status, json.loads(content).get("outcome") if content else None

    def shown_secrets(self):
        """The secrets as the command of NOTES.txt prints them: one alone, or several with their names."""
        command = self.command(*self.program, "secret", "show", "--print")
        return [line.split()[-1] for line in run(*command, env=self.environment).splitlines()]

    def check_webhook(self):
        shown = self.shown_secrets()
        self.require(sorted(shown) == sorted(self.secrets or shown[:1]), "secret show does not print the secrets")
        for secret, outcome in zip(shown, ["recorded"] + ["duplicate"] * len(shown)):
            self.require(self.post(secret) == (200, outcome), f"not {outcome}: {self.post(secret)}")
        self.require(self.post("wrong")[0] == 401, "a wrong secret is accepted")
        self.require(self.at_webhook("/metrics")[0] == 404, "metrics are public")

    def check_metrics(self):
        endpoint = {"port": "web", "path": self.config["web"].get("telemetry_path", "/metrics"), "scheme": "http"}
        for monitor in self.of("ServiceMonitor"):
            (endpoint,) = monitor["spec"]["endpoints"]
        protected = "config_file" in self.config["web"]
        self.require(bool(endpoint.get("basicAuth")) == protected, "the ServiceMonitor does not log in")
        headers = {}
        if protected:
            credentials = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            headers["Authorization"] = f"Basic {credentials}"
        status, content = self.request(endpoint["scheme"], self.target(endpoint["port"]), endpoint["path"], **headers)
        self.require(status == 200, f"metrics: {status}")
        connected = re.search(r"^cloudflare_stream_live_input_connected\{.*\} 1(\.0)?$", content, re.M)
        self.require(connected, "the metrics do not show the notification")
        if self.postgresql:
            self.require("\nstream_live_exporter_journal_connected 1\n" in content, "the journal is not in PostgreSQL")

    def check_rotation(self):
        """Changed secrets are valid after a reload: the one that the container beside the exporter requests, if any."""
        old = self.secrets[0]
        self.renew_secrets()
        reloaders = [one for one in self.spec["containers"] if one["name"] == "config-reloader"]
        url = f"http://127.0.0.1:{self.port('web')}/-/reload"
        for reloader in reloaders:
            arguments = [argument.split("=", 1) for argument in reloader["args"]]
            (url,) = [value for name, value in arguments if name == "--reload-url"]
            watched = {value for name, value in arguments if name == "--watched-dir"}
            mounted = {mount["mountPath"] for mount in reloader["volumeMounts"]}
            self.require(watched == mounted and watched >= self.secret_files.keys(), f"watches {watched}")
        with urllib.request.urlopen(url, data=b"", timeout=10) as response:
            self.require(response.status == 200, "the reload failed")
        self.require(self.post(old)[0] == 401, "the old secret is still accepted")
        for secret in self.secrets:
            self.require(self.post(secret) == (200, "duplicate"), "a new secret is not accepted")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.require(self.process.wait(self.spec["terminationGracePeriodSeconds"]) == 0, "failed after SIGTERM")


def check(file, exporter, folder, postgresql):
    pod = Pod(file, exporter, folder, postgresql)
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        pod.require(not pod.succeeds(pod.container[probe]), f"{probe} succeeds without the exporter")
    pod.start()
    pod.await_probes()
    pod.check_webhook()
    pod.check_metrics()
    if pod.secrets:
        pod.check_rotation()
    pod.stop()
    if pod.postgresql:
        pod.postgresql.stop()
    print(f"{file.stem}: ready, recorded, scraped, {'rotated, ' if pod.secrets else ''}stopped")


def is_shared(file):
    return "postgres://" in file.read_text()


def main(exporter, rendered, work):
    sys.path.insert(0, str(PROJECT / "tests/stack"))
    from network import raise_loopback

    raise_loopback()
    # Without this, the mounts would also appear outside.
    run("mount", "--make-rprivate", "/")
    postgresql = postgresql_programs()
    for file in sorted(Path(rendered).glob("*.yaml")):
        if postgresql or not is_shared(file):
            check(file, Path(exporter), Path(work, file.stem), postgresql)


if __name__ == "__main__":
    main(*sys.argv[1:])
