"""The columns of the tags are those of `tagbert enrich`, wherever else they are written."""

import importlib.util
import re
import subprocess
import unittest

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

import neighbours
import stage
import test_connect

NAMES = {pa.string(): "STRING", pa.float32(): "FLOAT", pa.int32(): "INT"}


def ddl(kind):
    """An Arrow type in the words of Spark."""
    if pa.types.is_list(kind):
        return f"ARRAY<{ddl(kind.value_type)}>"
    if pa.types.is_struct(kind):
        return f"STRUCT<{', '.join(f'{field.name}: {ddl(field.type)}' for field in kind)}>"
    return NAMES[kind]


def one_line(text):
    return re.sub(r"\s+", " ", text)


class Columns(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        rows, written = neighbours.folder() / "rows.parquet", neighbours.folder() / "enriched.parquet"
        pq.write_table(pa.table({"text": ["Angela Merkel was in Berlin."]}), rows)
        command = [neighbours.program(), "enrich", "--input", rows, "--output", written, "--text", "text", "--model", stage.MODEL]
        subprocess.run(list(map(str, command)), check=True, capture_output=True)
        cls.tags = pq.read_schema(written).field("tags").type
        cls.page = one_line((neighbours.ROOT / "docs" / "TABLES.md").read_text())

    def test_spark_writes_them(self):
        path = neighbours.ROOT / "deploy" / "spark" / "tagged_to_table.py"
        spec = importlib.util.spec_from_file_location("tagged_to_table", path)
        job = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(job)
        written = {name: ddl(self.tags.field(name).type) for name in ("topic", "spam", "entities")}
        tasks = {"topic": "class", "spam": "class", "entities": "entities"}
        self.assertEqual({name: one_line(job.TASKS[task]) for name, task in tasks.items()}, written)

    def test_the_iceberg_table_has_them(self):
        self.assertIn(f"tags {ddl(self.tags)},", self.page)
        self.assertEqual(test_connect.TABLE.field("tags").type, self.tags)

    def test_duckdb_reads_them_from_files_of_json(self):
        columns = re.search(r"tags: '(STRUCT.*?)', document", self.page)[1]
        table = duckdb.sql(f"SELECT CAST(NULL AS {columns}) AS tags").to_arrow_table()
        self.assertEqual(table.schema.field("tags").type, self.tags)


if __name__ == "__main__":
    unittest.main()
