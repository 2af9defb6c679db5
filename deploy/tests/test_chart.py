"""What the chart makes of some values. Tests are named as what they hold."""

import copy
import json
import re
import unittest

import yaml

from matrix import CONFIG, KEDA, MATRIX, POD
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
        def told(values):
            objects = render(values)
            names = [each["name"] for each in container(objects)["env"]]
            brokers = of_kind(objects, "ConfigMap")["data"].get("KAFKA_BOOTSTRAP_SERVERS")
            self.assertEqual("KAFKA_BOOTSTRAP_SERVERS" in names, brokers is not None)
            return brokers
        # The variable beats the file: what only the worker can look up must not get into it.
        for config in (CONFIG, "kafka.brokers: ${BROKERS}", "kafka: {brokers: '${file:/run/secrets/brokers}'}"):
            self.assertIsNone(told({"kafka": {"brokers": ""}, "config": config}), config)
            self.assertEqual(told({"kafka": {"brokers": "mine:1"}, "config": config}), "mine:1")
        self.refuses({"kafka": {"brokers": ""}}, "kafka.brokers: say where Kafka is")

    def test_what_keda_must_know_and_only_the_pod_does_is_refused_with_where_to_say_it(self):
        for config, words in (
            ("kafka.brokers: ${BROKERS}", ("kafka.brokers: ${BROKERS}", "set kafka.brokers")),
            ("kafka: {brokers: 'k:1', group: '${GROUP:-a}'}", ("kafka.group: ${GROUP:-a}", "set settings: {kafka.group")),
            ("{kafka.brokers: 'k:1', input.topics: [a, 'b-${STAGE}']}", ("input.topics: b-${STAGE}", "set keda.topics")),
            ("{kafka.brokers: 'k:1', input.start: '${START}'}", ("input.start: ${START}", "set settings")),
        ):
            values = {"kafka": {"brokers": ""}, "config": config}
            render(values)
            self.refuses({**values, "keda": {"enabled": True}}, *words)
        self.refuses({"keda": {"enabled": True}, "settings": {"kafka.group": "$(GROUP)"}}, "kafka.group: $(GROUP)")

    def test_keda_is_asked_for_topics_by_their_names_and_never_for_a_pattern(self):
        for values in ({"config": "input: {topics: [a, '^logs[.].*']}"}, {"settings": {"input.topics": "[^logs]"}}):
            self.refuses({**values, "keda": {"enabled": True}}, "^logs", "patterns", "keda.topics")
        self.refuses({"keda": {"enabled": True, "topics": ["^logs"]}}, "^logs", "keda.topics")
        objects = render({"config": "input.topics: ['^logs[.].*']", "keda": {"enabled": True, "topics": ["logs.a", "logs.b"]}})
        triggers = of_kind(objects, "ScaledObject")["spec"]["triggers"]
        self.assertEqual([each["metadata"]["topic"] for each in triggers], ["logs.a", "logs.b"])

    def test_keda_starts_nothing_that_leaves_its_lag_as_it_is(self):
        # A job with --from, --to or --group commits in another group than KEDA looks at: new jobs for ever.
        for kind in ("Deployment", "Job"):
            for arguments in (["--from", "2h"], ["--from=2h"], ["--to", "2h"], ["--group", "other"]):
                self.refuses({"kind": kind, "keda": {"enabled": True}, "extraArgs": arguments}, "keda", "extraArgs", arguments[0])
            self.refuses({"kind": kind, "keda": {"enabled": True}, "args": ["enrich"]}, "keda", "args")
        render({"kind": "Job", "keda": {"enabled": True}, "extraArgs": ["--max-dead", "9"]})

    def test_a_service_is_given_nothing_that_ends(self):
        # Kubernetes would start it again, for ever.
        for kind in ("Deployment", "StatefulSet"):
            for arguments in (["--until-end"], ["--from", "2h"], ["--from=2h"], ["--to", "2h"], ["--max-dead", "9"], ["--manifest=/m"]):
                for where, values in (("extraArgs", {"extraArgs": arguments}), ("args", {"args": ["run", "--config", "/c", *arguments]})):
                    self.refuses({"kind": kind, **values}, f"kind: {kind}: {where}: {arguments[0]}: ", "set kind=Job or kind=CronJob")
            self.refuses({"kind": kind, "args": ["enrich", "--input", "/a"]}, f"kind: {kind}: args: enrich: ", "set kind=Job or kind=CronJob")
            render({"kind": kind, "args": ["run", "--config", "/c"], "extraArgs": ["--set=kafka.properties.client.id=--from"]})

    def test_a_job_takes_all_that_ends_and_is_told_once(self):
        for kind in ("Job", "CronJob"):
            # The worker refuses an option that is there twice.
            for arguments in (["--until-end"], ["--from", "2h", "--max-dead", "9"]):
                self.assertEqual(container(render({"kind": kind, "extraArgs": arguments}))["args"].count("--until-end"), 1)
            render({"kind": kind, "args": ["enrich", "--input", "/a"]})

    def test_what_the_chart_must_know_is_refused_where_it_does_not_look(self):
        for key, variable, where in (
            ("kafka.brokers", "TAGBERT__KAFKA__BROKERS", "kafka.brokers"),
            ("http.listen", "TAGBERT__HTTP__LISTEN", "http.port"),
            ("kafka.group", "TAGBERT__KAFKA__GROUP", "settings: {kafka.group"),
            ("shutdown.timeout", "TAGBERT__SHUTDOWN__TIMEOUT", "settings: {shutdown.timeout"),
            ("input.topics", "TAGBERT__INPUT__TOPICS", "settings: {input.topics"),
            ("kafka.properties.auto.offset.reset", "tagbert__KAFKA__PROPERTIES__AUTO__OFFSET__RESET", "settings"),
        ):
            for arguments in ([f"--set={key}=1"], ["--set", "batch.tokens=1", "--set", f"{key}=1"]):
                self.refuses({"extraArgs": arguments}, f"extraArgs: --set {key}", where)
            self.refuses({"extraEnv": [{"name": variable, "value": "1"}]}, f"extraEnv: {variable}", where)
        for key, where in (("kafka.brokers", "kafka.brokers"), ("http.listen", "http.port")):
            self.refuses({"settings": {key: "a:1"}}, f"settings: {key}", where)
        self.refuses({"extraEnv": [{"name": "KAFKA_BOOTSTRAP_SERVERS", "value": "a:1"}]}, "extraEnv: KAFKA_BOOTSTRAP_SERVERS")
        render({"extraArgs": ["--set", "batch.tokens=1", "--set=cache.size=0"],
                "extraEnv": [{"name": "TAGBERT__BATCH__WAIT", "value": "1ms"}]})

    def test_keda_is_given_no_secret_in_its_metadata(self):
        for key in ("password", "keyPassword", "key", "awsSecretAccessKey"):
            self.refuses({"keda": {"enabled": True, "triggerMetadata": {key: "hunter2"}}}, key, "keda.secretTargetRef")

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

    def test_labels_and_annotations_of_others_beat_ours_and_each_is_there_once(self):
        for mine in ("false", ""):
            annotations = pod_template(workload(render({"podAnnotations": {"prometheus.io/scrape": mine}})))["metadata"]["annotations"]
            self.assertEqual((annotations["prometheus.io/scrape"], annotations["prometheus.io/port"]), (mine, "8080"))
        for values in ({"serviceMonitor": {"enabled": True, "labels": {"app.kubernetes.io/instance": "prometheus"}}},
                       {"podMonitor": {"enabled": True, "labels": {"app.kubernetes.io/instance": "prometheus"}}}):
            objects = render(values)
            monitor = of_kind(objects, "ServiceMonitor") or of_kind(objects, "PodMonitor")
            self.assertEqual(monitor["metadata"]["labels"]["app.kubernetes.io/instance"], "prometheus")
            self.assertEqual(monitor["metadata"]["labels"]["app.kubernetes.io/name"], "tagbert")
            self.assertEqual(monitor["spec"]["selector"]["matchLabels"]["app.kubernetes.io/instance"], "rel")
        check = of_kind(render({"podLabels": {"app.kubernetes.io/version": "mine"}}), "Pod")
        self.assertEqual(check["metadata"]["labels"]["app.kubernetes.io/version"], "mine")
        for selector, spread in ((None, {"app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component"}), ({}, set())):
            values = {"topologySpreadConstraints": [{"maxSkew": 1, "labelSelector": selector}]}
            constraint = pod_template(workload(render(values)))["spec"]["topologySpreadConstraints"][0]
            self.assertEqual(set(constraint["labelSelector"].get("matchLabels", {})), spread)
        init = pod_template(workload(render(MATRIX["said-again"])))["spec"]["initContainers"][0]
        self.assertEqual(init["volumeMounts"], [{"name": "model", "mountPath": "/models"}])

    def test_names_that_are_numbers_are_texts_as_labels(self):
        for each in render({"nameOverride": "007"}, release="2024"):
            template = pod_template(each)
            for labels in (each["metadata"]["labels"], template["metadata"]["labels"] if template else {}):
                self.assertEqual({key: value for key, value in labels.items() if not isinstance(value, str)}, {})
                self.assertIn(labels.get("app.kubernetes.io/instance"), (None, "2024"))

    def test_what_pods_are_found_and_rolled_by_is_the_charts_own(self):
        for key in ("app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component"):
            for kind in ("Deployment", "StatefulSet", "Job", "CronJob"):
                self.refuses({"kind": kind, "podLabels": {key: "mine"}}, f"podLabels: {key}: ", "leave it out")
        self.refuses({"podAnnotations": {"checksum/config": "mine"}}, "podAnnotations: checksum/config: ", "leave it out")

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

    def test_a_name_that_the_configuration_gives_to_members_is_not_beaten_by_ours(self):
        for config in ("kafka.properties.group.instance.id: eu-${POD_NAME}", "kafka: {properties: {group.instance.id: 'eu-${POD_NAME}'}}"):
            self.assertNotIn("group.instance.id", json.dumps(container(render({"kind": "StatefulSet", "config": config}))["args"]))
        # One name for all of them is none.
        one = render({"kind": "StatefulSet", "config": "kafka.properties.group.instance.id: laptop"})
        self.assertIn("--set=kafka.properties.group.instance.id=$(POD_NAME)", container(one)["args"])
        variable = {"name": "TAGBERT__KAFKA__PROPERTIES__GROUP__INSTANCE__ID", "value": "eu-$(POD_NAME)"}
        self.refuses({"kind": "StatefulSet", "extraEnv": [variable]}, f"extraEnv: {variable['name']}", "set settings")

    def test_pods_that_do_not_know_their_name_are_not_told_to_use_it(self):
        # It would stay `$(POD_NAME)`, and all of them one member of the group.
        key, text = "kafka.properties.group.instance.id", "eu-$(POD_NAME)"
        known = {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
        asks = {"name": "TAGBERT__KAFKA__PROPERTIES__CLIENT__ID", "value": "$(POD_NAME)"}
        for kind in ("Deployment", "Job", "CronJob"):
            for where, values in ((f"settings: {key}: ", {"settings": {key: text}}),
                                  ("extraArgs: ", {"extraArgs": ["--set", f"{key}={text}"]}),
                                  ("args: ", {"args": ["run", f"--set={key}={text}"]})):
                self.refuses({"kind": kind, **values}, where, "set kind: StatefulSet", "POD_NAME in extraEnv")
                given = render({"kind": kind, **values, "extraEnv": [known, asks]})
                self.assertIn(text, json.dumps(container(given)["args"]))
            self.refuses({"kind": kind, "extraEnv": [asks]}, f"extraEnv: {asks['name']}: ", "set kind: StatefulSet")
            render({"kind": kind, "settings": {key: "eu-$$(POD_NAME)"}})
        render({"kind": "StatefulSet", "extraEnv": [asks]})
        for kind in ("Deployment", "StatefulSet"):
            # Kubernetes looks at those before it alone.
            self.refuses({"kind": kind, "extraEnv": [asks, known]}, f"extraEnv: {asks['name']}: ", "before this")
            self.refuses({"kind": kind, "config": f"kafka: {{properties: {{group.instance.id: {text}}}}}"}, "config: ", "write ${POD_NAME}")
            render({"kind": kind, "config": f"# {text}\nbatch: {{tokens: 1}}"})

    def test_a_job_that_is_changed_is_another_one_and_else_the_same(self):
        def name(**values):
            return workload(render({"kind": "Job", **values}))["metadata"]["name"]
        first = name()
        self.assertEqual(name(), first)
        others = [name(image={"tag": "2"}), name(config="batch: {tokens: 1024}"), name(job={"run": "again"}),
                  name(job={"parallelism": 2}), name(extraArgs=["--max-dead", "5"])]
        self.assertEqual(len({first, *others}), 6)

    def test_a_job_stays_until_it_is_asked_for_again(self):
        # Once it is gone, the next upgrade would run it again.
        def spec(**values):
            each = workload(render({"kind": "Job", **values}))["spec"]
            return each.get("jobTargetRef", each)
        self.assertNotIn("ttlSecondsAfterFinished", spec())
        self.assertNotIn("activeDeadlineSeconds", spec())
        self.assertEqual(spec(keda={"enabled": True})["ttlSecondsAfterFinished"], 86400)
        for values in ({}, {"keda": {"enabled": True}}):
            self.assertEqual(spec(job={"ttlSecondsAfterFinished": 0}, **values)["ttlSecondsAfterFinished"], 0)
        self.assertEqual(spec(job={"activeDeadlineSeconds": 0})["activeDeadlineSeconds"], 0)

    def test_jobs_of_keda_have_nothing_that_is_of_no_effect(self):
        for key, value in {"minReplicaCount": 0, "cooldownPeriod": 300, "fallback": {"failureThreshold": 3, "replicas": 4},
                           "behavior": {"scaleDown": {}}}.items():
            self.refuses({"kind": "Job", "keda": {"enabled": True, key: value}}, f"keda.{key}", "leave it out")
        self.refuses({"kind": "Job", "keda": {"enabled": True}, "job": {"run": "again"}}, "job.run", "leave it out")
        annotations = workload(render(MATRIX["keda-job"]))["metadata"]["annotations"]
        self.assertEqual(annotations, {"owner": "nlp", "autoscaling.keda.sh/paused": "false"})

    def test_values_without_effect_are_refused(self):
        for kind in ("Deployment", "StatefulSet", "CronJob"):
            self.refuses({"kind": kind, "job": {"run": "again"}}, "job.run: ", kind, "leave it out")
        for kind in ("Deployment", "StatefulSet"):
            for key in ("activeDeadlineSeconds", "ttlSecondsAfterFinished"):
                self.refuses({"kind": kind, "job": {key: 0}}, f"job.{key}: ", kind, "leave it out")
        for kind in ("Job", "CronJob"):
            self.refuses({"kind": kind, "updateStrategy": {"type": "Recreate"}}, "updateStrategy: ", f"a {kind} ", "leave it out")
            self.refuses({"kind": kind, "podDisruptionBudget": {"minAvailable": 0}}, "minAvailable: ", f"a {kind} ", "leave it out")
        for kind in ("Deployment", "StatefulSet", "Job"):
            for clock in ({"timeZone": "Europe/Berlin"}, {"suspend": True}):
                self.refuses({"kind": kind, "cronJob": clock}, f"cronJob.{list(clock)[0]}: ", f"a {kind} ", "leave it out")
        enrich = {"kind": "Job", "args": ["enrich", "--input", "/models"]}
        self.refuses({**enrich, "settings": {"model.path": "/m"}}, "settings: model.path: args ", "--set=model.path=")
        self.refuses({**enrich, "model": {"path": "hf://acme/tagger"}}, "model.path: hf://acme/tagger: args ", "--set=model.path=")
        self.refuses({**enrich, "podMonitor": {"enabled": True}}, "podMonitor: args: ", "leave one of them out")
        self.refuses({"args": ["run"], "serviceMonitor": {"enabled": True}}, "serviceMonitor: args: ", "leave one of them out")
        self.refuses({"model": {"path": "/a"}, "settings": {"model.path": "/b"}}, "settings: model.path: ", "leave one of them out")
        self.refuses({"serviceAccount": {"create": False, "name": "theirs", "annotations": {"a": "b"}}},
                     "serviceAccount.annotations: ", "theirs", "leave them out")
        # There it says where the claim is mounted.
        render({**enrich, "model": {"path": "/models", "existingClaim": "models"}})

    def test_the_worker_is_told_of_the_cores_that_it_has_asked_for(self):
        def told(**resources):
            env = {each["name"]: each for each in container(render({"resources": resources}))["env"]}
            return env.get("TAGBERT_CPUS", {}).get("valueFrom")
        requested = {"resourceFieldRef": {"resource": "requests.cpu"}}
        self.assertEqual(told(), requested)
        self.assertEqual(told(requests={"cpu": "500m"}), requested)
        # A limit the worker sees by itself.
        self.assertIsNone(told(limits={"cpu": 4}))
        self.assertIsNone(told(requests={"cpu": None}))

    def test_an_upgrade_leaves_replicas_alone_that_others_set(self):
        for kind in ("Deployment", "StatefulSet"):
            self.assertEqual(workload(render({"kind": kind}))["spec"]["replicas"], 2)
            self.assertNotIn("replicas", workload(render({"kind": kind, "replicaCount": None}))["spec"])

    def test_an_update_needs_no_gpu_to_spare(self):
        gpu = {"resources": {"limits": {"nvidia.com/gpu": 1}}}
        for resources in (gpu["resources"], {"limits": {"amd.com/gpu": 1}}, {"requests": {"gpu.intel.com/i915": 1}},
                          {"claims": [{"name": "gpu"}]}):
            strategy = workload(render({"resources": resources}))["spec"]["strategy"]
            self.assertEqual(strategy["rollingUpdate"], {"maxSurge": 0, "maxUnavailable": 1}, resources)
        ordinary = {"resources": {"limits": {"ephemeral-storage": "1Gi", "hugepages-2Mi": "4Mi", "memory": "1Gi"}}}
        self.assertNotIn("strategy", workload(render(ordinary))["spec"])
        self.assertNotIn("strategy", workload(render({}))["spec"])
        recreate = workload(render({**gpu, "updateStrategy": {"type": "Recreate"}}))["spec"]["strategy"]
        self.assertEqual(recreate, {"type": "Recreate"})

    def test_a_budget_never_keeps_a_node_from_being_drained(self):
        for replicas in (1, 2):
            budget = of_kind(render({"replicaCount": replicas}), "PodDisruptionBudget")["spec"]
            self.assertEqual((budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]), (1, "AlwaysAllow"))
        for values in ({"replicaCount": 1, "podDisruptionBudget": {"minAvailable": 1}},
                       {"replicaCount": 3, "podDisruptionBudget": {"minAvailable": 3}},
                       {"replicaCount": 3, "podDisruptionBudget": {"minAvailable": "67%"}},
                       {"replicaCount": None, "podDisruptionBudget": {"minAvailable": "100%"}},
                       {"keda": {"enabled": True, "minReplicaCount": 0}, "podDisruptionBudget": {"minAvailable": 1}},
                       {"keda": {"enabled": True}, "podDisruptionBudget": {"minAvailable": "50%"}}):
            self.refuses(values, "podDisruptionBudget.minAvailable", "drained")
        for most in (0, "0%"):
            self.refuses({"podDisruptionBudget": {"maxUnavailable": most}}, "podDisruptionBudget.maxUnavailable", "drained")
        for values in ({"replicaCount": 3, "podDisruptionBudget": {"minAvailable": "66%"}},
                       {"replicaCount": None, "podDisruptionBudget": {"minAvailable": 3}},
                       {"podDisruptionBudget": {"minAvailable": 1, "maxUnavailable": 0}},
                       {"podDisruptionBudget": {"maxUnavailable": "10%"}}):
            render(values)

    def test_helm_test_waits_for_no_gpu_and_ends_in_a_mesh(self):
        def check(**values):
            return of_kind(render(values), "Pod")
        values = {name: POD[name] for name in ("resources", "resourceClaims", "podLabels")}
        pod = check(**values, kind="Job", extraArgs=["--max-dead", "5", "--set", "cache.size=0"], podAnnotations={"mesh": "ours"})
        worker = pod["spec"]["containers"][0]
        self.assertEqual(worker["resources"], {"requests": {"cpu": 4, "memory": "2Gi"}, "limits": {"memory": "2Gi"}})
        self.assertNotIn("resourceClaims", pod["spec"])
        self.assertEqual(worker["args"][-3:], ["--set", "cache.size=0", "--set=model.device=cpu"])
        self.assertNotIn("--max-dead", worker["args"])
        self.assertLessEqual({"mesh": "ours", "sidecar.istio.io/inject": "false"}.items(), pod["metadata"]["annotations"].items())
        self.assertEqual(pod["metadata"]["labels"]["team"], "nlp")
        self.assertNotIn("--set=model.device=cpu", check()["spec"]["containers"][0]["args"])

    def test_an_init_container_may_have_another_user_and_no_other_rights(self):
        init = pod_template(workload(render(MATRIX["model-init"])))["spec"]["initContainers"][0]["securityContext"]
        self.assertEqual(init.pop("runAsUser"), 65532)
        self.assertEqual(init, container(render({}))["securityContext"])

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
        for start, policy in {"latest": "latest", "earliest": "earliest", "2h ago": "earliest", "2026-11-01T00:00:00Z": "earliest"}.items():
            found = triggers({"keda": {"enabled": True}, "config": f"input: {{start: {start}}}"})
            self.assertEqual(found[0]["offsetResetPolicy"], policy, start)

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
                             ({"keda": {"lagThreshold": "many"}}, "lagThreshold"), ({"replicaCount": "2"}, "replicaCount"),
                             # The server refuses these.
                             ({"livenessProbe": {"successThreshold": 2}}, "successThreshold"),
                             ({"startupProbe": {"successThreshold": 2}}, "successThreshold"),
                             ({"readinessProbe": {"terminationGracePeriodSeconds": 5}}, "terminationGracePeriodSeconds")):
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

    def test_dns_is_let_through_also_where_its_pods_listen_on_5353(self):
        policy = of_kind(render(MATRIX["all-deployment"]), "NetworkPolicy")["spec"]
        self.assertEqual(policy["policyTypes"], ["Ingress", "Egress"])
        ports = [{"port": port, "protocol": protocol} for port in (53, 5353) for protocol in ("UDP", "TCP")]
        self.assertIn({"ports": ports}, policy["egress"])
        closed = of_kind(render(MATRIX["network-closed"]), "NetworkPolicy")["spec"]
        self.assertEqual(closed["policyTypes"], ["Ingress"])

    def test_extra_environment_beats_ours(self):
        env = container(render({"extraEnv": [{"name": "HF_HOME", "value": "/elsewhere"}]}))["env"]
        self.assertEqual([each["value"] for each in env if each["name"] == "HF_HOME"], ["/elsewhere"])

    @staticmethod
    def notes(values):
        values = json.dumps({"kafka": {"brokers": "kafka:9092"}, **values})
        code, out, error = run(
            tool(TOOLS / "helm"), "install", "rel", CHART, "--dry-run=client", "--values", "-", stdin=values)
        assert code == 0, error
        return out.split("NOTES:")[1]

    def test_notes_say_what_to_look_at_next(self):
        notes = self.notes({})
        self.assertIn("tagbert reads documents on kafka:9092 as group tagbert, and writes documents.tagged.", notes)
        self.assertIn("port-forward deployment/rel-tagbert 8080", notes)
        self.assertIn("helm test rel", notes)
        self.assertIn("offsets.retention.minutes", self.notes({"keda": {"enabled": True, "minReplicaCount": 0}}))

    def test_notes_name_the_brokers_that_keda_would_look_for_in_its_own_namespace(self):
        def named(brokers, keda=None, **values):
            notes = self.notes({"kafka": {"brokers": brokers}, "keda": {"enabled": True, **(keda or {})}, **values})
            found = re.findall("KEDA looks (.+) up from its own namespace, .+: call it (.+) in (.+)[.]", notes)
            self.assertEqual("advertised.listeners" in notes, bool(found))
            return found
        kafka = ("kafka:9092", "kafka.default.svc:9092", "kafka.brokers")
        self.assertEqual(named("kafka:9092, other"), [kafka, ("other", "other.default.svc", "kafka.brokers")])
        self.assertEqual(named("", config="kafka.brokers: [a.b:1, kafka:9092]"), [kafka])
        where = "keda.triggerMetadata.bootstrapServers"
        self.assertEqual(named("a.b:1", {"triggerMetadata": {"bootstrapServers": "kafka:9092"}}), [(*kafka[:2], where)])
        for brokers in ("kafka.nlp.svc:9092,k.example.org:9093", "10.0.0.1:9092", "[::1]:9092", "localhost:9092"):
            self.assertEqual(named(brokers), [], brokers)
        told = {"triggerMetadata": {"bootstrapServers": "kafka.nlp:9092"}}
        self.assertEqual(named("kafka:9092", told), [])
        self.assertNotIn("KEDA looks", self.notes({}))

    def test_notes_refuse_nothing_that_the_worker_takes(self):
        config = "{kafka: {brokers: '${BROKERS}', group: 7}, input: {topics: [mails, 2026]}, output.topic: 1e3}"
        notes = self.notes({"kafka": {"brokers": ""}, "config": config})
        self.assertIn("reads mails, its input.topics on ${BROKERS} as group its kafka.group, and writes its output.topic.", notes)

    def test_notes_find_each_secret_that_is_none_and_no_other(self):
        config = """
kafka.properties: {sasl.password: hunter2, ssl.key.pem: hunter2, ssl.key.location: /a, sasl.oauthbearer.token.endpoint.url: b}
registry: {password: hunter2, token: "${REGISTRY_TOKEN}"}
http.token: ${file:/run/secrets/token}
redact: [{what: [mail], key: hunter2}]
batch.tokens: 512
"""
        notes = self.notes({"config": config, "settings": {"kafka.properties.sasl.oauthbearer.client.secret": "hunter2"},
                            "extraArgs": ["--set", "kafka.properties.ssl.key.password=hunter2", "--set=batch.tokens=1"]})
        self.assertEqual(sorted(re.findall("(.+) stands in a ConfigMap", notes)), [f"  {key}" for key in (
            "kafka.properties.sasl.oauthbearer.client.secret", "kafka.properties.sasl.password",
            "kafka.properties.ssl.key.password", "kafka.properties.ssl.key.pem", "redact[0].key", "registry.password")])
        self.assertNotIn("hunter2", notes)

    def test_notes_find_secrets_in_the_environment(self):
        told = [{"name": name, "value": "hunter2"} for name in ("TAGBERT__KAFKA__PROPERTIES__SASL__PASSWORD", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN")]
        kept = [{"name": "TAGBERT__HTTP__TOKEN_FILE", "value": "/run/secrets/http/token"}, {"name": "RUST_LOG", "value": "info"},
                {"name": "AWS_WEB_IDENTITY_TOKEN_FILE", "value": "/var/run/token"}, {"name": "EMPTY_TOKEN"},
                {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}}]
        notes = self.notes({"extraEnv": told + kept})
        self.assertEqual(re.findall("extraEnv: (.+) stands in", notes), [one["name"] for one in told])
        self.assertNotIn("hunter2", notes)
