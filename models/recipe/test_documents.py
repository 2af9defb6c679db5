"""That documents to calibrate by are read as meant, or refused: a part of `make lint`."""

import tempfile
import unittest
from contextlib import contextmanager
from pathlib import Path

import documents


@contextmanager
def written(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "documents"
        path.write_bytes(content)
        yield path


def read(*lines, encoding="utf-8"):
    with written("".join(f"{line}\n" for line in lines).encode(encoding)) as path:
        return documents.read(path)


class Documents(unittest.TestCase):
    def test_plain_lines_and_json_lines_are_texts(self):
        self.assertEqual(read("hello", '{"text": "you"}', '{"subject": "a", "body": "b"}', ""), (["hello", "you", "a\nb"], []))

    def test_json_without_a_text_is_left_out_and_its_keys_are_told(self):
        found = read('{"message": "hello", "id": 1}', '{"text": null, "subject": ""}', '{"text": 5}', "there")
        self.assertEqual(found, (["there"], ["id", "message", "subject", "text"]))

    def test_a_plain_line_that_begins_as_json_does_is_a_text(self):
        self.assertEqual(read("{sigh} not again", "{}x"), (["{sigh} not again", "{}x"], []))

    def test_a_mark_at_the_beginning_is_no_part_of_the_first_document(self):
        self.assertEqual(read('{"text": "hello"}', encoding="utf-8-sig"), (["hello"], []))
        self.assertEqual(read("hello", encoding="utf-8-sig"), (["hello"], []))

    def test_json_that_is_not_a_document_a_line_is_refused_with_what_makes_it_so(self):
        for begin, remedy in (("[", r"'\.\[\]'"), ('[{"text": "a"}, {"text": "b"}]', r"'\.\[\]'"), ('[ {"text": "a"},', r"'\.\[\]'"), ("{", r"'\.'")):
            with self.assertRaisesRegex(documents.Refused, remedy):
                read("", begin, '  {"text": "hello"}')
        self.assertEqual(read("[1] so it is said", "[", "{")[0], ["[1] so it is said", "[", "{"])

    def test_another_encoding_is_refused_with_what_makes_it_utf_8(self):
        for encoding, named in (("latin-1", "LATIN1"), ("utf-16", "UTF-16")):
            with self.assertRaisesRegex(documents.Refused, f"not UTF-8 .*iconv -f {named} "):
                read("grüezi", encoding=encoding)

    def test_a_file_that_is_not_there_and_a_folder_are_refused_by_name(self):
        with written(b"") as path:
            with self.assertRaisesRegex(documents.Refused, f"{path.parent} is a folder"):
                documents.read(path.parent)
            with self.assertRaisesRegex(documents.Refused, f"{path}2: No such file"):
                documents.read(Path(f"{path}2"))

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
