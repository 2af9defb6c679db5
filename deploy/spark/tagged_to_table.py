"""Reads the output topic into a Delta table or Parquet files (docs/TABLES.md).

    spark-submit --packages org.apache.spark:spark-sql-kafka-0-10_2.13:4.2.0,io.delta:delta-spark_4.2_2.13:4.4.0 \\
        deploy/spark/tagged_to_table.py --brokers localhost:9092 --format delta --to lake/tagged --checkpoint lake/_tagged

It reads what there is and ends; with --every '1 minute' it goes on. The same command again goes on where it was.
"""

import argparse

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

# The columns of a tag, by its task: the same as `tagbert enrich` writes.
TASKS = {
    "class": "STRUCT<label: STRING, score: FLOAT>",
    "classes": "ARRAY<STRUCT<label: STRING, score: FLOAT>>",
    "number": "STRUCT<value: FLOAT>",
    "entities": "ARRAY<STRUCT<type: STRING, text: STRING, start: INT, end: INT, score: FLOAT>>",
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


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--brokers", required=True)
    parser.add_argument("--topic", default="documents.tagged")
    parser.add_argument("--format", choices=["delta", "parquet"], default="delta")
    parser.add_argument("--to", required=True, help="the table's directory")
    parser.add_argument("--checkpoint", required=True, help="what has been read; it belongs to the table as long as that lives")
    parser.add_argument("--tag", action="append", metavar="NAME=TASK", help=f"a tag of your model; TASK is one of {', '.join(TASKS)}")
    parser.add_argument("--every", help="such as '1 minute'; without it, read what there is and end")
    parser.add_argument("--batch", type=int, default=100_000, help="records a batch, at most")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="such as kafka.security.protocol=SASL_SSL")
    given = parser.parse_args()
    given.tag = given.tag or ["topic=class", "spam=class", "entities=entities"]
    return given


def session(table_format):
    builder = SparkSession.builder.appName("tagged-to-table")
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
        .options(**dict(option.split("=", 1) for option in given.option))
        .load()
    )


def table(records, tags):
    """The records as rows. What the columns do not hold is in `unread`, whole: nothing becomes null in silence."""
    types = ", ".join(f"`{name}`: {TASKS[task]}" for name, task in tags.items())
    columns = ", ".join(f"{name} {kind}" for name, kind in RECORD.items()).format(tags=types)
    read = F.from_json("value", f"{columns}, malformed STRING", {"columnNameOfCorruptRecord": "malformed"})

    def unknown(value, names):
        return F.size(F.array_except(F.json_object_keys(value), F.array(*map(F.lit, names)))) > 0

    value = F.col("value")
    unread = (
        F.col("read.malformed").isNotNull()
        | F.col("read.source.offset").isNull()
        | unknown(value, RECORD)
        | unknown(F.get_json_object(value, "$.tags"), tags)
    )
    record_id = F.try_element_at(F.filter("headers", lambda header: header["key"] == "tagbert.record.id"), F.lit(-1))["value"]
    return (
        records.select("key", "headers", F.col("value").cast("string").alias("value"))
        .withColumn("read", read)
        .select(
            record_id.cast("string").alias("record_id"),
            "key",
            *(F.col(f"read.{name}") for name in RECORD),
            value.isNull().alias("tombstone"),
            F.when(value.isNotNull() & F.coalesce(unread, F.lit(True)), value).alias("unread"),
        )
    )


def main():
    given = arguments()
    tags = dict(tag.split("=", 1) for tag in given.tag)
    rows = table(source(session(given.format), given), tags)
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


if __name__ == "__main__":
    main()
