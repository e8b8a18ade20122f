"""Checks rendered manifests: manifests.py RENDERED OUTPUT

RENDERED is a folder of YAML files. Every resource must be valid for the oldest and the newest Kubernetes version, and
the names, labels and ports by which resources refer to each other must exist. Only the webhook's path may be exposed.
Dashboards and rules must equal the canonical files. Writes for other tools into the folder OUTPUT: custom.json, the
custom resources; all/NAME, rendered rules; rules/NAME, the unchanged ones, in the canonical files, for the rule tests.
"""

import json
import re
import sys
from pathlib import Path

import kubernetes_validate
import yaml

PROJECT = Path(__file__).resolve().parent.parent.parent
CHART = Path(__file__).resolve().parent / "stream-live-exporter"
CUSTOM = ("monitoring.coreos.com/", "gateway.networking.k8s.io/", "external-secrets.io/")

problems = []


def require(condition, problem):
    if not condition:
        problems.append(problem)


def versions():
    oldest = re.search(r">=(\d+\.\d+)", yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"]).group(1)
    return oldest, ".".join(kubernetes_validate.latest_version().split(".")[:2])


def validate(file, resource):
    for version in versions():
        try:
            kubernetes_validate.validate(resource, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            place = "/".join(str(part) for part in error.path)
            problems.append(f"{file}: {resource['kind']}: {place}: {error.message[:200]} (Kubernetes {version})")
        except kubernetes_validate.SchemaNotFoundError as error:
            problems.append(f"{file}: {error.message}")


def scalars(value, path=""):
    """The paths of all values in nested mappings and lists."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from scalars(inner, f"{path}.{key}")
    else:
        yield path


class Resources:
    """The resources of one file."""

    def __init__(self, file, documents):
        self.file = file
        self.documents = documents
        keys = [(d["kind"], d["metadata"].get("namespace"), d["metadata"]["name"]) for d in documents]
        require(len(keys) == len(set(keys)), f"{file}: two resources have the same kind and name")

    def of(self, kind):
        return [document for document in self.documents if document["kind"] == kind]

    def named(self, kind, name):
        return next((found for found in self.of(kind) if found["metadata"]["name"] == name), None)

    def require(self, condition, problem):
        require(condition, f"{self.file}: {problem}")

    def check(self):
        (workload,) = self.of("StatefulSet")
        pod = workload["spec"]["template"]
        self.check_pod(workload, pod)
        labels = pod["metadata"]["labels"].items()
        ports = {port["name"] for container in pod["spec"]["containers"] for port in container.get("ports", [])}
        services = self.of("Service")
        self.require(len(services) == 2, "not exactly one service for each listener")
        for service in services:
            name = service["metadata"]["name"]
            self.require(service["spec"]["selector"].items() <= labels, f"service {name} selects no pod")
            for port in service["spec"]["ports"]:
                self.require(port["targetPort"] in ports, f"service {name}: no port {port['targetPort']}")
        self.require(self.named("Service", workload["spec"]["serviceName"]), "serviceName is not a service")
        for policy in self.of("NetworkPolicy"):
            self.require(policy["spec"]["podSelector"]["matchLabels"].items() <= labels, "the policy selects no pod")
            by_port = {rule["ports"][0]["port"]: rule for rule in policy["spec"]["ingress"]}
            self.require(by_port.keys() == {"web", "webhook"}, "the policy does not separate the listeners")
            self.require(by_port["web"].get("from"), "the policy admits everyone to the private listener")
        for monitor in self.of("ServiceMonitor"):
            self.check_monitor(monitor, services)
        for budget in self.of("PodDisruptionBudget"):
            self.require(budget["spec"]["selector"]["matchLabels"].items() <= labels, "the budget selects no pod")
        self.check_replicas(workload["spec"], pod["spec"], labels)
        self.check_secrets()
        self.check_exposed(yaml.safe_load(self.config())["webhook"]["path"])

    def check_pod(self, workload, pod):
        """The profile "restricted" of the Pod Security Standards, and names of volumes and accounts."""
        spec = pod["spec"]
        self.require(workload["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items(),
                     "the StatefulSet does not select its pod")
        self.require(spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] > 0, "runs as root")
        self.require(spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault", "no seccomp profile")
        for host in ("hostNetwork", "hostPID", "hostIPC"):
            self.require(not spec.get(host), f"{host} is set")
        claims = {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])}
        volumes = {volume["name"] for volume in spec["volumes"]} | claims
        for container in spec["containers"] + spec.get("initContainers", []):
            context = container["securityContext"]
            self.require(context["allowPrivilegeEscalation"] is False, f"{container['name']} may gain privileges")
            self.require(context["capabilities"] == {"drop": ["ALL"]}, f"{container['name']} has capabilities")
            self.require(context["readOnlyRootFilesystem"] is True, f"{container['name']} may write its root")
            for mount in container.get("volumeMounts", []):
                self.require(mount["name"] in volumes, f"{container['name']}: no volume {mount['name']}")
        for volume in spec["volumes"]:
            if "configMap" in volume:
                self.require(self.named("ConfigMap", volume["configMap"]["name"]), f"volume {volume['name']}: no ConfigMap")
        account = spec["serviceAccountName"]
        self.require(account == "default" or self.named("ServiceAccount", account), f"no service account {account}")

    def check_replicas(self, workload, pod, labels):
        """Several replicas share a journal and nothing else, and one after the other may stop."""
        shared = yaml.safe_load(self.config())["storage"].get("url")
        claims = {claim["metadata"]["name"] for claim in workload.get("volumeClaimTemplates", [])}
        self.require("data" in claims or not shared, "the spool is not in a volume of its replica")
        services = {service["spec"].get("publishNotReadyAddresses", False) for service in self.of("Service")}
        several = workload["replicas"] > 1
        self.require(services == {not several}, "services lead to replicas that are not ready, or not to the only one")
        if not several:
            return
        self.require(shared, "replicas without a shared journal")
        self.require(workload["podManagementPolicy"] == "Parallel", "a replica waits for another one")
        self.require(workload["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
                     "the update stops more than one replica")
        budgets = [budget["spec"].get("maxUnavailable") for budget in self.of("PodDisruptionBudget")]
        self.require(budgets == [1], f"budgets of the replicas: {budgets}")
        apart = pod.get("affinity", {}).get("podAntiAffinity", {})
        terms = [one["podAffinityTerm"] for one in apart.get("preferredDuringSchedulingIgnoredDuringExecution", [])]
        terms += apart.get("requiredDuringSchedulingIgnoredDuringExecution", []) + pod["topologySpreadConstraints"]
        keys = {term["topologyKey"] for term in terms if term["labelSelector"]["matchLabels"].items() <= labels}
        self.require(keys == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}, f"spread over {keys}")

    def check_secrets(self):
        """ConfigMaps name files of secrets, but have none; a URL has no password."""
        values = json.dumps([one.get("data", {}) for one in self.of("ConfigMap")
                             if "grafana_dashboard" not in one["metadata"].get("labels", {})])
        self.require(not re.search(r"://[^/@\s:]*:[^/@\s]*@", values), "a URL in a ConfigMap has a password")
        for key in scalars(yaml.safe_load(self.config())):
            secret = re.search("secret|password|token", key, re.IGNORECASE)
            self.require(not secret or re.search("_files?(\\.|$)", key), f"the ConfigMap has the value of {key}")

    def check_monitor(self, monitor, services):
        selector = monitor["spec"]["selector"]["matchLabels"].items()
        selected = [service for service in services if selector <= service["metadata"]["labels"].items()]
        self.require(len(selected) == 1, f"the ServiceMonitor selects {len(selected)} services")
        names = monitor["spec"]["namespaceSelector"]["matchNames"]
        self.require([service["metadata"]["namespace"] for service in selected] == names, "selects another namespace")
        (endpoint,) = monitor["spec"]["endpoints"]
        ports = {port["name"]: port["targetPort"] for service in selected for port in service["spec"]["ports"]}
        self.require(ports.get(endpoint["port"]) == "web", "the ServiceMonitor does not scrape the private listener")

    def check_exposed(self, webhook_path):
        """Only the webhook's path leads from outside to the exporter, and only to the public listener."""
        exposed = []
        for ingress in self.of("Ingress"):
            for rule in ingress["spec"]["rules"]:
                for path in rule["http"]["paths"]:
                    backend = path["backend"]["service"]
                    exposed.append((path["pathType"], path["path"], backend["name"], backend["port"]["name"]))
        for route in self.of("HTTPRoute"):
            for rule in route["spec"]["rules"]:
                for match in rule["matches"]:
                    for backend in rule["backendRefs"]:
                        service = self.named("Service", backend["name"])
                        ports = {port["port"]: port["name"] for port in service["spec"]["ports"]}
                        exposed.append((match["path"]["type"], match["path"]["value"], backend["name"],
                                        ports.get(backend["port"])))
        for kind, path, service, port in exposed:
            self.require((kind, path, port) == ("Exact", webhook_path, "webhook"), f"exposes {kind} {path} of {port}")
            service = self.named("Service", service)
            self.require(service and port in {p["targetPort"] for p in service["spec"]["ports"]}, "no such backend")
        for service in self.of("Service"):
            open_to_all = service["spec"]["type"] != "ClusterIP"
            is_private = any(port["targetPort"] == "web" for port in service["spec"]["ports"])
            self.require(not (open_to_all and is_private), "the private listener is exposed")

    def config(self):
        """The exporter's configuration file."""
        (pod,) = [workload["spec"]["template"]["spec"] for workload in self.of("StatefulSet")]
        (name,) = [volume["configMap"]["name"] for volume in pod["volumes"] if volume["name"] == "config"]
        return self.named("ConfigMap", name)["data"]["config.yaml"]

    def check_dashboards(self):
        """Dashboards are absent or equal the canonical files. Returns their number."""
        rendered = {}
        for config_map in self.of("ConfigMap"):
            if config_map["metadata"].get("labels", {}).get("grafana_dashboard") == "1":
                rendered |= config_map["data"]
        canonical = {path.name: path.read_text() for path in (PROJECT / "grafana/dashboards").glob("*.json")}
        if rendered:
            self.require(rendered.keys() == canonical.keys(), f"dashboards: {sorted(rendered)}")
            for name, content in rendered.items():
                same = json.loads(content) == json.loads(canonical.get(name, "null"))
                self.require(same, f"{name} differs from grafana/dashboards")
        return len(rendered)


def canonical_files(values):
    """The canonical rules: the groups of each file, in the order in which the chart renders the files."""
    folder = PROJECT / "deploy/prometheus"
    files = sorted((folder / "rules").glob("*.yml"))
    if values.get("highAvailability"):
        files.append(folder / "high-availability.yml")
    return {file.name: yaml.safe_load(file.read_text())["groups"] for file in files}


def overridden(groups, values):
    """The rules that the values file changes: name and new value."""
    changes = {}
    canonical = [group for groups in canonical_files(values).values() for group in groups]
    for ours, theirs in zip(groups, canonical, strict=True):
        require(len(ours["rules"]) == len(theirs["rules"]), f"group {ours['name']} has other rules")
        require({**ours, "rules": 0} == {**theirs, "rules": 0}, f"group {ours['name']} differs")
        for rule, original in zip(ours["rules"], theirs["rules"]):
            if rule != original:
                changes[rule.get("record", rule.get("alert"))] = rule.get("labels", {}).get("grafana", rule["expr"])
    return changes


def check_memory_limit(rendered):
    """The default limit of memory is that of deploy/compose, which a test compares with the measured worst case."""
    resources = Resources(rendered.name, [one for one in yaml.safe_load_all(rendered.read_text()) if one])
    (workload,) = resources.of("StatefulSet")
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    compose = yaml.safe_load((PROJECT / "deploy/compose/compose.yaml").read_text())["x-exporter"]["mem_limit"]
    limit = container["resources"]["limits"]["memory"]
    require(limit == compose.replace("m", "Mi"), f"the memory limit is {limit}, that of deploy/compose {compose}")


def rule_values(file):
    return yaml.safe_load((CHART / "ci" / file).read_text())["prometheusRule"]


def expected_changes(values):
    changes = {}
    for name, value in values.get("thresholds", {}).items():
        changes[f"stream_live:threshold:{name}"] = value if isinstance(value, str) else f"vector({value})"
    if "grafanaUrl" in values:
        changes["stream_live:links"] = values["grafanaUrl"]
    return changes


def only_values(text):
    """The inserted values of an annotation and the branches of its conditions, as in deploy/prometheus/check."""
    result, branches = "", 0
    for action in re.findall(r"\{\{.*?\}\}", text, re.DOTALL):
        if re.match(r"\{\{-? *(if|with|else)", action):
            branches += 1
            result += f"{action}[#{branches}]"
        elif re.match(r"\{\{-? *end", action):
            result += action
        else:
            result += f"[{action}]"
    return result


def write_rules(output, file, groups, values):
    for folder in ("all", "rules"):
        (output / folder).mkdir(exist_ok=True)
    (output / "all" / file).write_text(yaml.safe_dump({"groups": groups}))
    if expected_changes(values):
        return
    for rule in (rule for group in groups for rule in group["rules"]):
        if "annotations" in rule:
            annotations = rule["annotations"]
            texts = {key: only_values(annotations.get(key, "")) for key in ("summary", "description")}
            rule["annotations"] = {key: value for key, value in (annotations | texts).items() if value}
        labels = rule.get("labels", {})
        labels.update({key: f"{key}:{labels['code']}" for key in ("meaning", "remedy") if key in labels})
    by_name = {group["name"]: group for group in groups}
    for name, originals in canonical_files(values).items():
        ours = [by_name[group["name"]] for group in originals]
        (output / "rules" / name).write_text(yaml.safe_dump({"groups": ours}))


def main(rendered, output):
    rendered, output = Path(rendered), Path(output)
    custom, count, dashboards, rules = [], 0, 0, 0
    for path in sorted(rendered.glob("*.yaml")):
        documents = [document for document in yaml.safe_load_all(path.read_text()) if document]
        count += len(documents)
        for document in documents:
            if document["apiVersion"].startswith(CUSTOM):
                custom.append({"file": path.name, "resource": document})
            else:
                validate(path.name, document)
        resources = Resources(path.name, documents)
        resources.check()
        dashboards += resources.check_dashboards()
        for rule in resources.of("PrometheusRule"):
            rules += 1
            groups = rule["spec"]["groups"]
            values = rule_values(path.name)
            changed, expected = overridden(groups, values), expected_changes(values)
            resources.require(changed == expected, f"rules: changed {changed}, expected {expected}")
            write_rules(output, path.name, groups, values)
    check_memory_limit(rendered / "default-values.yaml")
    require(dashboards > 0 and rules > 1, "no values file renders dashboards, or default and other rules")
    (output / "custom.json").write_text(json.dumps(custom))
    for problem in problems:
        print(f"check: {problem}", file=sys.stderr)
    if problems:
        sys.exit(f"check: {len(problems)} problems")
    print(f"{count} resources, valid for Kubernetes {' and '.join(versions())}; {dashboards} dashboards, {rules} rules")


if __name__ == "__main__":
    main(*sys.argv[1:])
