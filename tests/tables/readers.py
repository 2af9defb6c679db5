"""DuckDB, with the queries of docs/TABLES.md as they stand there."""

import decimal
import json
import re

import duckdb

import neighbours


def query(heading):
    """The first SQL under a heading of docs/TABLES.md."""
    page = (neighbours.ROOT / "docs" / "TABLES.md").read_text()
    section = re.search(rf"^#+ {re.escape(heading)}$(.*?)(?=^#+ |\Z)", page, re.MULTILINE | re.DOTALL)
    return re.search(r"^```sql\n(.*?)^```", section[1], re.MULTILINE | re.DOTALL)[1]


def rows(heading, replaced, **tables):
    """What the page's query gives, as dictionaries; with this run's paths for the page's."""
    sql = query(heading)
    for there, here in replaced.items():
        assert there in sql, f"{there} is not in the query under {heading}"
        sql = sql.replace(there, str(here))
    with duckdb.connect() as connection:
        connection.sql("SET TimeZone = 'UTC'")
        for name, table in tables.items():
            connection.register(name, table)
        *before, last = [statement for statement in sql.split(";") if statement.strip()]
        for statement in before:
            connection.execute(statement)
        return connection.sql(last).to_arrow_table().to_pylist()


def exactly(text):
    """JSON with its numbers as they are written, however many digits. Readers write it anew: 1.10 as 1.1, and no spaces."""
    return json.loads(text, parse_float=decimal.Decimal)


def assert_same(test, row, value):
    """A row has all that a record says: nothing has become null, or another value."""
    for name in ("tokens", "truncated", "model"):
        test.assertEqual(row[name], value[name], name)
    test.assertEqual(row["source"], value["source"])
    # Tables have microseconds.
    test.assertEqual(row["tagged_at"].strftime("%Y-%m-%dT%H:%M:%S.%f")[:26], (value["tagged_at"].rstrip("Z") + "000000")[:26])
    test.assertEqual(set(row["tags"]), set(value["tags"]))
    for name, tag in value["tags"].items():
        same_tag(test, row["tags"][name], tag)


def same_tag(test, found, wanted):
    """Members alike; scores as near as a float is to its shortest decimal."""
    if isinstance(wanted, list):
        test.assertEqual(len(found), len(wanted))
        for one, other in zip(found, wanted):
            same_tag(test, one, other)
        return
    test.assertEqual({**found, "score": 0}, {**wanted, "score": 0})
    test.assertAlmostEqual(found["score"], wanted["score"], delta=1e-7)
