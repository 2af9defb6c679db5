"""That no leg of training goes on with, or is taken for, what was begun otherwise: a part of `make lint`."""

import argparse
import tempfile
import unittest
from pathlib import Path

import legs


def options(**given):
    usual = {"start": Path("a"), "minutes": 40.0, "rate": 1e-4, "rounded": 1.0, "rest": 1.0, "every": 8, "processes": 2, "videos": [], "to": Path("b")}
    return argparse.Namespace(**{**usual, **given})


class Legs(unittest.TestCase):
    def test_every_option_that_changes_the_result_tells_a_run_from_another(self):
        usual = legs.begun_as(options())
        others = {"start": Path("c"), "student": Path("c"), "teacher": Path("c"), "minutes": 41, "rate": 2e-4, "rounded": 0.5,
                  "rest": 0.3, "every": 99, "processes": 4, "videos": ["01-psy"]}
        for name, value in others.items():
            self.assertEqual(legs.differences(usual, legs.begun_as(options(**{name: value}))).split(":")[0], name)
        self.assertEqual(legs.differences(usual, legs.begun_as(options(to=Path("c"), minutes=40))), "")

    def test_a_run_of_before_an_option_was_noted_is_another(self):
        self.assertEqual(legs.differences({"rate": 1}, {"rate": 1, "rest": 0.3}), "rest: was not noted, is 0.3")

    def test_a_leg_is_gone_on_with_only_as_it_was_begun(self):
        with tempfile.TemporaryDirectory() as folder:
            weights, note, graph = Path(folder) / "trained", Path(folder) / "tagger-without-01-psy.json", Path(folder) / "graph"
            weights.mkdir()

            def begin(of, **more):
                (weights / "model.safetensors").write_bytes(of)
                legs.begin(note, {"minutes": "3.0", "videos": ["02"], **legs.weights_of(weights), **more}, graph)

            begin(b"one")
            graph.touch()
            begin(b"one")
            with self.assertRaisesRegex(SystemExit, r"model\.safetensors: was .*remove .*/tagger-without-01-psy\*"):
                begin(b"another")
            with self.assertRaisesRegex(SystemExit, "minutes: was 3.0, is 4.0"):
                begin(b"one", minutes="4.0")
            note.unlink()
            with self.assertRaisesRegex(SystemExit, "minutes: was not noted"):
                begin(b"one")


if __name__ == "__main__":
    unittest.main()
