"""What can be seen of deploy/compose.yaml without Docker: its images are never pulled here."""

import json
import os
import re
import tempfile
import unittest
from pathlib import Path

import jsonschema
import yaml

from tools import ROOT, TOOLS, program, run, tool

COMPOSE = ROOT / "deploy/compose.yaml"


class Compose(unittest.TestCase):
    def setUp(self):
        self.compose = yaml.safe_load(COMPOSE.read_text())
        self.services = self.compose["services"]

    def test_it_is_what_the_compose_specification_allows(self):
        schema = json.loads(tool(TOOLS / "compose-spec.json").read_text())
        validator = jsonschema.validators.validator_for(schema)(schema)
        self.assertEqual([error.message for error in validator.iter_errors(self.compose)], [])

    def test_what_is_waited_for_is_there_and_comes_to_an_end(self):
        for name, service in self.services.items():
            for other, how in dict.fromkeys(service.get("depends_on", {}), {}).items():
                self.assertIn(other, self.services, name)
                how = service["depends_on"][other] if isinstance(service["depends_on"], dict) else how
                if how.get("condition") == "service_healthy":
                    self.assertIn("healthcheck", self.services[other], name)
                if how.get("condition") == "service_completed_successfully":
                    self.assertNotIn("restart", self.services[other], name)

    def test_what_starts_is_what_the_documents_pass_through_and_who_watches(self):
        started = {name for name, service in self.services.items() if not service.get("profiles")}
        self.assertEqual(started, {"kafka", "topics", "tagbert", "documents", "results", "prometheus"})
        for name in started:
            self.assertLessEqual(set(self.services[name].get("depends_on", {})), started, name)

    def test_it_says_which_compose_it_takes(self):
        # Contents in `configs` came with it.
        self.assertTrue(any("content" in each for each in self.compose["configs"].values()))
        self.assertIn("Docker Compose 2.23.1 or later", COMPOSE.read_text())

    def test_images_have_a_version_and_ports_stay_on_this_machine(self):
        for name, service in self.services.items():
            self.assertRegex(service["image"], r":v?\d+(\.\d+)+$", name)
            for port in service.get("ports", []):
                self.assertTrue(port.startswith("127.0.0.1:"), name)

    def test_records_outlive_the_container(self):
        kafka = self.services["kafka"]
        volumes = dict(each.split(":") for each in kafka["volumes"])
        self.assertIn(kafka["environment"]["KAFKA_LOG_DIRS"], volumes.values())
        self.assertLessEqual(volumes.keys(), self.compose["volumes"].keys())

    def test_it_takes_no_files_but_those_that_the_image_is_made_of(self):
        # A release has this file, and not all that is around it in the repository.
        self.assertFalse(self.compose.keys() & {"include", "secrets"})
        for name, service in self.services.items():
            self.assertFalse(service.keys() & {"env_file", "extends", "label_file", "secrets"}, name)
            for volume in service.get("volumes", []):
                self.assertIn(volume.split(":")[0], self.compose["volumes"], name)
        self.assertEqual([name for name, each in self.compose["configs"].items() if "file" in each], [])
        self.assertEqual([name for name, each in self.services.items() if "build" in each], ["tagbert"])

    def test_topics_are_those_of_the_configuration(self):
        production = yaml.safe_load((ROOT / "configs/production.yaml").read_text())
        made = re.search(r"for topic in (.+); do", self.services["topics"]["command"][0])[1].split()
        output = production["output"]
        self.assertEqual(made, [*production["input"]["topics"], output["topic"], output["dead_letters"]])
        self.assertIn(output["topic"], self.services["results"]["command"])

    def test_the_worker_has_time_to_drain_and_no_rights(self):
        worker = self.services["tagbert"]
        production = yaml.safe_load((ROOT / "configs/production.yaml").read_text())
        seconds = [int(each.removesuffix("s")) for each in (worker["stop_grace_period"], production["shutdown"]["timeout"])]
        self.assertGreater(*seconds)
        self.assertEqual((worker["read_only"], worker["cap_drop"]), (True, ["ALL"]))
        self.assertTrue((COMPOSE.parent / worker["build"]["context"] / worker["build"]["dockerfile"]).exists())

    def test_the_worker_takes_its_environment_and_tags_these_documents(self):
        worker = tool(ROOT / "target/release/tagbert")
        script = self.services["documents"]["command"][0]
        documents = re.search(r"<<'END'\n(.+)\nEND", script, re.S)[1]
        code, out, error = run(worker, "tag", "--config", "configs/production.yaml",
                               stdin=documents + "\n", env={**os.environ, **self.services["tagbert"]["environment"]})
        self.assertEqual(code, 0, error)
        self.assertEqual([json.loads(line)["id"] for line in out.splitlines()], ["1", "2", "3"])

    def test_prometheus_takes_its_configuration(self):
        promtool = program("promtool")
        with tempfile.TemporaryDirectory() as home:
            file = Path(home) / "prometheus.yml"
            file.write_text(self.compose["configs"]["prometheus"]["content"])
            code, out, error = run(promtool, "check", "config", file)
            self.assertEqual(code, 0, out + error)


if __name__ == "__main__":
    unittest.main()
