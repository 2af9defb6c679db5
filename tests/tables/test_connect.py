"""Kafka Connect takes the configurations of deploy/connect, and brings the output topic into files and Iceberg."""

import functools
import json
import unittest

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog

import neighbours
import readers
import stage

DEAD, TORN, CONTROL = "documents.unread", "documents.torn", "documents.tagged.control"
# What a connector may have that Connect does not list, for it is passed on.
PASSED_ON = ("consumer.override.", "iceberg.catalog.", "iceberg.kafka.", "transforms.", "predicates.", "value.converter.")


LABEL = pa.struct({"label": pa.string(), "score": pa.float32()})
ENTITY = pa.struct({"type": pa.string(), "text": pa.string(), "start": pa.int32(), "end": pa.int32(), "score": pa.float32()})
MODEL = pa.struct({"name": pa.string(), "version": pa.string()})
# The table of docs/TABLES.md.
TABLE = pa.schema(
    {
        "id": pa.string(),
        "tags": pa.struct({"topic": LABEL, "spam": LABEL, "entities": pa.list_(ENTITY)}),
        "document": pa.string(),
        "source": pa.struct({"topic": pa.string(), "partition": pa.int32(), "offset": pa.int64(), "timestamp": pa.int64()}),
        "model": MODEL,
        "models": pa.list_(MODEL),
        "tokens": pa.int64(),
        "truncated": pa.bool_(),
        "tagged_at": pa.timestamp("us", "UTC"),
    }
)


@functools.cache
def connect():
    neighbours.create_topics(DEAD)
    return neighbours.Connect()


def ids(rows):
    """The ids of the records, by where they came from."""
    return sorted(f"{row['source']['topic']}-{row['source']['partition']}-{row['source']['offset']}" for row in rows)


class Configurations(unittest.TestCase):
    def taken(self, connector):
        config = connector["config"]
        kind = config["connector.class"].rsplit(".", 1)[-1]
        answer = connect().call("PUT", f"/connector-plugins/{kind}/config/validate", {"name": connector["name"], **config})
        self.assertEqual({each["value"]["name"]: each["value"]["errors"] for each in answer["configs"] if each["value"]["errors"]}, {})
        # Connect takes a key that nobody knows without a word.
        known = {each["definition"]["name"] for each in answer["configs"]} | {"name"}
        self.assertEqual([key for key in config if key not in known and not key.startswith(PASSED_ON)], [])

    def test_connect_takes_the_file_sink(self):
        self.taken(neighbours.shipped_connector("file-sink"))

    def test_connect_takes_the_iceberg_sink(self):
        self.taken(neighbours.shipped_connector("iceberg-sink"))

    def test_connect_takes_what_is_its_own_of_the_s3_sink(self):
        # The connector itself is no part of this: its class and its keys are left out.
        connector = neighbours.shipped_connector("s3-sink")
        own = ("s3.", "storage.", "format.", "flush.", "rotate.", "partition", "path.", "locale", "timezone", "timestamp.", "behavior.", "topics.dir")
        config = {key: value for key, value in connector["config"].items() if not key.startswith(own)}
        config |= {"connector.class": "org.apache.kafka.connect.file.FileStreamSinkConnector"}
        self.taken({"name": connector["name"], "config": config})


