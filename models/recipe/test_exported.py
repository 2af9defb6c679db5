"""That exports are read as the worker reads them, and int8 is compared with fp32 by what comes out: a part of `make lint`."""

import json
import tempfile
import unittest
from pathlib import Path

import exported
from documents import Refused


class Files(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)

    def put(self, name, content):
        (self.folder / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")

    def test_what_is_no_graph_is_refused_with_what_to_do(self):
        with self.assertRaisesRegex(Refused, "neither .*/onnx/model.onnx nor .*/model.onnx is there: `optimum-cli export"):
            exported.graph_in(self.folder)
        (self.folder / "model.onnx").mkdir()
        with self.assertRaisesRegex(Refused, "is there"):
            exported.graph_in(self.folder)
        (self.folder / "model.onnx").rmdir()
        self.put("model.onnx", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
        with self.assertRaisesRegex(Refused, "model.onnx is a Git LFS pointer.*git lfs pull"):
            exported.graph_in(self.folder)
        self.put("model.onnx", "a graph")
        self.assertEqual(exported.graph_in(self.folder), self.folder / "model.onnx")

    def test_no_text_is_longer_than_the_model_has_positions_for(self):
        for config, tokenizer, tokens in (
            ({}, {}, 512),
            ({"max_position_embeddings": 4096}, {}, 512),
            ({"max_position_embeddings": 128}, {}, 128),
            ({"model_type": "bert", "max_position_embeddings": 514, "pad_token_id": 1}, {}, 512),
            ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, {}, 512),
            ({"model_type": "roberta", "max_position_embeddings": 130}, {}, 128),
            ({"model_type": "camembert", "max_position_embeddings": 130, "pad_token_id": 0}, {}, 129),
            ({"max_position_embeddings": 512}, {"model_max_length": 256}, 256),
            ({"max_position_embeddings": 512}, {"model_max_length": 1e30}, 512),
        ):
            self.put("config.json", config)
            self.put("tokenizer_config.json", tokenizer)
            self.assertEqual(exported.longest(self.folder), tokens, config)

    def test_a_file_that_is_no_json_is_refused_by_name(self):
        self.put("config.json", "{")
        with self.assertRaisesRegex(Refused, "config.json is no JSON"):
            exported.longest(self.folder)

    def test_outputs_are_read_as_config_or_heads_say(self):
        self.assertEqual(exported.readings(self.folder), {None: (None, 1.0)})
        self.put("config.json", {"problem_type": "regression"})
        self.assertEqual(exported.readings(self.folder), {None: ("regression", 1.0)})
        self.put("config.json", {"architectures": ["BertForTokenClassification"], "problem_type": "regression"})
        self.assertEqual(exported.readings(self.folder), {None: ("token-classification", 1.0)})
        self.put("heads.json", {"heads": [
            {"name": "a", "kind": "token-classification", "output": "x"},
            {"name": "b", "kind": "text-classification", "output": "y", "problem_type": "regression", "temperature": 2.0},
        ]})
        found = exported.readings(self.folder)
        self.assertEqual((found["x"], found["y"]), (("token-classification", 1.0), ("regression", 2.0)))


class Comparisons(unittest.TestCase):
    def compared(self, exact, coarse, kind=None, temperature=1.0):
        own = exported.Comparison(kind, temperature)
        own.add(exact, coarse)
        return own

    def test_the_best_label_counts_where_one_is_given(self):
        own = self.compared([[1, 2, 0]] * 40, [[1, 2, 0]] * 39 + [[3, 2, 0]])
        self.assertEqual(list(own.lines()), ["97.5 % of 40 labels are those of fp32"])
        self.assertFalse(own.is_coarse())
        self.assertTrue(self.compared([[1, 2]] * 40, [[1, 2]] * 37 + [[2, 1]] * 3).is_coarse())

    def test_of_a_handful_of_labels_no_percentage_is_told(self):
        self.assertEqual(list(self.compared([[1, 2]] * 29, [[1, 2]] * 28 + [[2, 1]]).lines()), ["28 of 29 labels are those of fp32"])

    def test_of_several_labels_each_is_compared(self):
        own = self.compared([[1, -1, 1, -1]] * 10, [[2, -1, -1, -1]] * 10, "multi_label_classification")
        self.assertEqual(list(own.lines()), ["75.0 % of 40 labels are those of fp32", "10 of 20 labels that either gives are given by both"])
        self.assertTrue(own.is_coarse())

    def test_one_logit_is_a_yes_or_no_whose_scores_are_compared(self):
        own = self.compared([[0.0], [100.0], [-1000.0]], [[1.0], [100.0], [-1000.0]])
        self.assertEqual(list(own.lines())[0], "2 of 3 labels are those of fp32")
        self.assertEqual(list(own.lines())[-1], "3 scores differ from fp32's by 0.077 in the mean, by 0.231 at most")
        self.assertTrue(own.is_coarse())
        milder = self.compared([[0.0]], [[1.0]], temperature=100)
        self.assertIn("by 0.0025 at most", list(milder.lines())[-1])

    def test_numbers_are_compared_as_they_are_and_by_their_range(self):
        exact = [[1.0], [3.0], [5.0]]
        near, far = ([[value + off] for (value,) in exact] for off in (0.1, 0.3))
        own = self.compared(exact, near, "regression")
        self.assertEqual(list(own.lines()), ["3 numbers (by fp32 1 to 5) differ from fp32's by 0.1 in the mean, by 0.1 at most"])
        self.assertFalse(own.is_coarse())
        self.assertTrue(self.compared(exact, far, "regression").is_coarse())
        self.assertFalse(self.compared([[1.0]], [[9.0]], "regression").is_coarse())


if __name__ == "__main__":
    unittest.main()
