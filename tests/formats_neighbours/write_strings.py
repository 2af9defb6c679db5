"""Writes mails whose fields are strings, in Avro, by a serializer that is not tagbert's: a line of base64 for each of a list of JSON.

    write_strings.py REGISTRY TOPIC MAILS
"""

import base64
import json
import sys

from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from registry import client

SCHEMA = {
    "type": "record",
    "name": "Mail",
    "namespace": "com.acme",
    "fields": [{"name": name, "type": "string"} for name in ["id", "subject", "body"]],
}

url, topic, mails = sys.argv[1:]
serialize = AvroSerializer(client(url), json.dumps(SCHEMA))
for mail in json.loads(mails):
    print(base64.b64encode(serialize(mail, SerializationContext(topic, MessageField.VALUE))).decode())
