"""Spark reads the output topic, JSON and Avro, into Delta and Parquet, each record once, though it is killed."""

import base64
import datetime
import decimal
import functools
import json
import os
import shutil
import signal
import sys
import unittest

import deltalake
import duckdb
import pyarrow.parquet as pq
import pyspark
from confluent_kafka import TopicPartition
from confluent_kafka.admin import NewPartitions

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


def killed_and_resumed(name, table_format, *arguments, **topic):
    """A table whose job was killed in the middle, at a moment that would write a batch twice."""
    to = neighbours.folder() / name
    commits = neighbours.folder() / f"{name}.checkpoint" / "commits"
    first = spark(f"{name}-first", table_format, to, *arguments, **topic)

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
    finish(spark(f"{name}-second", table_format, to, *arguments, **topic), f"{name}-second")
    return to


@functools.cache
def table_of_json(table_format):
    stage.tagged()
    return killed_and_resumed(table_format, table_format, "--batch", BATCH)


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
        table = deltalake.DeltaTable(str(table_of_json("delta"))).to_pyarrow_dataset()
        return readers.rows("Delta", {}, tagged=table)


class Parquet(Tables, unittest.TestCase):
    def rows(self):
        return readers.rows("Parquet", {"lake/tagged": table_of_json("parquet")})

    def test_files_that_the_log_does_not_name_are_there_and_would_be_duplicates(self):
        files = table_of_json("parquet") / "*.parquet"
        ((found,),) = duckdb.sql(f"SELECT count(*) FROM read_parquet('{files}')").fetchall()
        self.assertGreater(found, len(stage.tagged()))


