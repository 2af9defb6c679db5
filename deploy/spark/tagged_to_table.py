"""Reads the output topic into a Delta table or Parquet files (docs/TABLES.md).

    spark-submit --packages org.apache.spark:spark-sql-kafka-0-10_2.13:4.2.0,io.delta:delta-spark_4.2_2.13:4.4.0 \\
        deploy/spark/tagged_to_table.py --brokers localhost:9092 --format delta --to lake/tagged --checkpoint lake/_tagged

It reads what there is and ends; with --every '1 minute' it goes on. The same command again goes on where it was. Of Avro
(--registry) it takes one package more: org.apache.spark:spark-avro_2.13:4.2.0.
"""

import argparse
import functools
import json
import operator
import os
import re
import urllib.parse
import urllib.request

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException, StreamingQueryException
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.avro.functions import from_avro
from pyspark.sql.types import ArrayType, StringType, StructType

LABELS = "ARRAY<STRUCT<label: STRING, score: FLOAT>>"
ENTITIES = """ARRAY<STRUCT<type: STRING, text: STRING, start: INT, end: INT, score: FLOAT,
                           field: STRING, field_start: INT, field_end: INT>>"""
# The columns of a tag, by its task: the same as `tagbert enrich` writes, and one for output.scores, which that has not.
TASKS = {
    "class": "STRUCT<label: STRING, score: FLOAT>",
    "scores": f"STRUCT<label: STRING, score: FLOAT, scores: {LABELS}>",
    "classes": LABELS,
    "number": "STRUCT<value: FLOAT>",
    "entities": ENTITIES,
}
RECORD = {
    "id": "STRING",
    "tags": "STRUCT<{tags}>",
    "document": "STRING",
    "source": "STRUCT<topic: STRING, partition: INT, offset: BIGINT, timestamp: BIGINT>",
    "model": "STRUCT<name: STRING, version: STRING>",
    "models": "ARRAY<STRUCT<name: STRING, version: STRING>>",
    "tokens": "BIGINT",
    "truncated": "BOOLEAN",
    "tagged_at": "TIMESTAMP",
}
# What Spark makes of schemas/enriched.avsc. A tag has its task's members, and the others are null or empty.
AVRO = RECORD | {
    "tags": f"MAP<STRING, STRUCT<label: STRING, score: FLOAT, value: FLOAT, labels: {LABELS}, entities: {ENTITIES}>>",
    "source": "STRUCT<topic: STRING, partition: INT, offset: BIGINT, timestamp: TIMESTAMP>",
    "tokens": "INT",
}
MEMBERS = {
    "class": ["label", "score"],
    "scores": ["label", "score", "labels"],
    "classes": ["labels"],
    "number": ["value"],
    "entities": ["entities"],
}
LISTS = ["classes", "entities"]
# Spark's own format has no microseconds, and it leaves out what is null.
AS_JSON = {"timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX", "ignoreNullFields": "false"}
NEW_SCHEMA = "this job has not asked for schema "


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--brokers", required=True)
    parser.add_argument("--topic", default="documents.tagged")
    parser.add_argument("--registry", metavar="URL", help="of the schema registry, if the records are Avro; TAGBERT_REGISTRY_AUTHORIZATION is sent to it")
    parser.add_argument("--format", choices=["delta", "parquet"], default="delta")
    parser.add_argument("--to", required=True, help="the table's directory")
    parser.add_argument("--checkpoint", required=True, help="what has been read; it belongs to the table as long as that lives")
    parser.add_argument("--tag", action="append", metavar="NAME=TASK", help=f"a tag of your model; TASK is one of {', '.join(TASKS)}")
    parser.add_argument("--every", help="such as '1 minute'; without it, read what there is and end")
    parser.add_argument("--batch", type=int, default=100_000, help="records a batch, at most")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="such as kafka.security.protocol=SASL_SSL")
    given = parser.parse_args()
    given.tag = dict(tag.split("=", 1) for tag in given.tag or ["topic=class", "spam=class", "entities=entities"])
    given.option = dict(option.split("=", 1) for option in given.option)
    return given


def session(table_format):
    # Errors are to say what they were caused by.
    builder = SparkSession.builder.appName("tagged-to-table").config("spark.sql.pyspark.jvmStacktrace.enabled", "true")
    if table_format == "delta":
        builder = builder.config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension").config(
            "spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog"
        )
    return builder.getOrCreate()


def source(spark, given):
    return (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", given.brokers)
        .option("subscribe", given.topic)
        # Spark's own defaults are to begin at the end, and to read what was aborted.
        .option("startingOffsets", "earliest")
        .option("kafka.isolation.level", "read_committed")
        .option("includeHeaders", "true")
        .option("maxOffsetsPerTrigger", given.batch)
        .options(**given.option)
        .load()
    )


