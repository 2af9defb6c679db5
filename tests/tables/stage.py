"""Documents that a real worker has tagged, exactly once, though it was killed; and what a reader is to find of them."""

import base64
import functools
import json

import neighbours

INPUT, OUTPUT, DEAD = "documents", "documents.tagged", "documents.dead"
STRANGERS = "documents.strange"
JSON, MAILS, MESSAGES, AVRO = "json", "mails", "messages", "documents.avro"
PLAIN = 400
MODEL = neighbours.ROOT / "models" / "tagbert-tiny"

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


def documents(plain=PLAIN):
    """Key and value; None is a tombstone. One of them is no JSON, and becomes a dead letter."""
    for number in range(plain):
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
    return tagged_once(configuration(INPUT, OUTPUT), dict(documents()))


def configuration(into, out, **changes):
    return {
        "kafka": {
            "brokers": neighbours.kafka(),
            "group": into,
            "properties": {"transaction.timeout.ms": 30000, "session.timeout.ms": 10000},
        },
        "input": {"topics": [into], **changes.pop("input", {})},
        "output": {"topic": out, **changes.pop("output", {})},
        "model": {"path": str(MODEL)},
        "delivery": "exactly-once",
        "http": {"listen": "127.0.0.1:0"},
        **changes,
    }


def tagged_once(settings, values):
    """What comes of values whose worker is killed within a transaction."""
    (into,), out = settings["input"]["topics"], settings["output"]["topic"]
    neighbours.produce(into, values)
    first = neighbours.start("worker", neighbours.worker(settings | {"transaction": {"interval": "15s"}}))
    neighbours.wait_for("result in a transaction", lambda: neighbours.answers(lambda: neighbours.ends(out)), first)
    # Within the fifteen seconds of the first transaction: what it has written will be aborted.
    first.kill()
    first.wait()
    to_the_end(settings, "--max-dead", "1")

    committed = neighbours.read(out)
    by_id = {record_id(record): record for record in committed}
    assert len(by_id) == len(committed) == len(values) - 1, "the worker did not tag each document once"
    assert len(neighbours.read(out, "read_uncommitted")) > len(committed), "nothing was aborted, so nothing is proven"
    return by_id


def to_the_end(settings, *arguments):
    worker = neighbours.start("worker", neighbours.worker(settings, "--until-end", *arguments))
    assert worker.wait(neighbours.TIMEOUT) == 0, neighbours.log("worker")[-2000:]


def expected():
    """The values of the results, without tombstones, by the id of their record."""
    return {name: json.loads(record.value()) for name, record in tagged().items() if record.value() is not None}


def raw_document(record):
    """The bytes of a record's document, as they are in its value."""
    text = record.value().decode()
    start = text.index('"document":') + len('"document":')
    return text[start : start + json.JSONDecoder().raw_decode(text[start:])[1]]


def record(offset=3000000000, tags=None, **members):
    """A record as the worker writes it, but for what is said otherwise."""
    entity = {"type": "LOC", "text": "Köln", "start": 0, "end": 4, "score": 0.5, "field": "/body", "field_start": 0, "field_end": 4}
    plain = {"topic": {"label": None, "score": 0.25}, "spam": {"label": "ham", "score": 1.0}, "entities": [entity]}
    source = {"topic": INPUT, "partition": 0, "offset": offset, "timestamp": None}
    known = {
        "id": "1", "tags": plain | (tags or {}), "document": {"id": "1"}, "source": source,
        "model": {"name": "m", "version": "v"}, "tokens": 3, "truncated": False, "tagged_at": "2026-11-21T16:27:22Z",
    }  # fmt: skip
    return json.dumps(known | members).encode()


SCORES = {"topic": {"label": None, "score": 0.25, "scores": [{"label": "sport", "score": 0.25}]}}
LANGUAGE = {"language": {"label": "en", "score": 0.75}}


@functools.cache
def strangers():
    """Records that the three tags' columns do not hold, and one that they do, by their keys."""
    values = {
        "known": record(),
        "another tag": record(tags=LANGUAGE),
        "another member": record(region="eu"),
        "all scores": record(tags=SCORES),
        "another member of an entity": record(tags={"entities": [{"type": "LOC", "line": 3}]}),
        "another member of the source": record(source={"topic": INPUT, "partition": 0, "offset": 1, "leader": 2}),
        "a score of another type": record(tags={"spam": {"label": "ham", "score": "high"}}),
        "a number too large": record(tokens=10**20),
        "no time": record(tagged_at="yesterday"),
        "nothing": b"{}",
    }
    values |= {"cut": values["known"][:100], "no object": b"[1]", "no JSON": b"tagged", "empty": b""}
    neighbours.create_topics(STRANGERS)
    neighbours.produce(STRANGERS, values)
    return values


@functools.cache
def tagged_as_avro():
    """The same as tagged(), in Avro, by four schemas: documents that came as JSON, mails, and messages with others within."""
    neighbours.create_topics(JSON, MAILS, MESSAGES, AVRO, DEAD)
    registry = {"url": neighbours.registry()}
    as_avro = {"output": {"format": "avro"}, "registry": registry}
    tagged_once(configuration(JSON, AVRO, **as_avro), dict(documents(30)))

    fixtures = neighbours.ROOT / "tests" / "fixtures" / "avro"
    mails = neighbours.serializers("write_mails.py", registry["url"], MAILS, 20)
    messages = neighbours.serializers("write_avro.py", registry["url"], fixtures / "message.avsc", fixtures / "person.avsc")
    messages = [line.split()[0] for line in messages if not line.startswith("json-schema")]
    # By a subject that no reader of the topic knows.
    as_avro["registry"] = registry | {"subjects": "record-name"}
    for topic, values, text in ((MAILS, mails, "/body"), (MESSAGES, messages, "/subject")):
        neighbours.produce(topic, {f"{topic}-{number}": base64.b64decode(value) for number, value in enumerate(values)})
        from_avro = {"input": {"format": "avro", "text": [text]}, "limits": {"document": "4MiB"}}
        to_the_end(configuration(topic, AVRO, **as_avro, **from_avro), "--max-dead", str(len(values)))
    return {record_id(record): record for record in neighbours.read(AVRO)}


def expected_of_avro():
    """What another's deserializer reads of them."""
    values = {name: record.value() for name, record in tagged_as_avro().items() if record.value() is not None}
    file = neighbours.folder() / "avro.base64"
    file.write_bytes(b"\n".join(map(base64.b64encode, values.values())))
    lines = neighbours.serializers("read_avro.py", neighbours.registry(), AVRO, file)
    return dict(zip(values, map(json.loads, lines), strict=True))


def strangers_in_avro():
    """What is not of our schemas, though it may look so: nobody is to make tags of it."""
    value = next(record.value() for record in tagged_as_avro().values() if record.value())
    mail = neighbours.serializers("write_mails.py", neighbours.registry(), MAILS, 1)[0]
    values = {"torn": value[:40], "JSON": b'{"id": "1"}', "empty": b"", "unknown": b"\0\x7f\xff\xff\xff" + value[5:], "short": b"\0\0\0"}
    values["a mail that nobody tagged"] = base64.b64decode(mail)
    values["a text"] = b"\0" + neighbours.register("texts", '"string"').to_bytes(4) + b"\x04hi"
    neighbours.produce(AVRO, values)
    return values
