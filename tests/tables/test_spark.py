"""Spark reads the output topic into Delta and Parquet, each record once, though it is killed."""

import functools
import json
import os
import signal
import sys
import unittest

import deltalake
import duckdb
import pyarrow.parquet as pq
import pyspark

import neighbours
import readers
import stage

# Offsets a batch, aborted records included: there are some 800.
BATCH = "120"
JARS = sorted((neighbours.TABLES / "spark").glob("*.jar"))


def spark(name, table_format, to, *arguments, topic=stage.OUTPUT):
    """Starts the job of deploy/spark."""
    submit = [os.path.join(os.path.dirname(sys.executable), "spark-submit"), "--master", "local[2]", "--jars", ",".join(map(str, JARS))]
    settings = ["--conf", "spark.ui.enabled=false", "--conf", "spark.driver.bindAddress=127.0.0.1", "--conf", "spark.driver.host=127.0.0.1"]
    # What a small table needs: Delta's state in fifty parts, and compilers that optimise, take minutes.
    settings += ["--conf", "spark.databricks.delta.snapshotPartitions=1", "--driver-java-options", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"]
    job = [neighbours.ROOT / "deploy" / "spark" / "tagged_to_table.py", "--brokers", neighbours.kafka(), "--topic", topic]
    to_table = ["--format", table_format, "--to", to, "--checkpoint", f"{to}.checkpoint"]
    environment = {"SPARK_HOME": os.path.dirname(pyspark.__file__), "PYSPARK_PYTHON": sys.executable}
    return neighbours.start(name, [*submit, *settings, *job, *to_table, *arguments], **environment)


def finish(process, name):
    assert process.wait(neighbours.TIMEOUT) == 0, neighbours.log(name)[-4000:]


def last(place):
    """The newest batch of a log of Spark's."""
    return max((int(file.name) for file in place.glob("[0-9]*") if file.name.isdigit()), default=-1)


def has_rows(table_format, to, batch):
    """Whether a batch has put rows into the table; one that read nothing but aborted records has not."""
    if table_format == "parquet":
        lines = (to / "_spark_metadata" / f"{batch}").read_text().splitlines()
        return any(pq.read_metadata(json.loads(line)["path"].removeprefix("file://")).num_rows for line in lines if line.startswith("{"))
    versions = ([json.loads(line) for line in file.read_text().splitlines()] for file in (to / "_delta_log").glob("*.json"))
    return any("add" in action for actions in versions if any(a.get("txn", {}).get("version") == batch for a in actions) for action in actions)


def forget(place, batch):
    """Makes Spark's log of a batch what it is when the process dies before it is written."""
    (place / f"{batch}").unlink()
    (place / f".{batch}.crc").unlink(missing_ok=True)


@functools.cache
def killed_and_resumed(table_format):
    """A table whose job was killed in the middle, at a moment that would write a batch twice."""
    stage.tagged()
    to = neighbours.folder() / table_format
    commits = neighbours.folder() / f"{table_format}.checkpoint" / "commits"
    first = spark(f"{table_format}-first", table_format, to, "--batch", BATCH)

    # A table of a batch is older than its commit.
    neighbours.wait_for("second batch, with rows", lambda: last(commits) >= 1 and has_rows(table_format, to, last(commits)), first)
    # spark-submit has become the Java process.
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert first.returncode == -signal.SIGKILL, "it ended before it was killed"
    batch = last(commits)
    assert has_rows(table_format, to, batch)
    forget(commits, batch)
    if table_format == "parquet":
        # The files are there, and their sink died before it said so.
        if (to / "_spark_metadata" / f"{batch + 1}").exists():
            forget(to / "_spark_metadata", batch + 1)
        forget(to / "_spark_metadata", batch)
    finish(spark(f"{table_format}-second", table_format, to, "--batch", BATCH), f"{table_format}-second")
    return to


class Tables:
    """What holds of a table, in whatever format."""

    def test_each_record_is_there_once_though_spark_was_killed(self):
        self.assertEqual(sorted(row["record_id"] for row in self.rows()), sorted(stage.tagged()))

    def test_no_value_becomes_null_or_another(self):
        rows = {row["record_id"]: row for row in self.rows()}
        for name, value in stage.expected().items():
            with self.subTest(name):
                self.assertIsNone(rows[name]["unread"])
                self.assertFalse(rows[name]["tombstone"])
                readers.assert_same(self, rows[name], value)
                self.assertEqual(readers.exactly(rows[name]["document"]), readers.exactly(stage.raw_document(stage.tagged()[name])))
                self.assertEqual(rows[name]["key"], stage.tagged()[name].key())

    def test_an_id_stays_what_it_was(self):
        ids = {row["record_id"]: row["id"] for row in self.rows()}
        for name, value in stage.expected().items():
            found = ids[name]
            same = found == value["id"] if isinstance(value["id"], (str, type(None))) else json.loads(found) == value["id"]
            self.assertTrue(same, (found, value["id"]))

    def test_a_tombstone_is_a_row_that_says_so(self):
        (row,) = [row for row in self.rows() if row["tombstone"]]
        self.assertEqual((row["key"], row["tags"], row["unread"]), (b"deleted", None, None))


class Delta(Tables, unittest.TestCase):
    def rows(self):
        table = deltalake.DeltaTable(str(killed_and_resumed("delta"))).to_pyarrow_dataset()
        return readers.rows("Delta", {}, tagged=table)


class Parquet(Tables, unittest.TestCase):
    def rows(self):
        return readers.rows("Parquet", {"lake/tagged": killed_and_resumed("parquet")})

    def test_files_that_the_log_does_not_name_are_there_and_would_be_duplicates(self):
        files = killed_and_resumed("parquet") / "*.parquet"
        (found,) = duckdb.sql(f"SELECT count(*) FROM read_parquet('{files}')").fetchone()
        self.assertGreater(found, len(stage.tagged()))


class WhatTheColumnsDoNotHold(unittest.TestCase):
    def test_it_is_kept_whole(self):
        strangers = stage.strangers()
        to = neighbours.folder() / "strangers"
        finish(spark("strangers", "parquet", to, topic=stage.STRANGERS), "strangers")
        rows = readers.rows("Parquet", {"lake/tagged": to})
        self.assertEqual(len(rows), len(strangers))
        unread = {row["key"].decode(): row["unread"] for row in rows}
        self.assertEqual(unread, {name: None if name == "known" else value.decode() for name, value in strangers.items()})
        # And what could be read of it is there as well.
        (row,) = [row for row in rows if row["key"] == b"another tag"]
        self.assertEqual(row["tags"]["spam"]["label"], "ham")


if __name__ == "__main__":
    unittest.main()
