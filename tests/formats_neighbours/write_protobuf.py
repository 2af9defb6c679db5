"""Writes messages of every odd kind, in Protobuf, by a serializer that is not tagbert's: one line of base64 for each, and behind
it what it says, as Protobuf's own JSON has it.

    write_protobuf.py REGISTRY DESCRIPTORS
"""

import base64
import json
import sys
from pathlib import Path

from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, json_format, message_factory

from registry import client

url, descriptors = sys.argv[1:]
registry = client(url)
pool = descriptor_pool.Default()
for file in descriptor_pb2.FileDescriptorSet.FromString(Path(descriptors).read_bytes()).file:
    if not file.name.startswith("google/"):
        pool.Add(file)


def a_class(name):
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


def show(message, topic):
    serialize = ProtobufSerializer(type(message), registry)
    value = serialize(message, SerializationContext(topic, MessageField.VALUE))
    says = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True, descriptor_pool=pool
    )
    print(base64.b64encode(value).decode(), json.dumps(says))


Note, Mail, Old = a_class("com.acme.Note"), a_class("com.acme.Box.Mail"), a_class("com.acme.old.Mail")


def a_mail(**changes):
    mail = Mail(
        id="12345678-1234",
        subject="Zoë met Tim Cook 🎉",
        body=["in Berlin", "and in Paris"],
        kind=1,
        counts={"a": 9223372036854775807, "é": -1, "b": 0},
        ratio=0.1,
        share=0.1,
        raw=b"\x00\xff",
        read=True,
        room=0,
        stars=0,
        kinds={7: 1, -7: 99},
        deltas=[-1, 0, 9007199254740993],
        big=18446744073709551615,
    )
    getattr(mail, "from").name = "Angela"
    getattr(mail, "from").aliases.extend(["A", "Å"])
    mail.sent.FromJsonString("2026-11-29T18:30:00.120Z")
    mail.took.FromJsonString("-1.5s")
    mail.note.value = ""
    mail.extra.update({"list": [1, "two", None, {"deep": True}], "half": 0.5})
    mail.mask.paths.extend(["subject", "reply_to.from"])
    mail.attachment.Pack(Note(text="attached"))
    mail.level.value = 2.5
    mail.values.add().null_value = 0
    mail.values.add().string_value = "v"
    for name, value in changes.items():
        setattr(mail, name, value)
    return mail


show(a_mail(), "mails")
show(a_mail(kind=99, ratio=float("nan"), share=float("-inf"), place="Berlin"), "mails")
inner = any_pb2.Any()
inner.Pack(a_mail().took)
odd = a_mail()
odd.level.value = float("inf")
odd.attachment.Pack(inner)
show(odd, "mails")
nested = a_mail()
for _ in range(20):
    outer = a_mail()
    outer.reply_to.CopyFrom(nested)
    nested = outer
show(nested, "mails")
show(a_mail(place="a word " * 140_000), "mails")
show(Mail(subject="All else is as it is without a value"), "mails")
show(Note(text="The first message of a file: in Berlin, with Tim Cook"), "notes")
old = Old(id=7, body=["old, in Paris"], numbers=[1, -1], kind=1)
old.author.name = "Zoë"
old.Extensions[pool.FindExtensionByName("com.acme.old.comment")] = "beside"
show(old, "old-mails")
