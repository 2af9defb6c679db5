"""Reads events by the CloudEvents SDK, and prints the attributes and the data of each as JSON, a line each.

    read_events.py FILE
"""

import base64
import json
import sys
from pathlib import Path

from cloudevents.core.bindings import kafka
from cloudevents.v1.kafka import KafkaMessage as EarlierMessage
from cloudevents.v1.kafka import from_binary, from_structured

for line in Path(sys.argv[1]).read_text().splitlines():
    record = json.loads(line)
    headers = {name: value.encode() for name, value in record["headers"].items()}
    value = base64.b64decode(record["value"])
    event = kafka.from_kafka_event(kafka.KafkaMessage(headers=headers, key=None, value=value))
    earlier = from_binary if "ce_id" in headers else from_structured
    earlier = earlier(EarlierMessage(headers=headers, key=None, value=value), data_unmarshaller=None)
    earlier_data = earlier.data if isinstance(earlier.data, dict) else json.loads(earlier.data)
    assert (earlier["id"], earlier["type"], earlier_data) == (event.get_id(), event.get_type(), event.get_data())
    print(json.dumps({"attributes": event.get_attributes(), "data": event.get_data()}, default=str))
