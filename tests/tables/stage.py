"""Documents that a real worker has tagged, exactly once, though it was killed; and what a reader is to find of them."""

import functools
import json

import neighbours

INPUT, OUTPUT, DEAD = "documents", "documents.tagged", "documents.dead"
STRANGERS = "documents.strange"
PLAIN = 400

# What has become null, or another value, on the way into somebody's table.
AWKWARD = [
    b'{"id": 12345678901234567890, "body": "An id that no 64 bits hold."}',
    b'{"id": "007", "body": "An id that is a text, and looks like a number."}',
    b'{"body": "No id at all."}',
    b'{"id": {"mailbox": 7, "uid": 1}, "body": "An id that is an object."}',
    b'{\n  "id": "pretty",\n  "body": "A document in several lines,\\nwith several lines in it."\n}',
    b'{"id": "numbers", "body": "Paid in Berlin.", "amount": 1.10, "account": 98765432109876543210, "rate": 1E2}',
    '{"id": "wide", "body": "Grüße aus Köln 😀 an Angela Merkel, \\u0000 und \\ud83d\\ude00."}'.encode(),
    b'{"id": "2026-11-29", "body": "An id that looks like a date."}',
    b'{"id": "drift", "body": "Members that nobody else has.", "tags": {"mine": [1, null, {}]}, "unread": true}',
]


def documents():
    """Key and value; None is a tombstone. One of them is no JSON, and becomes a dead letter."""
    for number in range(PLAIN):
        body = [
            f"Shares in Microsoft fell {number} points in New York, analysts at Goldman Sachs said.",
            f"WIN a FREE prize worth {number} dollars!!! Click here now",
            f"ok see you at {number % 24}",
        ][number % 3]
        yield f"{number}", json.dumps({"id": f"{number}", "body": body}).encode()
    for number, document in enumerate(AWKWARD):
        yield f"awkward-{number}", document
    yield "deleted", None
    yield "dead", b"no JSON"


def record_id(record):
    return dict(record.headers())["tagbert.record.id"].decode()


@functools.cache
def tagged():
    """The committed records of the output topic, by the id of their record."""
    neighbours.create_topics(INPUT, OUTPUT, DEAD)
    neighbours.produce(INPUT, dict(documents()))
    tag_and_kill_and_tag()

    committed = neighbours.read(OUTPUT)
    by_id = {record_id(record): record for record in committed}
    assert len(by_id) == len(committed) == len(list(documents())) - 1, "the worker did not tag each document once"
    assert len(neighbours.read(OUTPUT, "read_uncommitted")) > len(committed), "nothing was aborted, so nothing is proven"
    return by_id


def tag_and_kill_and_tag():
    configuration = {
        "kafka": {
            "brokers": neighbours.kafka(),
            "group": "tagbert",
            "properties": {"transaction.timeout.ms": 60000, "session.timeout.ms": 10000},
        },
        "model": {"path": str(neighbours.ROOT / "models" / "tagbert-tiny")},
        "delivery": "exactly-once",
        "transaction": {"interval": "30s"},
        "http": {"listen": "127.0.0.1:0"},
    }
    first = neighbours.start("worker", neighbours.worker(configuration))
    neighbours.wait_for("result in a transaction", lambda: neighbours.answers(lambda: neighbours.ends(OUTPUT)), first)
    # Within the thirty seconds of the first transaction: what it has written will be aborted.
    first.kill()
    first.wait()
    second = neighbours.start("worker", neighbours.worker(configuration, "--until-end", "--max-dead", "1"))
    assert second.wait(neighbours.TIMEOUT) == 0, neighbours.log("worker")[-2000:]


def expected():
    """The values of the results, without tombstones, by the id of their record."""
    return {name: json.loads(record.value()) for name, record in tagged().items() if record.value() is not None}


def raw_document(record):
    """The bytes of a record's document, as they are in its value."""
    text = record.value().decode()
    start = text.index('"document":') + len('"document":')
    return text[start : start + json.JSONDecoder().raw_decode(text[start:])[1]]


@functools.cache
def strangers():
    """Records that the three tags' columns do not hold, and one that they do, by their keys."""
    tags = {"topic": {"label": None, "score": 0.25}, "spam": {"label": "ham", "score": 1.0}, "entities": []}
    known = {
        "id": "1", "tags": tags, "document": {"id": "1"},
        "source": {"topic": INPUT, "partition": 0, "offset": 3000000000, "timestamp": None},
        "model": {"name": "m", "version": "v"}, "tokens": 3, "truncated": False, "tagged_at": "2026-11-21T16:27:22Z",
    }  # fmt: skip
    language = {"language": {"label": "en", "score": 0.75}}
    records = {
        "known": known,
        "another tag": known | {"tags": tags | language},
        "another member": known | {"region": "eu"},
        "a score of another type": known | {"tags": tags | {"spam": {"label": "ham", "score": "high"}}},
        "a number too large": known | {"tokens": 10**20},
        "no time": known | {"tagged_at": "yesterday"},
        "nothing": {},
    }
    values = {name: json.dumps(record).encode() for name, record in records.items()}
    values |= {"cut": values["known"][:100], "no object": b"[1]", "no JSON": b"tagged", "empty": b""}
    neighbours.create_topics(STRANGERS)
    neighbours.produce(STRANGERS, values)
    return values
