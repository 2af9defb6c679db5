"""The client of a schema registry."""

from confluent_kafka.schema_registry import SchemaRegistryClient


def client(url):
    # Apicurio has been seen to say in its log that it answered, and not to answer. After so many seconds, it is asked again.
    return SchemaRegistryClient({"url": url, "timeout": 30})
