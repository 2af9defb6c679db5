"""Spark, with two Python workers at once: the tags of `tagbert enrich`."""

import os
import sys
import tempfile
import unittest
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

import rows
import tagbert.spark
from tagbert import TagbertError


class Spark(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        os.environ["PYSPARK_PYTHON"] = sys.executable
        os.environ["PYTHONPATH"] = str(Path(__file__).parent)
        builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
        builder = builder.config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1")
        builder = builder.config("spark.ui.showConsoleProgress", "false").config("spark.sql.shuffle.partitions", "4").config("spark.sql.execution.arrow.maxRecordsPerBatch", "100")
        cls.spark = builder.getOrCreate()
        cls.spark.sparkContext.setLogLevel("ERROR")
        cls.folder = tempfile.TemporaryDirectory()
        cls.path = f"{cls.folder.name}/in"
        os.mkdir(cls.path)
        for part in range(4):
            pq.write_table(rows.table(1200).slice(part * 300, 300), f"{cls.path}/{part}.parquet")

    @classmethod
    def tearDownClass(cls):
        cls.spark.stop()
        cls.folder.cleanup()

    def tag(self, frame, **options):
        return tagbert.spark.tag(frame, rows.MODEL, **{"text": "body", "settings": rows.EXACT, **options})

    def test_rows_of_parquet_have_the_tags_of_enrich(self):
        read = self.spark.read.parquet(self.path).repartition(4)
        tagged = self.tag(read)
        self.assertEqual(tagged.columns, ["id", "body", "about", "tags", "tags_error"])
        self.assertEqual(tagged.schema["tags"].dataType.simpleString(), schema_of_enrich(self.spark, self.folder.name))
        # By Spark itself, and back.
        tagged.write.parquet(f"{self.folder.name}/out")
        table = pq.read_table(f"{self.folder.name}/out")
        self.assertEqual(rows.tags(table), rows.tags(rows.enriched(1200)))
        self.assertEqual(table.column("tags_error").null_count, 1200)
        self.assertEqual(rows.tags(table, "about"), rows.tags(rows.table(1200), "about"))

    def test_a_worker_loads_the_model_once_and_has_the_cores_of_a_task(self):
        where = lambda batches: ((os.getpid(), len(_models()), sum(1 for _ in tagbert.Tagger(rows.MODEL, text="body", settings={"model.sessions": 1, "model.threads": 1}).stream(batches)), len(_models())) for _ in [0])
        read = self.spark.read.parquet(self.path).repartition(8)
        self.tag(read, settings={"model.sessions": 1}).count()

        def look(batches):
            for seen in where(batches):
                yield pa.record_batch({name: [value] for name, value in zip(("pid", "before", "batches", "after"), seen)})

        seen = read.mapInArrow(look, "pid long, before long, batches long, after long").collect()
        self.assertEqual(len(seen), 8)
        self.assertTrue(all(row.after == 1 for row in seen), seen)
        self.assertLessEqual(len({row.pid for row in seen}), 2, seen)

    def test_empty_partitions_large_types_and_columns_that_are_never_null(self):
        read = self.spark.read.parquet(self.path)
        few = self.spark.createDataFrame([(1, "ok see you"), (2, None)], "id long not null, body string").repartition(5)
        self.assertEqual(self.tag(few).count(), 2)
        self.assertEqual(self.tag(read.where("id < 0")).collect(), [])
        self.assertFalse(self.tag(few).schema["id"].nullable)
        self.spark.conf.set("spark.sql.execution.arrow.useLargeVarTypes", "true")
        try:
            large = {row.id: row.tags and row.tags.asDict(recursive=True) for row in self.tag(read).select("id", "tags").collect()}
        finally:
            self.spark.conf.unset("spark.sql.execution.arrow.useLargeVarTypes")
        self.assertEqual(large, rows.tags(rows.enriched(1200)))

    def test_tags_can_be_filtered_joined_and_flat(self):
        read = self.spark.read.parquet(self.path)
        spam = self.tag(read).where(F.col("tags.spam.label") == "spam").select("id")
        expected = [row for row, tag in rows.tags(rows.enriched(1200)).items() if tag and tag["spam"]["label"] == "spam"]
        self.assertEqual(sorted(row.id for row in spam.collect()), sorted(expected))
        flat = self.tag(read, flat=True, errors="raise")
        self.assertEqual(flat.columns, rows.enriched(1200, "--flat").schema.names)

    def test_what_is_wrong_is_said_before_a_task_starts_or_ends_the_job_by_name(self):
        read = self.spark.read.parquet(self.path)
        with self.assertRaisesRegex(TagbertError, "there is a column `about` already"):
            self.tag(read, tags="about")
        with self.assertRaisesRegex(Exception, "no column `subject`, but id, body, about"):
            self.tag(read, text="subject").count()
        tagged = self.tag(self.spark.createDataFrame([("ok",), (rows.TOO_LARGE,)], "body string"), settings=rows.LIMIT).collect()
        self.assertEqual(sorted(str(row.tags_error)[:16] for row in tagged), ["DocumentTooLarge", "None"])


def _models():
    from tagbert import _process

    return _process._models


def schema_of_enrich(spark, folder):
    pq.write_table(rows.enriched(1200), f"{folder}/enriched.parquet")
    return spark.read.parquet(f"{folder}/enriched.parquet").schema["tags"].dataType.simpleString()


if __name__ == "__main__":
    unittest.main()