class FileSink(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        stage.tagged()
        cls.file = neighbours.folder() / "tagged.json"
        cls.run_once(len(stage.expected()))
        # Its offsets were not committed yet.
        connect().kill()
        connect().start()
        cls.run_once(2 * len(stage.expected()))

    @classmethod
    def run_once(cls, records):
        connector = neighbours.shipped_connector("file-sink", file=str(cls.file))
        connect().call("POST", "/connectors", connector)
        written = lambda: cls.file.exists() and cls.file.read_text().count('"tagged_at":') >= records  # noqa: E731
        neighbours.wait_for("file", lambda: written() or connect().failures(connector["name"]), connect().process)
        assert not connect().failures(connector["name"]), connect().failures(connector["name"])

    def test_a_killed_sink_writes_twice_and_the_query_takes_one_of_each(self):
        self.assertGreater(self.file.read_text().count('"tagged_at":'), len(stage.expected()))
        self.assertEqual(ids(self.rows()), sorted(stage.expected()))

    def test_no_value_becomes_null_or_another(self):
        rows = dict(zip(ids(self.rows()), sorted(self.rows(), key=lambda row: ids([row]))))
        for name, value in stage.expected().items():
            with self.subTest(name):
                readers.assert_same(self, rows[name], value)
                self.assertEqual(rows[name]["document"], stage.raw_document(stage.tagged()[name]))

    def test_a_tombstone_is_no_line(self):
        self.assertNotIn("\nnull\n", self.file.read_text())

    def rows(self):
        return readers.rows("Files of JSON", {"tagged.json": self.file})


class IcebergSink(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        stage.tagged()
        neighbours.create_topics(TORN, CONTROL, partitions=1)
        neighbours.produce(TORN, {"torn": b'{"id": "1", "tags": {'})
        database, warehouse = neighbours.folder() / "catalog.db", f"file://{neighbours.folder()}/warehouse"
        cls.catalog = SqlCatalog("iceberg", uri=f"sqlite:///{database}", warehouse=warehouse)
        cls.catalog.create_namespace("documents")
        cls.catalog.create_table("documents.tagged", TABLE)

        connector = neighbours.shipped_connector("iceberg-sink")
        # As it is shipped, but for the catalog, patience, and a topic more.
        config = {key: value for key, value in connector["config"].items() if not key.startswith("iceberg.catalog.")}
        connector["config"] = config | {
            "topics": f"{stage.OUTPUT},{TORN}",
            "iceberg.control.commit.interval-ms": "5000",
            "iceberg.catalog.catalog-impl": "org.apache.iceberg.jdbc.JdbcCatalog",
            "iceberg.catalog.jdbc.schema-version": "V1",
            "iceberg.catalog.uri": f"jdbc:sqlite:{database}",
            "iceberg.catalog.warehouse": warehouse,
        }
        connect().call("POST", "/connectors", connector)
        neighbours.wait_for("commit", lambda: cls.count() or connect().failures(connector["name"]), connect().process)
        # Between two commits, or within one.
        connect().kill()
        connect().start()
        connect().call("POST", "/connectors", connector)
        whole = len(stage.expected())
        neighbours.wait_for("table", lambda: cls.count() >= whole or connect().failures(connector["name"]), connect().process)
        assert not connect().failures(connector["name"]), connect().failures(connector["name"])

    @classmethod
    def count(cls):
        snapshot = cls.catalog.load_table("documents.tagged").current_snapshot()
        return int(snapshot.summary["total-records"]) if snapshot else 0

    def rows(self):
        return readers.rows("Iceberg", {}, tagged=self.catalog.load_table("documents.tagged").scan().to_arrow())

    def test_each_record_is_there_once_though_connect_was_killed(self):
        self.assertEqual(ids(self.rows()), sorted(stage.expected()))

    def test_no_value_of_a_tag_becomes_null_or_another(self):
        rows = {ids([row])[0]: row for row in self.rows()}
        for name, value in stage.expected().items():
            with self.subTest(name):
                readers.assert_same(self, rows[name], value)

    def test_a_document_is_the_same_json_but_for_numbers_beyond_64_bits(self):
        rows = {ids([row])[0]: row for row in self.rows()}
        for name, value in stage.expected().items():
            found, wanted = json.loads(rows[name]["document"]), value["document"]
            different = {key for key in wanted if found[key] != wanted[key]}
            beyond = {key for key in wanted if isinstance(wanted[key], int) and abs(wanted[key]) >= 2**63}
            self.assertEqual(different, beyond, name)

    def test_what_is_no_json_is_a_dead_letter(self):
        (record,) = neighbours.read(DEAD)
        self.assertEqual(record.key(), b"torn")


if __name__ == "__main__":
    unittest.main()
