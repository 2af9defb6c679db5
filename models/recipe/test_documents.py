"""That documents to calibrate by are read as meant, or refused: a part of `make lint`."""

import tempfile
import unittest
from pathlib import Path

import documents


def read(*lines):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "documents"
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return documents.read(path)


class Documents(unittest.TestCase):
    def test_plain_lines_and_json_lines_are_texts(self):
        self.assertEqual(read("hello", '{"text": "you"}', '{"subject": "a", "body": "b"}', ""), (["hello", "you", "a\nb"], []))

    def test_json_without_a_text_is_left_out_and_its_keys_are_told(self):
        found = read('{"message": "hello", "id": 1}', '{"text": null, "subject": ""}', '{"text": 5}', "there")
        self.assertEqual(found, (["there"], ["id", "message", "subject", "text"]))

    def test_a_plain_line_that_begins_as_json_does_is_a_text(self):
        self.assertEqual(read("{sigh} not again", "{}x"), (["{sigh} not again", "{}x"], []))

    def test_exactly_as_many_as_asked_for_are_taken_from_end_to_end(self):
        for total, count in [(1199, 600), (600, 600), (601, 600), (10, 3)]:
            taken = documents.spread(list(range(total)), count)
            self.assertEqual(len(taken), count)
            self.assertEqual(taken, sorted(set(taken)))
            self.assertLess(total - taken[-1], 2 * total / count + 1)

    def test_fewer_than_asked_for_are_all_taken(self):
        self.assertEqual(documents.spread([1, 2], 600), [1, 2])
        self.assertEqual(documents.spread([], 600), [])


if __name__ == "__main__":
    unittest.main()