def check_topic(spark, given):
    """Offsets say nothing of another topic of the same name: a file of the checkpoint's is named after the one that it has read."""
    jvm, settings = spark.sparkContext._jvm, {"kafka.bootstrap.servers": given.brokers} | given.option
    settings = {name.removeprefix("kafka."): value for name, value in settings.items() if name.startswith("kafka.")}
    admin = jvm.org.apache.kafka.clients.admin.AdminClient.create(settings)
    topic = admin.describeTopics([given.topic]).allTopicNames().get()[given.topic].topicId().toString()
    admin.close()
    place = jvm.org.apache.hadoop.fs.Path(given.checkpoint)
    files = place.getFileSystem(spark.sparkContext._jsc.hadoopConfiguration())
    known = [file.getPath().getName() for file in files.globStatus(jvm.org.apache.hadoop.fs.Path(place, "topic-*")) or []]
    if not known:
        files.createNewFile(jvm.org.apache.hadoop.fs.Path(place, f"topic-{topic}"))
    elif known != [f"topic-{topic}"]:
        raise SystemExit(
            f"error: {given.topic} is another topic than {given.checkpoint} has read (another name, or deleted and made again): "
            "take another --checkpoint, and another --to"
        )


def table(records, columns, fits):
    """The records as rows of what was read. What the columns do not hold is in `unread`, whole: nothing becomes null in silence."""
    record_id = F.try_element_at(F.filter("headers", lambda header: header["key"] == "tagbert.record.id"), F.lit(-1))["value"]
    is_there = F.col("value").isNotNull()
    return records.select(
        record_id.cast("string").alias("record_id"),
        "key",
        *(F.col(f"read.{name}").alias(name) for name in columns),
        (~is_there).alias("tombstone"),
        F.when(is_there & ~F.coalesce(fits, F.lit(False)), F.col("whole")).alias("unread"),
    )


def columns_of(tags):
    """The columns of records with these tags."""
    types = ", ".join(f"`{name}`: {TASKS[task]}" for name, task in tags.items())
    return RECORD | {"tags": RECORD["tags"].format(tags=types)}


def ddl(columns):
    return ", ".join(f"{name} {kind}" for name, kind in columns.items())


# --- JSON --------------------------------------------------------------------


def json_rows(records, tags):
    columns = columns_of(tags)
    whole = F.col("value").cast("string")
    read = F.from_json(whole, f"{ddl(columns)}, malformed STRING", {"columnNameOfCorruptRecord": "malformed"})
    fits = F.col("read.malformed").isNull() & F.col("read.source.offset").isNotNull() & ~has_more(F.col("whole"), StructType.fromDDL(ddl(columns)))
    return table(records.withColumn("whole", whole).withColumn("read", read), columns, fits)


def has_more(text, kind):
    """Whether a text of JSON has members that a type has not, at any depth."""
    if isinstance(kind, ArrayType):
        more = F.exists(F.from_json(text, "ARRAY<STRING>"), lambda element: has_more(element, kind.elementType))
    elif isinstance(kind, StructType):
        members = F.from_json(text, "MAP<STRING, STRING>")
        names = F.array_except(F.map_keys(members), F.array(*map(F.lit, kind.names)))
        more = functools.reduce(operator.or_, (has_more(members[field.name], field.dataType) for field in kind), F.size(names) > 0)
    else:
        return F.lit(False)
    return F.coalesce(more, F.lit(False))


# --- Avro --------------------------------------------------------------------


class Registry:
    """A schema registry, as Confluent's answers."""

    def __init__(self, spark, url):
        self.jvm, self.url = spark.sparkContext._jvm, url.rstrip("/")

    def ids(self, topic):
        """The schemas that are registered for a topic; there may be others in it."""
        subject = f"/subjects/{urllib.parse.quote(topic + '-value', safe='')}/versions"
        return [self.get(f"{subject}/{version}")["id"] for version in self.get(subject, [])]

    def schema(self, number):
        """An Avro schema with all that it refers to in it; None if there is no such schema."""
        answer = self.get(f"/schemas/ids/{number}", {"schemaType": "none"})
        if answer.get("schemaType", "AVRO") != "AVRO":
            return None
        # The parser remembers what it has read, and writes it where it is named first.
        return self.parse(answer, self.jvm.org.apache.avro.Schema.Parser(), set()).toString()

    def parse(self, answer, parser, known):
        for reference in answer.get("references", []):
            if reference["name"] not in known:
                known.add(reference["name"])
                subject = urllib.parse.quote(reference["subject"], safe="")
                self.parse(self.get(f"/subjects/{subject}/versions/{reference['version']}"), parser, known)
        return parser.parse(answer["schema"])

    def get(self, path, otherwise=None):
        """What it answers; `otherwise`, where that may be missing."""
        request = urllib.request.Request(self.url + path)
        if authorization := os.environ.get("TAGBERT_REGISTRY_AUTHORIZATION"):
            request.add_header("Authorization", authorization)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return json.load(response)
        except OSError as error:
            if otherwise is not None and getattr(error, "code", None) == 404:
                return otherwise
            raise SystemExit(f"error: {self.url}{path}: {error} (see --registry, TAGBERT_REGISTRY_AUTHORIZATION)") from error


