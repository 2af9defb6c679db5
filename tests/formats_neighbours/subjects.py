"""Prints the subjects of a registry, a line each.

    subjects.py REGISTRY
"""

import sys

from confluent_kafka.schema_registry import SchemaRegistryClient

print("\n".join(SchemaRegistryClient({"url": sys.argv[1], "timeout": 30}).get_subjects()))
