"""Prints the subjects of a registry, a line each.

    subjects.py REGISTRY
"""

import sys

from registry import client


print("\n".join(client(sys.argv[1]).get_subjects()))
