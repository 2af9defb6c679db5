"""Those without Helm have the same."""

import json
import re
import unittest

from tools import CHART, ROOT, TOOLS, documents, of_kind, pod_template, render, run, tool, workload


class Kustomize(unittest.TestCase):
    def build(self, overlay):
        code, out, error = run(tool(TOOLS / "kubectl"), "kustomize", f"deploy/kustomize/overlays/{overlay}")
        self.assertEqual(code, 0, error)
        return documents(out)

    def test_what_is_rendered_from_the_chart_is_up_to_date(self):
        tool(TOOLS / "helm")
        code, out, error = run(ROOT / ".cache/tools-venv/bin/python", "scripts/manifests.py", "--check")
        self.assertEqual(code, 0, out + error)

    def test_overlays_are_what_the_chart_makes_of_the_same_values(self):
        def bare(objects):
            text = json.dumps(pod_template(workload(objects))["spec"]).replace("rel-tagbert", "tagbert")
            return json.loads(re.sub(r"tagbert-[0-9a-z]{10}\b", "tagbert", text))
        for overlay, args in {"cpu": (), "job": ("--set", "kind=Job"), "gpu": ("-f", CHART / "ci/gpu-values.yaml")}.items():
            with self.subTest(overlay):
                ours, charts = self.build(overlay), render({}, *args)
                self.assertEqual(bare(ours), bare(charts))
                self.assertEqual(workload(ours)["spec"].get("strategy"), workload(charts)["spec"].get("strategy"))

    def test_a_change_of_the_configuration_rolls_the_pods(self):
        for overlay in ("cpu", "gpu", "job"):
            objects = self.build(overlay)
            name = of_kind(objects, "ConfigMap")["metadata"]["name"]
            self.assertRegex(name, "^tagbert-[0-9a-z]{10}$")
            self.assertEqual(pod_template(workload(objects))["spec"]["volumes"][0]["configMap"]["name"], name)
