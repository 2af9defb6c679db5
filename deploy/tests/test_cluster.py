"""What a real API server says to the chart: apply, admission, install, upgrade. Tests are named as what they hold."""

import json
import unittest

from cluster import Cluster
from matrix import KEDA, KEDA_JOB, MATRIX
from tools import CHART, HELMS, ROOT, documents, pod_template, render, run, tool, TOOLS

# What `helm package` made of the chart when 0.2.0 was released.
RELEASED = ROOT / "deploy/tests/released/0.2.0/tagbert-0.2.0.tgz"

SERVICE = {"image": {"tag": "2"}, "config": "batch: {tokens: 1024}", "podLabels": {"team": "nlp"},
           "cache": {"ephemeral": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}}


class OnAServer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = cls.enterClassContext(Cluster())

    def setUp(self):
        # A namespace for each test: nothing of one is in another's way.
        self.namespace = self.id().rsplit(".", 1)[-1].replace("_", "-")[-60:].strip("-")
        self.cluster.apply(self.cluster.namespace(self.namespace))

    def kubectl(self, *args, **options):
        return self.cluster.kubectl("--namespace", self.namespace, *args, **options)

    def get(self, *args):
        return self.cluster.get("--namespace", self.namespace, *args)

    def helm(self, helm, action, values, *args, chart=CHART):
        brokers = {"kafka": {"brokers": "kafka:9092"}}
        what = [] if action == "uninstall" else [chart, "--values", "-"]
        return self.cluster.tool(helm, action, "rel", *what, "--namespace", self.namespace, *args,
                                 stdin=json.dumps({**brokers, **values}))[1]

    def replicas(self):
        return self.get("deployment/rel-tagbert")["spec"]["replicas"]

    def test_the_server_takes_every_object_without_a_warning(self):
        for name, values in MATRIX.items():
            with self.subTest(name):
                warnings = self.cluster.apply(*render(values), args=["--dry-run=server"])
                self.assertNotIn("Warning", warnings)

    def test_restricted_admission_takes_every_pod(self):
        tried = 0
        for name, values in MATRIX.items():
            for each in render(values):
                template = pod_template(each)
                if template:
                    with self.subTest(name, kind=each["kind"]):
                        pod = {"apiVersion": "v1", "kind": "Pod", "spec": template["spec"], "metadata": {
                            "name": "pod", "labels": template["metadata"]["labels"],
                            "annotations": template["metadata"].get("annotations", {})}}
                        self.assertNotIn("Warning", self.cluster.apply(pod, args=["--dry-run=server"]))
                        tried += 1
                if each["kind"] == "ScaledJob":
                    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job"}, "spec": each["spec"]["jobTargetRef"]}
                    self.assertNotIn("Warning", self.cluster.apply(job, args=["--dry-run=server"]))
        self.assertGreater(tried, len(MATRIX))

    def test_restricted_admission_is_on(self):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"},
               "spec": {"containers": [{"name": "a", "image": "a"}]}}
        with self.assertRaisesRegex(AssertionError, "violates PodSecurity"):
            self.cluster.apply(pod, args=["--dry-run=server"])

    def test_an_upgrade_is_never_forbidden(self):
        for helm in HELMS:
            for kind in ("Deployment", "StatefulSet", "Job", "CronJob"):
                with self.subTest(helm=helm, kind=kind):
                    self.helm(helm, "install", {"kind": kind})
                    self.helm(helm, "upgrade", {"kind": kind, **SERVICE})
                    self.helm(helm, "upgrade", {"kind": kind})
                    self.helm(helm, "uninstall", {})
        for helm in HELMS:
            with self.subTest(helm=helm, kind="from one to the next"):
                self.helm(helm, "install", {})
                for kind in ("StatefulSet", "CronJob", "Job", "Deployment"):
                    self.helm(helm, "upgrade", {"kind": kind})
                self.helm(helm, "upgrade", KEDA)
                self.helm(helm, "upgrade", {"kind": "Job", **KEDA_JOB})
                self.helm(helm, "uninstall", {})
                left = self.get("all,configmaps,serviceaccounts,pdb,scaledobjects,scaledjobs,triggerauthentications")["items"]
                self.assertEqual([each["metadata"]["name"] for each in left], [])

    def test_the_last_release_is_upgraded_with_its_values(self):
        settings = {"settings": {"batch.tokens": "16384"}, "secretFiles": {"kafka": "tagbert-kafka"}, "extraArgs": ["--set=cache.size=0"]}
        values = {
            "Deployment": {"keda": KEDA["keda"], "podDisruptionBudget": {"maxUnavailable": 2}},
            "StatefulSet": {"replicaCount": 5, "serviceMonitor": {"enabled": True}, "networkPolicy": {"enabled": True}},
            "CronJob": {"cronJob": {"schedule": "*/15 * * * *"}, "podMonitor": {"enabled": True}},
        }
        for helm in HELMS:
            for kind, own in values.items():
                with self.subTest(helm=helm, kind=kind):
                    self.helm(helm, "install", {"kind": kind, **settings, **own}, chart=RELEASED)
                    before = self.get(f"{kind}/rel-tagbert")
                    self.helm(helm, "upgrade", {}, "--reset-then-reuse-values")
                    after = self.get(f"{kind}/rel-tagbert")
                    self.assertEqual(after["metadata"]["uid"], before["metadata"]["uid"])
                    self.assertIn("--set=batch.tokens=16384", json.dumps(after))
                    self.assertIn("TAGBERT_CPUS", json.dumps(after))
                    self.helm(helm, "uninstall", {})

    def test_helm_4_goes_on_where_helm_3_began(self):
        self.helm("helm3", "install", {})
        self.helm("helm", "upgrade", SERVICE)
        self.assertIn("tagbert:2", json.dumps(self.get("deployments")))

    def test_a_change_is_a_new_job_and_the_same_values_run_nothing_again(self):
        def jobs():
            return {each["metadata"]["name"]: each["metadata"]["uid"] for each in self.get("jobs")["items"]}
        for helm in HELMS:
            with self.subTest(helm):
                self.helm(helm, "install", {"kind": "Job"})
                first = jobs()
                self.helm(helm, "upgrade", {"kind": "Job"})
                self.assertEqual(jobs(), first)
                self.helm(helm, "upgrade", {"kind": "Job", "job": {"run": "again"}})
                self.assertEqual((len(jobs()), set(jobs()) & set(first)), (1, set()))
                self.helm(helm, "uninstall", {})

    def test_an_upgrade_leaves_the_replicas_to_keda_or_to_whoever_else_scales(self):
        for helm in HELMS:
            for scaled in (KEDA, {"replicaCount": None}):
                with self.subTest(helm, values=scaled):
                    self.helm(helm, "install", scaled)
                    self.kubectl("scale", "--replicas=7", "deployment/rel-tagbert")
                    self.helm(helm, "upgrade", {**scaled, **SERVICE})
                    self.assertEqual(self.replicas(), 7)
                    self.helm(helm, "uninstall", {})

    def test_replicas_set_by_others_are_kept_by_helm_4_unless_it_is_forced_and_never_by_helm_3(self):
        for helm in HELMS:
            with self.subTest(helm):
                self.helm(helm, "install", {})
                self.kubectl("scale", "--replicas=7", "deployment/rel-tagbert")
                force = []
                if helm == "helm":
                    with self.assertRaisesRegex(AssertionError, r"(?s)conflict with .+\.spec\.replicas"):
                        self.helm(helm, "upgrade", SERVICE)
                    self.helm(helm, "upgrade", {**SERVICE, "replicaCount": None})
                    self.assertEqual(self.replicas(), 7)
                    force = ["--force-conflicts"]
                self.helm(helm, "upgrade", SERVICE, *force)
                self.assertEqual(self.replicas(), 2)
                self.helm(helm, "uninstall", {})

    def test_keda_is_switched_on_and_off(self):
        for helm in HELMS:
            with self.subTest(helm):
                self.helm(helm, "install", {})
                self.helm(helm, "upgrade", KEDA)
                # As its HorizontalPodAutoscaler does.
                self.kubectl("scale", "--replicas=7", "deployment/rel-tagbert")
                self.helm(helm, "upgrade", {"replicaCount": 3})
                self.assertEqual(self.replicas(), 3)
                self.assertEqual(self.get("scaledobjects")["items"], [])
                self.helm(helm, "uninstall", {})

    def test_what_was_there_before_the_chart_is_updated_by_kustomize(self):
        for kind in ("deployment", "configmap"):
            self.kubectl("apply", "-f", ROOT / f"deploy/tests/released/0.1.0/{kind}.yaml")
        before = self.get("deployment/tagbert")["metadata"]["uid"]
        self.kubectl("apply", "-k", "deploy/kustomize/overlays/cpu")
        after = self.get("deployment/tagbert")
        self.assertEqual(after["metadata"]["uid"], before)
        self.assertNotIn("runAsUser", json.dumps(after["spec"]))

    def test_a_second_job_by_kustomize_takes_the_place_of_the_first(self):
        self.kubectl("apply", "-f", ROOT / "deploy/tests/released/0.1.0/job.yaml")
        manifests = self.kubectl("kustomize", "deploy/kustomize/overlays/job")[1]
        for _ in range(2):
            before = self.get("job/tagbert")["metadata"]["uid"]
            self.kubectl("replace", "--force", "-f", "-", stdin=manifests)
            self.assertNotEqual(self.get("job/tagbert")["metadata"]["uid"], before)

    def test_overlays_are_taken_without_a_warning(self):
        for overlay in ("cpu", "gpu", "job"):
            with self.subTest(overlay):
                code, out, error = run(tool(TOOLS / "kubectl"), "kustomize", f"deploy/kustomize/overlays/{overlay}")
                self.assertEqual(code, 0, error)
                self.assertNotIn("Warning", self.cluster.apply(*documents(out), args=["--dry-run=server"]))

    def test_notes_come_with_an_installation(self):
        notes = self.helm("helm3", "install", {"keda": {"enabled": True, "minReplicaCount": 0}})
        self.assertIn("Look next:", notes)
        self.assertIn("offsets.retention.minutes", notes)


if __name__ == "__main__":
    unittest.main()
