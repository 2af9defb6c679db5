"""Reads enriched records in Protobuf by a deserializer that is not tagbert's, and prints each as JSON, a line each.

    read_protobuf.py REGISTRY TOPIC DESCRIPTORS FILE
"""

import base64
import json
import sys
from pathlib import Path

from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

_, topic, descriptors, file = sys.argv[1:]
pool = descriptor_pool.Default()
for each in descriptor_pb2.FileDescriptorSet.FromString(Path(descriptors).read_bytes()).file:
    if not each.name.startswith("google/"):
        pool.Add(each)
enriched = message_factory.GetMessageClass(pool.FindMessageTypeByName("tagbert.Enriched"))
deserialize = ProtobufDeserializer(enriched, {"use.deprecated.format": False})
for line in Path(file).read_text().splitlines():
    record = deserialize(base64.b64decode(line), SerializationContext(topic, MessageField.VALUE))
    said = json_format.MessageToDict(
        record, preserving_proto_field_name=True, always_print_fields_with_no_presence=True, descriptor_pool=pool
    )
    print(json.dumps(said))
