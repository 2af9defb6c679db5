"""What the chart promises whatever the values, with Helm 3 and 4. Tests are named as what they hold."""

import copy
import json
import re
import tempfile
import unittest
from pathlib import Path

import yaml

from matrix import MATRIX
from tools import CHART, CRDS, HELMS, ROOT, TOOLS, Refused, container, documents, of_kind, pod_template, render, run, set_paths, tool, workload

# The oldest that Chart.yaml admits, and the newest that there is.
KUBERNETES = ("1.29.0", "1.37.0")


def is_part(part, whole):
    return part.items() <= whole.items()


class Matrix(unittest.TestCase):
    """Each of these holds whatever the values."""

    @classmethod
    def setUpClass(cls):
        cls.rendered = {(helm, name): render(values, helm=helm) for helm in HELMS for name, values in MATRIX.items()}

    def each(self):
        for (helm, name), objects in self.rendered.items():
            with self.subTest(helm=helm, values=name):
                yield objects

    def test_every_value_of_the_chart_is_in_the_matrix_and_has_an_effect(self):
        known = set(set_paths(yaml.safe_load((CHART / "values.yaml").read_text())))
        leaves = {path for path in known if not any(other[:len(path)] == path and other != path for other in known)}
        for path in sorted(leaves - self.kept_as_they_are()):
            with self.subTest(".".join(path)):
                tried = [name for name, values in MATRIX.items() if path in set_paths(values)]
                self.assertTrue(any(self.has_effect(path, name) for name in tried), f"of none in {tried}")

    def has_effect(self, path, name):
        """Whether it makes a difference that these values have this one: to what is rendered, or that they are taken."""
        values = copy.deepcopy(MATRIX[name])
        within = values
        for key in path[:-1]:
            within = within[key]
        del within[path[-1]]
        try:
            return render(values) != self.rendered["helm", name]
        except Refused:
            return True

    @staticmethod
    def kept_as_they_are():
        """Rights that a pod does without: the matrix is for `restricted` clusters."""
        return {("podSecurityContext", "runAsNonRoot"), ("podSecurityContext", "seccompProfile", "type"),
                ("securityContext", "allowPrivilegeEscalation"), ("securityContext", "readOnlyRootFilesystem"),
                ("securityContext", "capabilities", "drop")}

    def test_kubernetes_knows_every_field(self):
        manifests = [each for objects in self.rendered.values() for each in objects]
        for version in KUBERNETES:
            # There were no volumes from images before 1.31, and claims of devices had another form before 1.31.
            newer = re.compile('"image": {|"resourceClaims"')
            fit = [each for each in manifests if version != "1.29.0" or not newer.search(json.dumps(each))]
            with tempfile.TemporaryDirectory() as schemas:
                write_schemas(Path(schemas), version, {each["kind"].lower() for each in fit})
                code, out, error = run(
                    tool(TOOLS / "kubeconform"), "-strict", "-summary", "-kubernetes-version", version,
                    "-schema-location", schemas + "/{{ .ResourceKind }}{{ .KindSuffix }}.json",
                    stdin="\n---\n".join(json.dumps(each) for each in fit))
            self.assertEqual(code, 0, out + error)
            self.assertIn(f"{len(fit)} resources found", out)

    def test_both_helms_render_the_same(self):
        for name in MATRIX:
            self.assertEqual(self.rendered["helm", name], self.rendered["helm3", name], name)

    def test_selectors_select_the_pods_and_never_hold_a_version(self):
        for objects in self.each():
            pods = pod_template(workload(objects))["metadata"]["labels"]
            found = []
            for each in objects:
                spec = each.get("spec", {})
                match each["kind"]:
                    case "Service":
                        found.append(spec["selector"])
                    case "Deployment" | "StatefulSet" | "PodDisruptionBudget" | "PodMonitor":
                        found.append(spec["selector"]["matchLabels"])
                    case "NetworkPolicy":
                        found.append(spec["podSelector"]["matchLabels"])
                    case "ServiceMonitor":
                        service = of_kind(objects, "Service")
                        self.assertLessEqual(spec["selector"]["matchLabels"].items(), service["metadata"]["labels"].items())
            for selector in found:
                self.assertTrue(is_part(selector, pods), selector)
                self.assertFalse(any("chart" in key or "version" in key for key in selector), selector)

    def test_the_pod_of_helm_test_is_no_worker_and_goes_where_workers_go(self):
        for objects in self.each():
            check = of_kind(objects, "Pod")
            if check:
                workers = pod_template(workload(objects))["metadata"]["labels"]
                labels = check["metadata"]["labels"]
                self.assertFalse(is_part(workers, labels))
                # A policy of others that lets pods to the brokers by a label, and our own.
                self.assertLessEqual(workers.items() - {("app.kubernetes.io/component", workers["app.kubernetes.io/component"])},
                                     labels.items())
                policy = of_kind(objects, "NetworkPolicy")
                if policy:
                    self.assertTrue(is_part(policy["spec"]["podSelector"]["matchLabels"], labels))

    def test_ports_and_monitors_name_the_same_port(self):
        for objects in self.each():
            ports = [port["name"] for port in container(objects).get("ports", [])]
            for kind, key in (("ServiceMonitor", "endpoints"), ("PodMonitor", "podMetricsEndpoints")):
                monitor = of_kind(objects, kind)
                if monitor and ports:
                    self.assertEqual([each["port"] for each in monitor["spec"][key]], ports)

    def test_pods_have_no_rights_and_write_to_their_cache_alone(self):
        for objects in self.each():
            pod = pod_template(workload(objects))["spec"]
            self.assertIs(pod["automountServiceAccountToken"], False)
            self.assertIs(pod["securityContext"]["runAsNonRoot"], True)
            self.assertEqual(pod["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
            worker = pod["containers"][0]
            self.assertIs(worker["securityContext"]["allowPrivilegeEscalation"], False)
            self.assertIs(worker["securityContext"]["readOnlyRootFilesystem"], True)
            self.assertEqual(worker["securityContext"]["capabilities"], {"drop": ["ALL"]})
            extra = ["/etc/authorities"]
            writable = [each["mountPath"] for each in worker["volumeMounts"] if not each.get("readOnly")]
            self.assertEqual([path for path in writable if path not in extra], ["/var/cache/tagbert"])
            account = of_kind(objects, "ServiceAccount")
            if account:
                self.assertIs(account["automountServiceAccountToken"], False)
                self.assertEqual(account["metadata"]["name"], pod["serviceAccountName"])

    def test_no_user_is_set_so_that_openshift_can(self):
        for name in ("default", "cache-claim", "cache-ephemeral"):
            openshift = render(MATRIX[name], "--api-versions", "security.openshift.io/v1")
            context = pod_template(workload(openshift))["spec"]["securityContext"]
            self.assertEqual(set(context), {"runAsNonRoot", "seccompProfile"}, name)

    def test_a_claim_can_be_written_to_elsewhere(self):
        for name, group in {"cache-claim": 2000, "cache-ephemeral": 65532}.items():
            context = pod_template(workload(self.rendered["helm", name]))["spec"]["securityContext"]
            self.assertEqual(context["fsGroup"], group, name)

    def test_openshift_can_give_a_group_also_to_what_was_rendered_elsewhere(self):
        context = pod_template(workload(self.rendered["helm", "cache-claim-openshift"]))["spec"]["securityContext"]
        self.assertEqual(set(context), {"runAsNonRoot", "seccompProfile"})

    def test_every_volume_and_every_environment_variable_is_there_once(self):
        for objects in self.each():
            pod = pod_template(workload(objects))["spec"]
            volumes = [each["name"] for each in pod["volumes"]]
            self.assertEqual(len(volumes), len(set(volumes)))
            for each in pod["containers"] + pod.get("initContainers", []):
                self.assertLessEqual({mount["name"] for mount in each.get("volumeMounts", [])}, set(volumes))
                names = [variable["name"] for variable in each.get("env", [])]
                self.assertEqual(len(names), len(set(names)), names)

    def test_whole_directories_are_mounted_so_that_changes_are_seen(self):
        for objects in self.each():
            self.assertNotIn("subPath", json.dumps(objects))

    def test_no_number_is_written_as_a_power_of_ten(self):
        for objects in self.each():
            self.assertIsNone(re.search(r"\d[eE][+-]?\d\d\b", json.dumps(objects).replace("0123456789abcdef", "")))

    def test_whoever_scales_is_alone(self):
        for objects in self.each():
            if of_kind(objects, "ScaledObject"):
                self.assertNotIn("replicas", workload(objects)["spec"])
                target = of_kind(objects, "ScaledObject")["spec"]["scaleTargetRef"]
                self.assertEqual((target["kind"], target["name"]),
                                 (workload(objects)["kind"], workload(objects)["metadata"]["name"]))

    def test_names_leave_room_for_what_kubernetes_puts_behind_them(self):
        for kind in ("Deployment", "StatefulSet", "Job", "CronJob"):
            objects = render({"kind": kind, "secretFiles": {"k" * 50: "tagbert"}}, release="r" * 53)
            # Pods' names, and a StatefulSet's revision, are labels: 63 characters. A CronJob adds 11.
            limit = {"Deployment": 52, "StatefulSet": 52, "Job": 63, "CronJob": 52}[kind]
            self.assertLessEqual(len(workload(objects)["metadata"]["name"]), limit, kind)

    def test_the_worker_takes_what_every_pod_tells_it(self):
        worker = tool(ROOT / "target/release/tagbert")
        tried = set()
        for objects in self.each():
            arguments = [each for each in container(objects)["args"] if each.startswith("--set=")]
            config = of_kind(objects, "ConfigMap")["data"]["config.yaml"]
            if (config, *arguments) in tried or container(objects)["args"][0] != "run":
                continue
            tried.add((config, *arguments))
            with tempfile.TemporaryDirectory() as secrets:
                file = Path(secrets) / "config.yaml"
                file.write_text(config)
                (Path(secrets) / "password").write_text("secret")
                # What is elsewhere here: the secrets, and the models of others.
                arguments = [each.replace("/run/secrets/kafka", secrets) for each in arguments
                             if not each.startswith("--set=model.path") and each != "--set=model.device=cuda"]
                code, _, error = run(worker, "tag", "--config", file, *arguments, "--input", "/dev/null")
                self.assertEqual(code, 0, error)


def write_schemas(into, version, kinds):
    """Schemas by which kubeconform finds them: of Kubernetes, from kubernetes-validate, and of ours."""
    site = next((ROOT / ".cache/tools-venv/lib").glob("python3*/site-packages"))
    theirs = tool(site / f"kubernetes_validate/kubernetes-json-schema/v{version}-local-strict")
    definitions = "/api/_definitions.json"
    (into / "_definitions.json").write_text((theirs / "_definitions.json").read_text())
    for path in theirs.glob("*.json"):
        if path.name.split("-")[0] in kinds:
            (into / path.name).write_text(path.read_text().replace(definitions, f"file://{into}/_definitions.json"))
    for crd in (each for path in CRDS for each in documents(path.read_text())):
        spec = crd["spec"]
        name = f"{spec['names']['singular']}-{spec['group'].split('.')[0]}-{spec['versions'][0]['name']}.json"
        (into / name).write_text(json.dumps(strict(spec["versions"][0]["schema"]["openAPIV3Schema"])))


def strict(schema):
    """An OpenAPI schema, in which what is not named is refused, as the server does it."""
    schema = {key: strict(each) if key == "items" else each for key, each in schema.items()}
    if "properties" in schema:
        schema["properties"] = {key: strict(each) for key, each in schema["properties"].items()}
        schema["additionalProperties"] = False
    return schema
