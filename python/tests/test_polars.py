"""Polars: the tags of `tagbert enrich`, of frames and of lazy ones."""

import unittest

import polars as pl

import rows
import tagbert.polars
from tagbert import TagbertError


def tag(frame, **options):
    return tagbert.polars.tag(frame, rows.MODEL, **{"text": "body", "settings": rows.EXACT, **options})


class Polars(unittest.TestCase):
    def setUp(self):
        self.frame = pl.from_arrow(rows.table())
        self.expected = pl.from_arrow(rows.enriched())

    def test_a_frame_has_the_tags_of_enrich(self):
        tagged = tag(self.frame)
        self.assertEqual(tagged.columns, ["id", "body", "about", "tags", "tags_error"])
        self.assertTrue(tagged.drop("tags_error").equals(self.expected))
        self.assertEqual(tagged["tags_error"].null_count(), 300)
        self.assertTrue(tag(self.frame, flat=True, errors="raise").equals(pl.from_arrow(rows.enriched(300, "--flat"))))

    def test_slices_chunks_and_no_rows_at_all(self):
        self.assertTrue(tag(self.frame.slice(7, 50), errors="raise").equals(self.expected.slice(7, 50)))
        chunks = pl.concat([self.frame.slice(0, 10), self.frame.slice(10, 50)], rechunk=False)
        self.assertGreater(chunks.n_chunks(), 1)
        self.assertTrue(tag(chunks, errors="raise").equals(self.expected.slice(0, 60)))
        nothing = tag(self.frame.clear(), errors="raise")
        self.assertEqual((nothing.height, nothing.schema), (0, self.expected.schema))

    def test_categories_and_columns_that_arrow_does_not_know(self):
        frame = self.frame.head(30).with_columns(pl.col("body").cast(pl.Categorical), thing=pl.Series([object()] * 30, dtype=pl.Object))
        tagged = tag(frame)
        self.assertEqual(tagged["tags"].to_list(), self.expected["tags"].head(30).to_list())
        self.assertEqual(tagged["thing"].dtype, pl.Object)

    def test_a_lazy_frame_has_them_whatever_is_asked_of_it(self):
        lazy = tag(self.frame.lazy(), errors="raise")
        self.assertEqual(lazy.collect_schema(), self.expected.schema)
        self.assertTrue(lazy.collect().equals(self.expected))
        # What an optimiser would move before the tags, or leave out.
        self.assertEqual(lazy.select("id").collect().height, 300)
        self.assertTrue(lazy.select("tags").collect().equals(self.expected.select("tags")))
        spam = pl.col("tags").struct.field("spam").struct.field("label") == "spam"
        self.assertTrue(lazy.filter(spam).collect().equals(self.expected.filter(spam)))
        self.assertGreater(self.expected.filter(spam).height, 0)
        self.assertTrue(lazy.head(5).collect().equals(self.expected.head(5)))
        self.assertTrue(lazy.collect(engine="streaming").sort("id").equals(self.expected))

    def test_two_taggers_of_one_lazy_frame_are_two(self):
        lazy = self.frame.lazy()
        two = pl.concat([tag(lazy, tags="one", errors="raise").select("one"), tag(lazy, tags="two", errors="raise").select("two")], how="horizontal")
        self.assertEqual(two.collect().columns, ["one", "two"])

    def test_what_is_wrong_is_said_by_name(self):
        for frame in (self.frame, self.frame.lazy()):
            with self.assertRaisesRegex(TagbertError, "there is a column `about` already"):
                tag(frame, tags="about")
        with self.assertRaisesRegex(TagbertError, "no column `subject`, but id, body, about"):
            tag(self.frame, text="subject")
        with self.assertRaisesRegex(Exception, "no column `subject`"):
            tag(self.frame.lazy(), text="subject").collect()


if __name__ == "__main__":
    unittest.main()
