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
TORN_VALUE = b'{"id": "1", "tags": {'
LAST = {"topic": "last", "partition": 0, "offset": 0, "timestamp": 0}
# What a connector may have that Connect does not list, for it is passed on.
PASSED_ON = ("consumer.override.", "iceberg.catalog.", "iceberg.kafka.", "transforms.", "predicates.", "value.converter.")


LABEL = pa.struct({"label": pa.string(), "score": pa.float32()})
PLACE = {"field": pa.string(), "field_start": pa.int32(), "field_end": pa.int32()}
ENTITY = pa.struct({"type": pa.string(), "text": pa.string(), "start": pa.int32(), "end": pa.int32(), "score": pa.float32(), **PLACE})
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
    return neighbours.Connect("connect")


def setUpModule():
    neighbours.create_topics(DEAD)


def create(worker, connector):
    worker.call("POST", "/connectors", connector)


def wait_for(what, condition, worker, connector):
    """Waits until a connector has done something, and fails with what its tasks died of."""
    neighbours.wait_for(what, lambda: condition() or worker.failures(connector["name"]), worker.process)
    assert not worker.failures(connector["name"]), worker.failures(connector["name"])


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
        # It commits its offsets later than any test: killed, it writes again what it wrote.
        worker = neighbours.Connect("connect-file", offset_flush_interval_ms=3600000)
        cls.run_once(worker, len(stage.expected()))
        worker.kill()
        worker.start()
        cls.run_once(worker, 2 * len(stage.expected()))
        worker.kill()

    @classmethod
    def run_once(cls, worker, records):
        connector = neighbours.shipped_connector("file-sink", file=str(cls.file))
        create(worker, connector)
        written = lambda: cls.file.exists() and cls.file.read_text().count('"tagged_at":') >= records  # noqa: E731
        wait_for("file", written, worker, connector)

    def test_a_killed_sink_writes_twice_and_the_query_takes_one_of_each(self):
        self.assertGreater(self.file.read_text().count('"tagged_at":'), len(stage.expected()))
        self.assertEqual(ids(self.rows()), sorted(stage.expected()))

    def test_no_value_becomes_null_or_another(self):
        rows = dict(zip(ids(self.rows()), sorted(self.rows(), key=lambda row: ids([row]))))
        for name, value in stage.expected().items():
            with self.subTest(name):
                readers.assert_same(self, rows[name], value)
                self.assertEqual(readers.exactly(rows[name]["document"]), readers.exactly(stage.raw_document(stage.tagged()[name])))

    def test_a_tombstone_is_no_line(self):
        self.assertNotIn("\nnull\n", self.file.read_text())

    def rows(self):
        return readers.rows("Files of JSON", {"tagged.json": self.file})


class IcebergSink(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        stage.tagged()
        neighbours.create_topics(TORN, CONTROL, parts=1)
        neighbours.produce(TORN, {"torn": TORN_VALUE})
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
        create(connect(), connector)
        wait_for("data file", lambda: list(neighbours.folder().glob("warehouse/**/data/**/*.parquet")), connect(), connector)
        # Within a commit: what it has written is in no table yet, or is just being committed.
        cls.kill_and_create(connector)
        wait_for("table", lambda: cls.count() >= len(stage.expected()), connect(), connector)
        # Between two commits. What would come twice comes before what is written now.
        cls.kill_and_create(connector)
        neighbours.produce(TORN, {"last": json.dumps(next(iter(stage.expected().values())) | {"source": LAST}).encode()})
        wait_for("last record", lambda: LAST in [row["source"] for row in cls.all_rows()], connect(), connector)

    @classmethod
    def kill_and_create(cls, connector):
        connect().kill()
        connect().start()
        create(connect(), connector)

    @classmethod
    def count(cls):
        snapshot = cls.catalog.load_table("documents.tagged").current_snapshot()
        return int(snapshot.summary["total-records"]) if snapshot else 0

    @classmethod
    def all_rows(cls):
        return readers.rows("Iceberg", {}, tagged=cls.catalog.load_table("documents.tagged").scan().to_arrow())

    def rows(self):
        return [row for row in self.all_rows() if row["source"] != LAST]

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
        # At least once: a killed task reads it again, and no table is there to know that it has it.
        self.assertEqual({(record.key(), record.value()) for record in neighbours.read(DEAD)}, {(b"torn", TORN_VALUE)})


if __name__ == "__main__":
    unittest.main()
