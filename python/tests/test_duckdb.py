"""DuckDB: the tags of `tagbert enrich`, as a function."""

import tempfile
import unittest
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

import rows
import tagbert.duckdb


class DuckDB(unittest.TestCase):
    def setUp(self):
        self.connection = duckdb.connect(config={"threads": 2})
        self.addCleanup(self.connection.close)
        tagbert.duckdb.register(self.connection, rows.MODEL, settings=rows.LIMIT)

    def query(self, sql, **tables):
        for name, table in tables.items():
            self.connection.register(name, table)
        return self.connection.sql(sql).to_arrow_table()

    def test_rows_of_parquet_have_the_tags_of_enrich(self):
        with tempfile.TemporaryDirectory() as folder:
            # More than a vector of DuckDB's, and row groups for two threads.
            pq.write_table(rows.table(5000), Path(folder) / "in.parquet", row_group_size=1500)
            tagged = self.query(f"SELECT *, tag(body) AS tags FROM '{folder}/*.parquet' ORDER BY id")
        # To a function, texts have no column.
        found, expected = rows.tags(tagged), rows.tags(rows.enriched(5000))
        self.assertEqual(*({row: rows.nameless(tag) for row, tag in tags.items()} for tags in (found, expected)))

    def test_a_text_that_cannot_be_tagged_does_not_end_the_query(self):
        texts = rows.table(3).set_column(1, "body", [["ok see you", rows.TOO_LARGE, None]])
        tagged = self.query("SELECT tag(body) AS tags, CASE WHEN tags IS NULL THEN tag_error(body) END AS why FROM t ORDER BY id", t=texts)
        self.assertEqual([tag is None for tag in tagged["tags"].to_pylist()], [False, True, True])
        first, second, third = tagged["why"].to_pylist()
        self.assertEqual((first, third), (None, None))
        self.assertRegex(second, "^DocumentTooLarge: ")

    def test_constants_filters_and_parts_of_tags(self):
        self.assertEqual(self.query("SELECT tag('WIN a FREE prize!!! Click here now').spam.label AS x")["x"].to_pylist(), ["spam"])
        self.assertEqual(self.query("SELECT tag(NULL) AS x")["x"].to_pylist(), [None])
        self.assertEqual(self.query("SELECT tag(body) AS x FROM t WHERE id < 0", t=rows.table(10)).num_rows, 0)
        spam = self.query("SELECT id FROM t WHERE tag(body).spam.label = 'spam' ORDER BY id", t=rows.table())
        expected = [row for row, tag in rows.tags(rows.enriched()).items() if tag and tag["spam"]["label"] == "spam"]
        self.assertEqual(spam["id"].to_pylist(), expected)
        cities = self.query("SELECT e.text AS city FROM (SELECT unnest(tag(body).entities) AS e FROM t) WHERE e.type = 'LOC'", t=rows.table())
        expected = [e["text"] for tag in rows.tags(rows.enriched()).values() if tag for e in tag["entities"] if e["type"] == "LOC"]
        self.assertEqual(sorted(cities["city"].to_pylist()), sorted(expected))

    def test_what_says_nothing_to_a_function_is_refused(self):
        for option in ({"errors": "raise"}, {"flat": True}, {"tags": "x"}, {"text": "body"}):
            self.assertRaises(TypeError, tagbert.duckdb.register, self.connection, rows.MODEL, **option)

    def test_two_calls_of_one_column_have_the_same_tags(self):
        # DuckDB calls for rows of several threads at once.
        twice = self.query("SELECT id, tag(body) AS tags, tag_error(body) AS why, tag(body || '') AS again FROM t", t=rows.table(20000))
        self.assertEqual(rows.tags(twice), rows.tags(twice, "again"))
        self.assertEqual((twice.num_rows, twice["why"].null_count), (20000, 20000))

    def test_several_columns_are_one_text(self):
        one, two = self.query("SELECT tag(concat_ws(E'\\n', NULL, 'Paid in Berlin')) AS x UNION ALL SELECT tag('Paid in Berlin')")["x"].to_pylist()
        self.assertEqual(one, two)


if __name__ == "__main__":
    unittest.main()
