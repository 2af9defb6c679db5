"""What the chart makes of some values. Tests are named as what they hold."""

import copy
import json
import re
import unittest

import yaml

from matrix import CONFIG, KEDA, MATRIX
from tools import CHART, HELMS, ROOT, TOOLS, Refused, container, of_kind, pod_template, render, run, set_paths, tool, workload


class Chart(unittest.TestCase):
    """What the chart does with some values."""

    def refuses(self, values, *words, **options):
        with self.assertRaises(Refused) as refused:
            render(values, **options)
        for word in words:
            self.assertIn(word, str(refused.exception))

    def test_lint_finds_nothing(self):
        for helm in HELMS:
            for values in ["/dev/null", *(CHART / "ci").glob("*.yaml")]:
                code, out, error = run(tool(TOOLS / helm), "lint", "--strict", CHART, "--values", values)
                self.assertEqual(code, 0, out + error)

    def test_it_is_the_worker_of_the_same_version(self):
        cargo = re.search(r'^version = "(.+)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
        chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
        self.assertEqual((chart["version"], chart["appVersion"]), (cargo, cargo))

    def test_versions_of_providers_are_admitted(self):
        for version in ("v1.29.3-eks-adc7111", "v1.33.1-gke.1107000", "v1.30.4+k3s1"):
            render({}, "--kube-version", version)
        with self.assertRaises(Refused):
            render({}, "--kube-version", "v1.28.9")

    def test_the_workers_file_comes_to_the_pod_byte_for_byte(self):
        text = "# 007 ü\n\nkafka: {brokers: a:1, client.id: 007}\n\tx: |\n   no\n".replace("\t", "")
        for config in (text, text.rstrip("\n"), "  \n" + text, CONFIG):
            objects = render({"config": config})
            self.assertEqual(of_kind(objects, "ConfigMap")["data"]["config.yaml"], config)
        # Without the line that tells editors where its schema is.
        line, production = (ROOT / "configs/production.yaml").read_text().split("\n", 1)
        self.assertTrue(line.startswith("# yaml-language-server:"))
        self.assertEqual(of_kind(render({}), "ConfigMap")["data"]["config.yaml"], production)

    def test_a_configuration_that_helm_would_read_first_is_refused(self):
        self.refuses({"config": {"kafka": {"group": 7}}}, "config: give the worker's file as text", "--set-file")
        self.refuses({"settings": {"batch.tokens": 512}}, "settings", "string")
        self.refuses({"config": "a: [", "kafka": {"brokers": ""}}, "config: no YAML")
        # The worker's group is 0123, and Helm's would be 83.
        for config in ("kafka: {group: 0123}", "kafka.group: 1e3", "input: {topics: [mails, 2026]}"):
            self.refuses({"config": config, "keda": {"enabled": True}}, "in quotes")

    def test_a_change_of_the_configuration_rolls_the_pods_and_nothing_else_does(self):
        def annotations(values, *args):
            return pod_template(workload(render(values, *args)))["metadata"]["annotations"]
        first = annotations({})
        self.assertNotEqual(annotations({"config": "batch: {tokens: 1024}"}), first)
        self.assertNotEqual(annotations({"kafka": {"brokers": "elsewhere:9092"}}), first)
        self.assertEqual(annotations({"replicaCount": 7}), first)
        self.assertEqual(annotations({}, "--kube-version", "v1.30.0"), first)

    def test_brokers_of_the_file_are_not_hidden(self):
        for values, brokers in (({"kafka": {"brokers": ""}, "config": CONFIG}, "kafka-0:9093,kafka-1:9093"),
                                ({"kafka": {"brokers": "mine:1"}, "config": CONFIG}, "mine:1")):
            self.assertEqual(of_kind(render(values), "ConfigMap")["data"]["KAFKA_BOOTSTRAP_SERVERS"], brokers)
        self.refuses({"kafka": {"brokers": ""}}, "kafka.brokers: say where Kafka is")

    def test_a_pod_has_more_time_than_its_worker_takes_to_drain(self):
        def grace(config, **values):
            return pod_template(workload(render({"config": config, **values})))["spec"]["terminationGracePeriodSeconds"]
        for timeout, seconds in {"30s": 60, "2m": 150, "1m 30s": 120, "1h": 3630, "500ms": 31, "45 seconds": 75}.items():
            self.assertEqual(grace(f"shutdown: {{timeout: {timeout}}}"), seconds, timeout)
            self.assertEqual(grace(f"shutdown.timeout: {timeout}"), seconds, timeout)
        self.assertEqual(grace("{}"), 60)
        self.assertEqual(grace("{}", settings={"shutdown.timeout": "5m"}), 330)
        self.assertEqual(grace("{}", terminationGracePeriodSeconds=0), 0)
        self.refuses({"config": "shutdown: {timeout: soon}"}, "shutdown.timeout: soon")

    def test_probes_stop_no_worker_that_loads_or_waits(self):
        worker = container(render({}))
        # /readyz says no while a model loads, and until there are partitions. What is asked before a restart is /livez.
        self.assertEqual(worker["startupProbe"]["httpGet"]["path"], "/livez")
        self.assertEqual(worker["livenessProbe"]["httpGet"]["path"], "/livez")
        self.assertEqual(worker["readinessProbe"]["httpGet"]["path"], "/readyz")
        self.assertGreaterEqual(worker["startupProbe"]["periodSeconds"] * worker["startupProbe"]["failureThreshold"], 600)
        self.assertGreaterEqual(worker["livenessProbe"]["periodSeconds"] * worker["livenessProbe"]["failureThreshold"], 60)
        for kind in ("Job", "CronJob"):
            self.assertNotIn("readinessProbe", container(render({"kind": kind})))

    def test_members_of_a_statefulset_are_static(self):
        worker = container(render({"kind": "StatefulSet"}))
        self.assertIn("--set=kafka.properties.group.instance.id=$(POD_NAME)", worker["args"])
        self.assertIn({"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}, worker["env"])
        ours = container(render({"kind": "StatefulSet", "settings": {
            "kafka.properties.group.instance.id": "eu-$(POD_NAME)"}}))
        self.assertEqual([each for each in ours["args"] if "instance" in each],
                         ["--set=kafka.properties.group.instance.id=eu-$(POD_NAME)"])
        for kind in ("Deployment", "Job"):
            self.assertNotIn("group.instance.id", json.dumps(container(render({"kind": kind}))))

    def test_a_job_that_is_changed_is_another_one_and_else_the_same(self):
        def name(**values):
            return workload(render({"kind": "Job", **values}))["metadata"]["name"]
        first = name()
        self.assertEqual(name(), first)
        others = [name(image={"tag": "2"}), name(config="batch: {tokens: 1024}"), name(job={"run": "again"}),
                  name(job={"parallelism": 2}), name(extraArgs=["--max-dead", "5"])]
        self.assertEqual(len({first, *others}), 6)

    def test_an_update_needs_no_gpu_to_spare(self):
        gpu = {"resources": {"limits": {"nvidia.com/gpu": 1}}}
        self.assertEqual(workload(render(gpu))["spec"]["strategy"]["rollingUpdate"], {"maxSurge": 0, "maxUnavailable": 1})
        self.assertNotIn("strategy", workload(render({}))["spec"])
        recreate = workload(render({**gpu, "updateStrategy": {"type": "Recreate"}}))["spec"]["strategy"]
        self.assertEqual(recreate, {"type": "Recreate"})

    def test_a_budget_never_keeps_a_node_from_being_drained(self):
        for replicas in (1, 2):
            budget = of_kind(render({"replicaCount": replicas}), "PodDisruptionBudget")["spec"]
            self.assertEqual((budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]), (1, "AlwaysAllow"))
        for values in ({"replicaCount": 1, "podDisruptionBudget": {"minAvailable": 1}},
                       {"replicaCount": 3, "podDisruptionBudget": {"minAvailable": 3}},
                       {"keda": {"enabled": True, "minReplicaCount": 0}, "podDisruptionBudget": {"minAvailable": 1}}):
            self.refuses(values, "podDisruptionBudget.minAvailable", "drained")

    def test_lag_is_asked_for_as_the_worker_reads(self):
        def triggers(values):
            return [each["metadata"] for each in of_kind(render(values), "ScaledObject")["spec"]["triggers"]]
        for metadata in triggers(MATRIX["keda-config"]):
            self.assertEqual(metadata["consumerGroup"], "0123")
            self.assertEqual(metadata["offsetResetPolicy"], "latest")
            self.assertEqual(metadata["bootstrapServers"], "kafka-0:9093,kafka-1:9093")
        self.assertEqual([each["topic"] for each in triggers(MATRIX["keda-config"])], ["mails", "news"])
        settings = {"input.topics": "[a, 'b']", "kafka.group": "g", "kafka.properties.auto.offset.reset": "end"}
        found = triggers({"keda": {"enabled": True}, "settings": settings})
        self.assertEqual([each["topic"] for each in found], ["a", "b"])
        self.assertEqual({(each["consumerGroup"], each["offsetResetPolicy"]) for each in found}, {("g", "latest")})
        self.assertEqual(triggers(KEDA)[0]["lagThreshold"], "1000000")
        self.assertEqual(triggers({"keda": {"enabled": True}})[0]["offsetResetPolicy"], "earliest")

    def test_what_contradicts_itself_is_refused(self):
        self.refuses({"kind": "CronJob", "keda": {"enabled": True}}, "CronJob", "keda.enabled")
        self.refuses({"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}}, "choose one")
        self.refuses({"kind": "Job", "serviceMonitor": {"enabled": True}}, "podMonitor")
        self.refuses({"model": {"path": "/models", "existingClaim": "a", "image": {"reference": "b"}}}, "choose one")
        self.refuses({"model": {"existingClaim": "a"}}, "model.path")
        self.refuses({"cache": {"existingClaim": "a", "ephemeral": {"accessModes": ["ReadWriteOnce"]}}}, "choose one")
        self.refuses({"keda": {"enabled": True, "triggerMetadata": {
            "limitToPartitionsWithLag": "true", "allowIdleConsumers": "true"}}}, "choose one")

    def test_a_value_that_is_misspelt_is_refused_by_its_name(self):
        for values, name in (({"replicas": 2}, "replicas"), ({"image": {"repo": "x"}}, "repo"), ({"kind": "DaemonSet"}, "kind"),
                             ({"keda": {"lagThreshold": "many"}}, "lagThreshold"), ({"replicaCount": "2"}, "replicaCount")):
            self.refuses(values, name)

    def test_null_takes_a_default_away_or_is_refused_by_its_name(self):
        defaults = yaml.safe_load((CHART / "values.yaml").read_text())
        everything = {"kafka": {"brokers": "k:1"}, "cache": {"sizeLimit": "1Gi"}, "podDisruptionBudget": {"minAvailable": 1},
                      "serviceMonitor": {"enabled": True}, "networkPolicy": {"enabled": True}, "keda": {"enabled": True, "minReplicaCount": 2}}
        for path in sorted(set(set_paths(defaults))):
            for kind in ("Deployment", "CronJob") if path[0] in ("job", "cronJob") else ("Deployment",):
                with self.subTest(path=path, kind=kind):
                    values = {"kind": kind, **({} if kind == "CronJob" else copy.deepcopy(everything))}
                    values.setdefault("kafka", {"brokers": "k:1"})
                    below = values
                    for key in path[:-1]:
                        below = below.setdefault(key, {})
                    below[path[-1]] = None
                    try:
                        self.assertNotRegex(json.dumps(render(values)), r"%!|<nil>")
                    except Refused as refused:
                        self.assertIn(path[-1], str(refused))
                        self.assertNotRegex(str(refused), "nil pointer|wrong type|error calling")

    def test_dns_is_let_through(self):
        policy = of_kind(render(MATRIX["all-deployment"]), "NetworkPolicy")["spec"]
        self.assertEqual(policy["policyTypes"], ["Ingress", "Egress"])
        self.assertIn({"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}, policy["egress"])
        closed = of_kind(render(MATRIX["network-closed"]), "NetworkPolicy")["spec"]
        self.assertEqual(closed["policyTypes"], ["Ingress"])

    def test_extra_environment_beats_ours(self):
        env = container(render({"extraEnv": [{"name": "HF_HOME", "value": "/elsewhere"}]}))["env"]
        self.assertEqual([each["value"] for each in env if each["name"] == "HF_HOME"], ["/elsewhere"])

    def test_notes_say_what_to_look_at_next(self):
        helm = tool(TOOLS / "helm")
        def notes(*args):
            code, out, error = run(helm, "install", "rel", CHART, "--dry-run=client", "--set", "kafka.brokers=kafka:9092", *args)
            self.assertEqual(code, 0, error)
            return out.split("NOTES:")[1]
        self.assertIn("port-forward deployment/rel-tagbert 8080", notes())
        self.assertIn("helm test rel", notes())
        self.assertIn("offsets.retention.minutes", notes("--set", "keda.enabled=true,keda.minReplicaCount=0"))
        secret = notes("--set-string", r"settings.kafka\.properties\.sasl\.password=hunter2")
        self.assertIn("kafka.properties.sasl.password stands in a ConfigMap", secret)
        self.assertNotIn("hunter2", secret)
