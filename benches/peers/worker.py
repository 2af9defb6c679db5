"""What one would write in Python today: reads documents from Kafka, tags them, writes them.

    worker.py --kind pipelines|three|one --brokers B --input T --output T --group G --documents N --models DIR

prints `ready` when the models are loaded and the topic is subscribed to, and one
line of JSON when N documents are delivered and their offsets committed. It ends
with 0 then, with 3 when what the kind needs is not set up (nothing was measured),
with 1 when anything else went wrong. See README.md.
"""

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import taggers

try:
    from confluent_kafka import Consumer, Producer, TopicPartition
except ImportError as error:
    missing = error
else:
    missing = None

NOT_SET_UP = 3
POLL = 1.0  # seconds


def read_options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kind", choices=["pipelines", "three", "one"], required=True)
    parser.add_argument("--brokers", required=True)
    parser.add_argument("--input", required=True, help="topic")
    parser.add_argument("--output", required=True, help="topic")
    parser.add_argument("--group", required=True)
    parser.add_argument("--documents", type=int, required=True, help="stop after so many")
    parser.add_argument("--models", type=Path, required=True, help="what models.py laid out")
    return parser.parse_args()


def cpu_seconds():
    """User and system time of this process, all threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak_rss():
    """The most memory that was ever resident, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmHWM in /proc/self/status")


def text_of(document):
    return f"{document['subject']}\n{document['body']}"


class Deliveries:
    """What the brokers acknowledged."""

    def __init__(self):
        self.count = 0

    def __call__(self, error, _message):
        if error is not None:
            raise RuntimeError(f"a record was not delivered: {error}")
        self.count += 1


def run(options, tagger, consumer, producer):
    delivered = Deliveries()
    began = None
    while delivered.count < options.documents:
        messages = consumer.consume(min(taggers.BATCH, options.documents - delivered.count), timeout=POLL)
        if not messages:
            continue
        if began is None:
            began = time.perf_counter(), cpu_seconds()
        for message in messages:
            if message.error():
                raise RuntimeError(f"reading {options.input}: {message.error()}")
        documents = [json.loads(message.value()) for message in messages]
        for message, document, tags in zip(messages, documents, tagger([text_of(document) for document in documents])):
            document["tags"] = tags
            value = json.dumps(document, ensure_ascii=False).encode()
            producer.produce(options.output, value, message.key(), on_delivery=delivered)
        producer.flush()
        ended = time.perf_counter(), cpu_seconds()
        # Of what was read, and now is delivered. Only the last commit is waited for. Offsets are named, for
        # without them those of records are committed, too, that consume() holds and has not yet given out.
        done = {message.partition(): message.offset() + 1 for message in messages}
        offsets = [TopicPartition(options.input, partition, offset) for partition, offset in done.items()]
        consumer.commit(offsets=offsets, asynchronous=delivered.count < options.documents)
    return [end - begin for begin, end in zip(began, ended)]


def main():
    options = read_options()
    try:
        if missing:
            raise taggers.NotSetUp(f"{missing}: run scripts/setup.sh peers")
        tagger = taggers.make(options.kind, options.models)
    except taggers.NotSetUp as error:
        print(f"peers: {options.kind} was not measured: {error}", file=sys.stderr)
        sys.exit(NOT_SET_UP)
    tagger(["The first run of a model is slower."] * taggers.BATCH)

    consumer = Consumer(
        {
            "bootstrap.servers": options.brokers,
            "group.id": options.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    producer = Producer({"bootstrap.servers": options.brokers, "linger.ms": 5, "compression.type": "lz4"})
    consumer.subscribe([options.input])
    print("ready", flush=True)
    try:
        seconds, cpu = run(options, tagger, consumer, producer)
    finally:
        consumer.close()
    print(
        json.dumps(
            {"documents": options.documents, "seconds": seconds, "cpu_seconds": cpu, "peak_rss": peak_rss()}
        ),
        flush=True,
    )


if __name__ == "__main__":
    main()