def avro_rows(records, tags, schemas):
    """Each record by the very schema that it was written by; `schemas` has them by their numbers."""
    columns = columns_of(tags)
    is_framed = (F.hex(F.substring("value", 1, 1)) == "00") & (F.length("value") >= 5)
    number = F.conv(F.hex(F.substring("value", 2, 4)), 16, 10).cast("long")
    records = records.withColumns(
        {"number": F.when(is_framed, number), "datum": F.expr("substring(value, 6)"), "whole": F.base64("value")}
    )
    number = F.col("number")
    is_new = number.isNotNull() & ~number.isin(list(schemas))
    read = F.when(is_new, F.raise_error(F.concat(F.lit(NEW_SCHEMA), number.cast("string"))))
    fits = F.lit(False)
    for each, schema in schemas.items():
        value, has_all = by_schema(records, schema) if schema else (None, False)
        if value is not None:
            records = records.withColumn(f"by_{each}", F.when(number == each, value))
            value = F.col(f"by_{each}")
            is_read = (number == each) & value.source.offset.isNotNull()
            read = read.when(is_read, F.struct(*values_of(value, columns, tags)).cast(StructType.fromDDL(ddl(columns))))
            fits = F.when(is_read, F.lit(has_all) & fits_tags(value.tags, tags)).otherwise(fits)
    read = read.otherwise(F.lit(None).cast(StructType.fromDDL(ddl(columns))))
    return table(records.withColumn("read", read), columns, fits)


def by_schema(records, schema):
    """What Spark makes of data of a schema, and whether that is all that is in them. None if it is not what we know."""
    schema = json.loads(schema)
    fields = schema.get("fields", []) if isinstance(schema, dict) else []
    if [field["name"] for field in fields] != list(AVRO):
        return None, False
    try:
        value, kind = read_by(records, schema, fields)
    except (Py4JJavaError, PySparkException):
        # Spark has no type for some documents, such as those with others like them within. The rest can be read.
        value, kind = read_by(records, schema, [field for field in fields if field["name"] != "document"])
    known = StructType.fromDDL(ddl({name: type for name, type in AVRO.items() if name != "document"}))
    ours = StructType([field for field in kind if field.name != "document"])
    return value if ours.simpleString() == known.simpleString() else None, "document" in kind.names


def read_by(records, schema, fields):
    """Data of a schema with these of its fields, and their type."""
    value = from_avro("datum", json.dumps(schema), {"mode": "PERMISSIVE", "avroSchema": json.dumps(schema | {"fields": fields})})
    kind = records.select(value.alias("value")).schema["value"].dataType
    if "document" not in kind.names:
        document = F.lit(None)
    elif isinstance(kind["document"].dataType, StringType):
        document = value.document
    else:
        document = F.to_json(value.document, AS_JSON)
    value = value.withField("document", document.cast("string"))
    # It is here that Spark says what it can't do.
    records.select(value)
    return value, kind


def values_of(value, columns, tags):
    """The values of the columns."""
    source = value.source
    changed = {
        "tags": F.struct(*(tag_of(value.tags, name, task).alias(name) for name, task in tags.items())),
        "source": F.struct(source.topic, source.partition, source.offset, F.unix_millis(source.timestamp)),
        "models": F.when(F.size(value.models) > 0, value.models),
    }
    return [changed.get(name, value[name]).alias(name) for name in columns]


def tag_of(tags, name, task):
    tag = F.try_element_at(tags, F.lit(name))
    members = [tag[member] for member in MEMBERS[task]]
    return F.when(tag.isNotNull(), (members[0] if task in LISTS else F.struct(*members)).cast(TASKS[task]))


def fits_tags(found, tags):
    """Whether these are all the tags, and each is of its task."""
    fits = F.size(F.array_except(F.map_keys(found), F.array(*map(F.lit, tags)))) == 0
    for name, task in tags.items():
        tag = F.try_element_at(found, F.lit(name))
        for member in ("score", "value"):
            fits &= tag.isNull() | (tag[member].isNotNull() == F.lit(member in MEMBERS[task]))
        for member in ("labels", "entities"):
            if member not in MEMBERS[task]:
                fits &= tag.isNull() | (F.size(tag[member]) == 0)
    return fits


# --- The job -----------------------------------------------------------------


def run(rows, given):
    trigger = {"processingTime": given.every} if given.every else {"availableNow": True}
    (
        rows.writeStream.format(given.format)
        .option("checkpointLocation", given.checkpoint)
        # A tag that is new becomes a column of a Delta table that is old.
        .option("mergeSchema", "true")
        .trigger(**trigger)
        .start(given.to)
        .awaitTermination()
    )


def main():
    given = arguments()
    spark = session(given.format)
    check_topic(spark, given)
    if not given.registry:
        return run(json_rows(source(spark, given), given.tag), given)
    registry = Registry(spark, given.registry)
    schemas = {number: registry.schema(number) for number in registry.ids(given.topic)}
    while True:
        try:
            return run(avro_rows(source(spark, given), given.tag, schemas), given)
        except StreamingQueryException as error:
            # To Spark a schema is a constant. The batch with another one has failed as a whole, and is read again.
            new = re.search(NEW_SCHEMA + r"(\d+)", str(error))
            if new is None or int(new[1]) in schemas:
                raise
            schemas[int(new[1])] = registry.schema(int(new[1]))


if __name__ == "__main__":
    main()
