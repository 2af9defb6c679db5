"""Writes messages of every odd kind, in Avro, by serializers that are not tagbert's: one line of base64 for each, and behind it
what it says, as JSON.

    write_avro.py REGISTRY MESSAGE.avsc PERSON.avsc
"""

import base64
import datetime
import decimal
import json
import sys
import uuid
from pathlib import Path

from confluent_kafka.schema_registry import Schema, SchemaReference
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from registry import client

url, message, person = sys.argv[1], Path(sys.argv[2]).read_text(), Path(sys.argv[3]).read_text()
registry = client(url)
registry.register_schema("person", Schema(person, "AVRO"))
reference = SchemaReference("com.acme.people.Person", "person", 1)
serialize = AvroSerializer(registry, Schema(message, "AVRO", [reference]))
context = SerializationContext("messages", MessageField.VALUE)


def show(value, says):
    print(base64.b64encode(value).decode(), json.dumps(says))


def a_message(**changes):
    moment = datetime.datetime(2026, 11, 29, 18, 30, 0, 123000, tzinfo=datetime.timezone.utc)
    return {
        "id": uuid.UUID("12345678-1234-5678-1234-567812345678").bytes,
        "subject": "Zoë met Tim Cook 🎉",
        "body": ["in Berlin", "and in Paris"],
        "kind": "CHAT",
        "from": {"name": "Angela", "aliases": ["A", "Å"]},
        "sent": moment,
        "day": moment.date(),
        "at": datetime.time(18, 30, 0, 5),
        "local": moment.replace(tzinfo=None),
        "price": decimal.Decimal("-12345678901234567.890"),
        "counts": {"a": 9223372036854775807, "é": -1},
        "ratio": 0.1,
        "share": 0.5,
        "raw": b"\x00\xff",
        "read": True,
        "reply_to": None,
    } | changes


SAYS = {
    "id": "12345678-1234-5678-1234-567812345678",
    "subject": "Zoë met Tim Cook 🎉",
    "body": ["in Berlin", "and in Paris"],
    "kind": "CHAT",
    "from": {"name": "Angela", "aliases": ["A", "Å"]},
    "sent": "2026-11-29T18:30:00.123Z",
    "day": "2026-11-29",
    "at": "18:30:00.000005",
    "local": "2026-11-29T18:30:00.123",
    "price": "-12345678901234567.890",
    "counts": {"a": 9223372036854775807, "é": -1},
    "ratio": 0.1,
    "share": 0.5,
    "raw": "AP8=",
    "read": True,
    "reply_to": None,
}

show(serialize(a_message(), context), SAYS)
show(serialize(a_message(body="one text", ratio=float("nan")), context), SAYS | {"body": "one text", "ratio": "NaN"})
nested, says = a_message(), SAYS
for _ in range(20):
    nested, says = a_message(reply_to=nested), SAYS | {"reply_to": says}
show(serialize(nested, context), says)
long = "a word " * 140_000
show(serialize(a_message(body=long), context), SAYS | {"body": long})
show(serialize(a_message(subject=None), context), SAYS | {"subject": None})

document = {"title": "m", "type": "object", "properties": {"subject": {"type": "string"}}}
serialize = JSONSerializer(json.dumps(document), registry)
says = {"subject": "Zoë met Tim Cook"}
print("json-schema", base64.b64encode(serialize(says, SerializationContext("json", MessageField.VALUE))).decode(), json.dumps(says))
