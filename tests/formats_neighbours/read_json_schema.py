"""Reads enriched records in JSON Schema by a deserializer that is not tagbert's, which holds each against its schema in the
registry, and prints them, a line each.

    read_json_schema.py REGISTRY TOPIC FILE
"""

import base64
import json
import sys
from pathlib import Path

from confluent_kafka.schema_registry.json_schema import JSONDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from registry import client

url, topic, file = sys.argv[1:]
deserialize = JSONDeserializer(None, schema_registry_client=client(url))
for line in Path(file).read_text().splitlines():
    print(json.dumps(deserialize(base64.b64decode(line), SerializationContext(topic, MessageField.VALUE))))
