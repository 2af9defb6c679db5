"""Writes mails that no other mail stands in, in Avro, by a serializer that is not tagbert's: one line of base64 for each.

    write_mails.py REGISTRY TOPIC COUNT
"""

import base64
import datetime
import decimal
import json
import sys

from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from registry import client

url, topic, count = sys.argv[1:]
FIELDS = {
    "id": "string",
    "body": ["null", "string"],
    "sent": {"type": "long", "logicalType": "timestamp-micros"},
    "day": {"type": "int", "logicalType": "date"},
    "price": {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 3},
    "counts": {"type": "map", "values": "long"},
    "ratio": "double",
    "raw": "bytes",
    "folder": ["null", "string"],
}
schema = {"type": "record", "name": "Mail", "namespace": "com.acme", "fields": [{"name": name, "type": kind} for name, kind in FIELDS.items()]}
serialize = AvroSerializer(client(url), json.dumps(schema))
sent = datetime.datetime(2026, 11, 29, 18, 30, 0, 123456, tzinfo=datetime.timezone.utc)
for number in range(int(count)):
    mail = {
        "id": f"mail-{number}",
        "body": f"Angela Merkel met {number} people in Köln 😀.",
        "sent": sent,
        "day": sent.date(),
        "price": decimal.Decimal("-12345678901234567.890"),
        "counts": {"a": 9223372036854775807, "é": -1},
        "ratio": 0.1,
        "raw": b"\x00\xff",
        "folder": None,
    }
    print(base64.b64encode(serialize(mail, SerializationContext(topic, MessageField.VALUE))).decode())
