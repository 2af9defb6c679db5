"""That the tables say what they should of bars, students and graphs: a part of `make lint`."""

import sys
import tempfile
import unittest
from pathlib import Path

import corpus
import evaluate

MODELS = evaluate.HERE.parent
WORKER = """#!{python}
import json, sys
source, target = (sys.argv[sys.argv.index(name) + 1] for name in ("--input", "--output"))
with open(target, "w") as file:
    for line in open(source):
        print(json.dumps({{"id": json.loads(line)["id"], "tags": {heads}}}), file=file)
"""


def table(*rows):
    return "\n".join(["| | items | bar | m |", "|---|---|---|---|", "| **Spam, SMS** | | | |", *rows])


class Tables(unittest.TestCase):
    def test_the_last_column_is_read_without_its_interval(self):
        cells = evaluate.card_cells(table("| F1 | 1,116 | ≥ 96 | 93.7 (90.8–96.3) |", "| right | 30 |  | 29 of 30 |", "| none | 3 | 1 |  |"))
        self.assertEqual(cells, {("Spam, SMS", "F1"): "93.7", ("Spam, SMS", "right"): "29 of 30"})
        self.assertEqual([evaluate.value_of(cell) for cell in cells.values()], [0.937, 29 / 30])

    def test_a_student_has_shares_of_its_teachers_figures_for_bars(self):
        bars = evaluate.bars_by({("Spam, SMS", "F1"): "93.7", ("Topic, own messages", "right"): "29 of 30", (evaluate.FILE, evaluate.SIZE): "36.4 MB"})
        self.assertEqual(bars["Spam, SMS", "F1"], "≥ 90.9")
        self.assertEqual(bars["Topic, own messages", "right"], "≥ 28.1")
        self.assertEqual(bars[evaluate.FILE, evaluate.SIZE], "≤ 21.8 MB")

    def test_what_a_student_lacks_is_said(self):
        kept = evaluate.keeps({("Spam, SMS", "F1"): "93.7", ("Spam, mails", "F1"): "96.6"}, {("Spam, SMS", "F1"): "91.0"}, Path("tagbert-tiny"), evaluate.HERE)
        self.assertIn("| Spam, SMS: F1 | 93.7 | 91.0 | ≥ 97 % | 97.1 % |", kept)
        self.assertIn("| Spam, mails: F1 | 96.6 | not measured | ≥ 97 % |  |", kept)

    def test_what_was_measured_is_shown_of_that_graph_alone(self):
        with tempfile.TemporaryDirectory() as folder:
            file, model = Path(folder) / "figures.json", Path(folder) / "tagbert-small"
            model.mkdir()
            (model / "model.onnx").write_bytes(b"one")
            evaluate.record(file, model, {"rows": [1]})
            self.assertEqual(evaluate.recorded(file, model)["rows"], [1])
            (model / "model.onnx").write_bytes(b"another")
            self.assertEqual(evaluate.recorded(file, model), {})
            evaluate.record(file, model, None)
            self.assertEqual(file.read_text(), "{}\n")

    def test_figures_of_a_trial_are_read_where_it_left_them(self):
        with tempfile.TemporaryDirectory() as folder:
            figures, model = Path(folder), Path(folder) / "tagbert-tiny"
            model.mkdir()
            (model / "model.onnx").write_bytes(b"tried out")
            evaluate.record(figures / evaluate.SPEED, model, {"rows": [{"tokens": 128, "documents": [10, 20], "relative": 2.0}]})
            self.assertEqual([row["shown"] for row in evaluate.file_rows(model, figures)], ["0.0 MB", "2.00 ×"])
            self.assertEqual([row["shown"] for row in evaluate.file_rows(model, evaluate.HERE)], ["0.0 MB"])
            self.assertIn("2.00 ×", evaluate.keeps({}, {}, model, figures))


class Worker(unittest.TestCase):
    def asked(self, *heads):
        with tempfile.TemporaryDirectory() as folder:
            worker = Path(folder) / "worker"
            worker.write_text(WORKER.format(python=sys.executable, heads=dict.fromkeys(heads, "")))
            worker.chmod(0o755)
            evaluate.refuse_others(worker, Path("DIR"), None, [{"text": "hello"}, {"text": "there"}])

    def test_a_model_for_other_tasks_is_refused_and_its_heads_are_named(self):
        with self.assertRaisesRegex(corpus.Failure, "DIR has none of topic, spam, entities; it has stars, tone"):
            self.asked("tone", "stars")
        self.asked("spam", "tone")


class Cards(unittest.TestCase):
    def test_bars_and_what_is_kept_follow_from_the_tables_of_both(self):
        teacher, student = (table_of(name, "evaluation") for name in ("tagbert-small", "tagbert-tiny"))
        tiny = MODELS / "tagbert-tiny"
        kept = evaluate.keeps(evaluate.card_cells(teacher), evaluate.card_cells(student), tiny, evaluate.HERE)
        self.assertEqual(table_of("tagbert-tiny", "kept"), f"{kept}\n")
        for written, bars in ((teacher, evaluate.BARS["tagbert-small"]), (student, evaluate.bars_by(evaluate.card_cells(teacher)))):
            self.assertEqual(bars_of(written), {key: bar for key, bar in bars.items() if key in evaluate.card_cells(written)})


def table_of(model, marker):
    return evaluate.between((MODELS / model / "README.md").read_text(encoding="utf-8"), marker)


def bars_of(written):
    found, section = {}, None
    for line in written.splitlines()[2:]:
        name, _, _, bar, _ = (cell.strip() for cell in line.strip("|").split("|"))
        if name.startswith("**"):
            section = name.strip("*")
        elif bar:
            found[section, name] = bar
    return found


if __name__ == "__main__":
    unittest.main()