@unittest.skipUnless(neighbours.java_21(), "no Java 21 or later, which the registry needs")
class Avro(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        stage.tagged_as_avro()
        cls.strangers = stage.strangers_in_avro()
        cls.options = ("--registry", neighbours.registry())
        to = killed_and_resumed("avro", "delta", *cls.options, "--batch", "60", topic=stage.AVRO)
        rows = readers.rows("Delta", {}, tagged=deltalake.DeltaTable(str(to)).to_pyarrow_dataset())
        cls.found = [row for row in rows if row["record_id"] is not None]
        cls.others = {row["key"].decode(): row for row in rows if row["record_id"] is None}

    def of(self, topic):
        """Rows and what another reads of them, of the documents of a topic."""
        rows = {row["record_id"]: row for row in self.found}
        return [(rows[name], value) for name, value in stage.expected_of_avro().items() if value["source"]["topic"] == topic]

    def test_each_record_is_there_once_though_spark_was_killed(self):
        self.assertEqual(sorted(row["record_id"] for row in self.found), sorted(stage.tagged_as_avro()))

    def test_no_value_becomes_null_or_another(self):
        for topic in (stage.JSON, stage.MAILS, stage.MESSAGES):
            self.assertTrue(self.of(topic))
            for row, value in self.of(topic):
                with self.subTest(row["record_id"]):
                    readers.assert_same(self, row, as_json_says(value))
                    self.assertEqual(row["id"], value["id"])

    def test_a_document_of_json_is_the_very_text(self):
        for row, value in self.of(stage.JSON):
            self.assertEqual((row["document"], row["unread"]), (value["document_text"], None))

    def test_a_document_of_avro_is_json_with_all_its_digits(self):
        for row, value in self.of(stage.MAILS):
            document = readers.exactly(row["document"])
            self.assertIsNone(row["unread"])
            self.assertEqual((document["price"], document["counts"]["a"]), (decimal.Decimal("-12345678901234567.890"), 2**63 - 1))
            sent = datetime.datetime.fromisoformat(document["sent"])
            self.assertEqual(sent, datetime.datetime(2026, 11, 29, 18, 30, 0, 123456, tzinfo=datetime.timezone.utc))
            self.assertEqual((document["folder"], document["day"], document["raw"]), (None, "2026-11-29", "AP8="))
            self.assertEqual((document["id"], document["body"]), (value["document"]["id"], value["document"]["body"]))

    def test_a_document_that_spark_has_no_type_for_is_kept_whole(self):
        for row, _ in self.of(stage.MESSAGES):
            self.assertIsNone(row["document"])
            self.assertEqual(base64.b64decode(row["unread"]), stage.tagged_as_avro()[row["record_id"]].value())

    def test_a_tombstone_is_a_row_that_says_so(self):
        (row,) = [row for row in self.found if row["tombstone"]]
        self.assertEqual((row["key"], row["tags"], row["unread"]), (b"deleted", None, None))

    def test_what_is_not_ours_is_kept_whole(self):
        self.assertEqual({key: base64.b64decode(row["unread"]) for key, row in self.others.items()}, self.strangers)
        self.assertEqual({row["tags"] for row in self.others.values()}, {None})

    def test_a_tag_that_has_no_column_or_is_of_another_task_is_kept_whole(self):
        to = neighbours.folder() / "avro-tags"
        tags = ("--tag", "topic=scores", "--tag", "spam=number")
        finish(spark("avro-tags", "parquet", to, *self.options, *tags, topic=stage.AVRO), "avro-tags")
        rows = [row for row in readers.rows("Parquet", {"lake/tagged": to}) if row["record_id"] and not row["tombstone"]]
        self.assertTrue(all(row["unread"] and row["tags"]["topic"]["score"] for row in rows))


def as_json_says(value):
    """A record of Avro, as another reads it, in the words of a record of JSON."""
    members = {"topic": ("label", "score"), "spam": ("label", "score")}
    tags = {name: {member: tag[member] for member in members[name]} if name in members else tag["entities"] for name, tag in value["tags"].items()}
    timestamp = datetime.datetime.fromisoformat(value["source"]["timestamp"])
    source = value["source"] | {"timestamp": round(timestamp.timestamp() * 1000)}
    tagged_at = datetime.datetime.fromisoformat(value["tagged_at"]).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return value | {"tags": tags, "source": source, "tagged_at": tagged_at}


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


class WhatBecomesOfTheTopic(unittest.TestCase):
    """One topic, read again and again while things happen to it."""

    @classmethod
    def setUpClass(cls):
        topic, cls.to = "documents.moving", neighbours.folder() / "moving"
        neighbours.create_topics(topic, parts=1)
        neighbours.produce(topic, {"first": stage.record(0)})
        finish(spark("moving-1", "delta", cls.to, topic=topic), "moving-1")

        neighbours.admin().create_partitions([NewPartitions(topic, 2)])[topic].result(neighbours.TIMEOUT)
        neighbours.wait_for("new partition", lambda: len(neighbours.partitions(topic)) == 2)
        neighbours.produce(topic, {"second": stage.record(1, stage.SCORES | stage.LANGUAGE)}, partition=1)
        more = [argument for tag in ("topic=scores", "spam=class", "entities=entities", "language=class") for argument in ("--tag", tag)]
        finish(spark("moving-2", "delta", cls.to, *more, topic=topic), "moving-2")

        # And back again to fewer columns than the table has.
        neighbours.produce(topic, {"deleted": None, "plain": stage.record(2)}, partition=1)
        finish(spark("moving-3", "delta", cls.to, topic=topic), "moving-3")

        # As if retention had taken one before it was read.
        neighbours.produce(topic, {"gone": stage.record(3), "there": stage.record(4)}, partition=0)
        gone = neighbours.admin().delete_records([TopicPartition(topic, 0, 2)])
        [each.result(neighbours.TIMEOUT) for each in gone.values()]
        cls.after_retention = cls.of_a_copy("retention", topic, more)

        neighbours.admin().delete_topics([topic])[topic].result(neighbours.TIMEOUT)
        neighbours.wait_for("end of the topic", lambda: topic not in neighbours.admin().list_topics(timeout=neighbours.TIMEOUT).topics)
        # Longer than what has been read, so that the offsets look as if nothing had happened.
        neighbours.create_topics(topic, parts=2)
        for partition in (0, 1):
            neighbours.produce(topic, {f"{number}": stage.record(number) for number in range(9)}, partition=partition)
        cls.after_deletion = cls.of_a_copy("deletion", topic, more)

    @classmethod
    def of_a_copy(cls, name, topic, arguments):
        """How the job ends that goes on with a copy of the table, and what it says."""
        to = neighbours.folder() / name
        shutil.copytree(cls.to, to)
        shutil.copytree(f"{cls.to}.checkpoint", f"{to}.checkpoint")
        process = spark(name, "delta", to, *arguments, topic=topic)
        return process.wait(neighbours.TIMEOUT), neighbours.log(name)

    def rows(self):
        table = deltalake.DeltaTable(str(self.to)).to_pyarrow_dataset()
        return {row["key"]: row for row in readers.rows("Delta", {}, tagged=table)}

    def test_a_partition_that_is_new_is_read_from_its_beginning(self):
        self.assertEqual(sorted(self.rows()), [b"deleted", b"first", b"plain", b"second"])

    def test_a_tag_that_is_new_becomes_a_column_of_a_table_that_is_old(self):
        first, second = self.rows()[b"first"], self.rows()[b"second"]
        self.assertEqual((second["tags"]["language"], second["unread"]), (stage.LANGUAGE["language"], None))
        self.assertEqual(second["tags"]["topic"], stage.SCORES["topic"])
        self.assertEqual((first["tags"]["language"], first["tags"]["topic"]["scores"], first["unread"]), (None, None, None))

    def test_what_is_null_stays_null_in_a_table_with_more_columns(self):
        deleted, plain = self.rows()[b"deleted"], self.rows()[b"plain"]
        self.assertEqual({name for name, value in deleted.items() if value is not None}, {"key", "tombstone"})
        self.assertEqual((plain["tags"]["language"], plain["tags"]["topic"]["scores"], plain["unread"]), (None, None, None))
        self.assertEqual(plain["tags"]["spam"], {"label": "ham", "score": 1.0})

    def test_what_retention_took_unread_stops_the_job(self):
        code, log = self.after_retention
        self.assertNotEqual(code, 0)
        self.assertIn("failOnDataLoss", log)

    def test_a_topic_that_was_made_anew_stops_the_job(self):
        code, log = self.after_deletion
        self.assertNotEqual(code, 0)
        self.assertIn("is another topic than", log)


if __name__ == "__main__":
    unittest.main()
