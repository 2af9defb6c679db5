"""That a slip in TAGBERT_DATA is told of, and what counts as alike: a part of `make lint`."""

import os
import tempfile
import unittest
from pathlib import Path
from unittest.mock import patch

import corpus
import sets
import splits


def alike(*texts):
    groups = splits.groups_of([sets.comparable({"text": text}) for text in texts])
    return sorted(len(group) for group in groups)


class Sets(unittest.TestCase):
    def test_a_folder_that_is_not_there_or_has_no_set_is_an_error(self):
        with tempfile.TemporaryDirectory() as folder:
            for named in (folder, f"{folder}/nowhere"):
                with patch.dict(os.environ, TAGBERT_DATA=named), self.assertRaisesRegex(corpus.Failure, named):
                    sets.given_folder()
            (Path(folder) / "FIN5.txt").touch()
            with patch.dict(os.environ, TAGBERT_DATA=folder):
                self.assertEqual(sets.given_folder(), Path(folder))

    def test_texts_without_words_are_like_their_equals_alone(self):
        self.assertEqual(alike("🔥🔥🔥", "💀💀", "💀💀"), [1, 2])

    def test_figures_are_alike(self):
        self.assertEqual(alike("your code is 4711 now", "your code is 2390 now", "see you at five then"), [1, 2])


if __name__ == "__main__":
    unittest.main()
