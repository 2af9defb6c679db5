"""Reads enriched records in Avro by a deserializer that is not tagbert's, and prints each as JSON, a line each.

    read_avro.py REGISTRY TOPIC FILE [SCHEMA]

A schema is that of the reader, which may be older than what was written.
"""

import base64
import json
import sys
from pathlib import Path

from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from registry import client

url, topic, file, *schema = sys.argv[1:]
deserialize = AvroDeserializer(client(url), *(Path(path).read_text() for path in schema))
for line in Path(file).read_text().splitlines():
    record = deserialize(base64.b64decode(line), SerializationContext(topic, MessageField.VALUE))
    if isinstance(record["document"], str):
        record["document_text"] = record["document"]
        record["document"] = json.loads(record["document"])
    # JSON has no NaN.
    print(json.dumps(json.loads(json.dumps(record, default=str), parse_constant=str)))
