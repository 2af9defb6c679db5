"""Writes events as the CloudEvents SDK does, in both modes: of each record its headers and its value, in a line of JSON.

    write_events.py
"""

import base64
import json
from datetime import UTC, datetime

from cloudevents.core.bindings import kafka
from cloudevents.core.v1.event import CloudEvent
from cloudevents.v1.http import CloudEvent as EarlierEvent
from cloudevents.v1.kafka import to_binary as earlier_binary
from cloudevents.v1.kafka import to_structured as earlier_structured


def show(message):
    value = message.value if isinstance(message.value, bytes) else message.value.encode()
    headers = {name: value.decode() for name, value in message.headers.items()}
    print(json.dumps({"headers": headers, "value": base64.b64encode(value).decode()}))


TEXT = "Tim Cook of Apple met Zoë in New York. 🎉"
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

for number, (kind, data) in enumerate([("application/json", {"body": TEXT, "n": 1}), ("text/plain", TEXT)]):
    attributes = {
        "specversion": "1.0",
        "id": f"mail-{number}",
        "source": "/mails",
        "type": "com.example.mail",
        "subject": "Grüße",
        "time": datetime(2026, 11, 29, 18, 30, tzinfo=UTC),
        "datacontenttype": kind,
        "traceparent": PARENT,
    }
    event = CloudEvent(attributes=attributes, data=data)
    show(kafka.to_structured_event(event))
    show(kafka.to_binary_event(event))
    earlier = EarlierEvent({**attributes, "time": "2026-11-29T18:30:00+00:00"}, data)
    show(earlier_structured(earlier))
    show(earlier_binary(earlier, data_marshaller=json.dumps if isinstance(data, dict) else str.encode))

# Data in Base64, as structured events have bytes.
event = CloudEvent(attributes={**attributes, "id": "mail-2"}, data=TEXT.encode())
show(kafka.to_structured_event(event))
