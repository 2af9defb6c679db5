"""That a slip in TAGBERT_DATA is told of, what counts as alike, and which of those that are is left: a part of `make lint`."""

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


def row(name, split, text="so glad to be at home in Leeds again"):
    source = {"wnut17": "wnut", "emerging-dev": "wnut"}.get(name.split("/")[0], name.split("/")[0])
    return {"id": name, "source": source, "split": split, "text": text}


def left(*rows):
    """(id, split) of the rows that are divided; all are alike unless they say otherwise."""
    kept = sets.divided(rows)
    assert not sets.straddling(kept)
    return [(row["id"], row["split"]) for row in kept]


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

    def test_what_is_tested_on_is_neither_learnt_nor_looked_at(self):
        self.assertEqual(left(row("btc-h/1", "test"), row("tweets/1", "train"), row("ewt/1", "dev")), [("btc-h/1", "test")])
        self.assertEqual(left(row("tweets/1", "test"), row("wnut17/1", "train"), row("tweets/2", "dev")), [("tweets/1", "test")])

    def test_a_tweet_of_dev_is_learnt_from_no_set(self):
        alike = row("tweets/1", "dev"), row("wnut17/1", "train"), row("btc-a/1", "train"), row("tweets/2", "train")
        self.assertEqual(left(*alike), [("tweets/1", "dev")])

    def test_a_sentence_of_another_dev_part_gives_way_to_what_is_learnt(self):
        self.assertEqual(left(row("ewt/1", "dev"), row("wikigold/1", "train")), [("wikigold/1", "train")])

    def test_a_tweet_that_two_sets_mark_is_learnt_once(self):
        self.assertEqual(left(row("tweets/1", "train"), row("wnut17/1", "train")), [("wnut17/1", "train")])
        self.assertEqual(left(row("tweets/1", "train"), row("emerging-dev/1", "train")), [("tweets/1", "train"), ("emerging-dev/1", "train")])

    def test_what_is_alike_in_two_parts_is_noticed(self):
        self.assertEqual(len(sets.straddling([row("tweets/1", "dev"), row("wnut17/1", "train"), row("ewt/1", "train", "another text")])), 1)


if __name__ == "__main__":
    unittest.main()
