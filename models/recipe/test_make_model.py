"""That make-model.sh stops before it costs hours, and tries out apart: a part of `make lint`. Its stages are stubs here."""

import os
import subprocess
import tempfile
import unittest
from pathlib import Path

RECIPE = Path(__file__).parent
PYTHON = """#!/bin/sh
echo "$@" >>log
case "$*" in *--files) echo "there: $SETS"; [ -n "$SETS" ] ;; esac
"""


class MakeModel(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root = Path(scratch.name)
        for file in ("make-model.sh", "requirements.txt", "splits.tsv", *(path.name for path in RECIPE.glob("*.py"))):
            self.put(f"models/recipe/{file}", (RECIPE / file).read_text(encoding="utf-8"))
        for messages in ("models/messages/chat.jsonl", "models/challenge.jsonl"):
            self.put(messages, "{}")
        for program in ("bin/python3", ".cache/recipe-venv/bin/python", ".cache/recipe-venv/bin/pip"):
            self.put(program, PYTHON)
        self.put("target/release/tagbert", "")
        for model in ("tagbert-small", "tagbert-tiny"):
            self.put(f"models/{model}/README.md", "as committed")

    def put(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)

    def made(self, sets="some", **variables):
        """(exit code, what was said, the stages that ran)"""
        log = self.root / "log"
        log.unlink(missing_ok=True)
        around = {"PATH": f"{self.root}/bin:{os.environ['PATH']}", "SETS": sets, **variables}
        done = subprocess.run(["bash", "models/recipe/make-model.sh"], cwd=self.root, env=around, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr, log.read_text() if log.exists() else ""

    def test_nothing_begins_without_the_worker_or_the_sets_that_were_named(self):
        self.assertEqual(self.made(sets="")[0], 1)
        (self.root / "target/release/tagbert").unlink()
        code, said, ran = self.made()
        self.assertEqual((code, ran), (1, ""))
        self.assertIn("target/release/tagbert", said)

    def test_a_stage_that_is_done_is_not_done_again(self):
        self.assertIn("train.py", self.made()[2])
        code, _, ran = self.made()
        self.assertEqual(code, 0)
        self.assertNotIn("train.py", ran)
        self.assertIn("evaluate.py", ran)

    def test_a_run_of_other_sets_or_minutes_is_not_gone_on_with(self):
        self.made()
        code, said, ran = self.made(sets="some more")
        self.assertEqual(code, 1)
        self.assertIn("there: some more", said)
        self.assertNotIn("train.py", ran)
        self.assertEqual(self.made(MINUTES="2")[0], 0)
        self.assertEqual(self.made(MINUTES="3")[0], 1)

    def test_a_run_of_other_messages_scripts_or_packages_is_not_gone_on_with(self):
        self.made()
        for name in ("models/messages/chat.jsonl", "models/challenge.jsonl", "models/recipe/splits.tsv", "models/recipe/train.py",
                     "models/recipe/sets.py", "models/recipe/augment.py", "models/recipe/requirements.txt"):
            before = (self.root / name).read_text(encoding="utf-8")
            self.put(name, f"{before}# another\n")
            code, said, ran = self.made()
            self.assertEqual(code, 1, name)
            self.assertIn(name, said)
            self.assertNotIn("train.py", ran)
            self.put(name, before)
        self.assertEqual(self.made()[0], 0)

    def test_what_no_stage_that_is_done_reads_may_change(self):
        self.made()
        for name in ("evaluate.py", "quantise.py", "test_sets.py"):
            self.put(f"models/recipe/{name}", "# another\n")
        self.assertEqual(self.made()[0], 0)

    def test_figures_are_read_where_they_were_left(self):
        for variables, folder in (({}, "models/recipe"), ({"MINUTES": "2"}, ".cache/model/trial/figures")):
            ran = self.made(**variables)[2].splitlines()
            for line in ran:
                if "evaluate.py" in line:
                    self.assertIn(f"--figures {folder} ", line)
                if "--keep" in line:
                    self.assertIn(f"--keep {folder}/", line)

    def test_a_trial_leaves_what_is_committed_alone_and_is_no_part_of_a_whole_run(self):
        _, _, ran = self.made(MINUTES="2")
        placed = [line.split("--to ")[1].split()[0] for line in ran.splitlines() if "--to " in line]
        kept = [line.split("--keep ")[1] for line in ran.splitlines() if "--keep " in line]
        self.assertTrue(placed and kept)
        self.assertEqual([path for path in placed + kept if not path.startswith(".cache/model/trial/")], [])
        self.assertEqual((self.root / ".cache/model/trial/models/tagbert-small/README.md").read_text(), "as committed")
        self.assertIn("--minutes 120", self.made()[2])


if __name__ == "__main__":
    unittest.main()
