#!/usr/bin/env python3
"""Divide the corpus into train, dev and test so that no near-duplicates straddle.

    python3 models/recipe/splits.py --cache .cache          # write splits.tsv
    python3 models/recipe/splits.py --cache .cache --check  # check the committed one

Two documents are near-duplicates when the Jaccard similarity of their sets of
3-word shingles is at least 0.7; groups are what such pairs connect. A group
goes to one split as a whole. splits.tsv names the documents of dev and test.
"""

import argparse
import collections
import math
import random
import re
import sys
from pathlib import Path

import corpus

SIMILAR = 0.7
SHARES = (("test", 0.15), ("dev", 0.10))
SEED = 7


def shingles(document):
    words = re.findall(r"\w+", f"{document['subject']} {document['body']}".lower())
    if len(words) < 3:
        return {tuple(words)}
    return set(zip(words, words[1:], words[2:]))


def similar_pairs(documents):
    """All pairs at or over the threshold, exactly, by a prefix-filtered index.

    If each set is sorted rarest first, two sets that are similar enough share a
    member among their first n - ceil(0.7 n) + 1, so only those are indexed.
    """
    sets = [shingles(document) for document in documents]
    frequency = collections.Counter(shingle for one in sets for shingle in one)
    index = collections.defaultdict(list)
    for this, own in enumerate(sets):
        rarest = sorted(own, key=lambda shingle: (frequency[shingle], shingle))
        prefix = rarest[: len(own) - math.ceil(SIMILAR * len(own)) + 1]
        candidates = {other for shingle in prefix for other in index[shingle]}
        for other in candidates:
            shorter, longer = sorted((len(own), len(sets[other])))
            if shorter < SIMILAR * longer:
                continue
            common = len(own & sets[other])
            if common >= SIMILAR * (shorter + longer - common):
                yield this, other
        for shingle in prefix:
            index[shingle].append(this)


def groups_of(documents):
    """Lists of documents that near-duplicate pairs connect, singles included."""
    parent = list(range(len(documents)))

    def root(node):
        while parent[node] != node:
            parent[node] = node = parent[parent[node]]
        return node

    for one, other in similar_pairs(documents):
        parent[root(one)] = root(other)
    groups = collections.defaultdict(list)
    for node, document in enumerate(documents):
        groups[root(node)].append(document)
    return list(groups.values())


def divide(groups):
    """Split by id for dev and test, stratified by the folder of the corpus."""
    strata = collections.defaultdict(list)
    for group in groups:
        strata[group[0]["id"].rsplit("/", 1)[0]].append(group)
    splits = {}
    for name in sorted(strata):
        stratum = strata[name]
        random.Random(f"{SEED} {name}").shuffle(stratum)
        total = sum(len(group) for group in stratum)
        for split, share in SHARES:
            taken = 0
            while taken < share * total:
                group = stratum.pop()
                taken += len(group)
                splits.update((document["id"], split) for document in group)
    return splits


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cache", type=Path, default=Path(".cache"))
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    groups = groups_of(corpus.read_documents(options.cache / "downloads"))
    if options.check:
        splits = corpus.read_splits()
        torn = sum(len({splits.get(d["id"], "train") for d in group}) > 1 for group in groups)
        print(f"splits: {len(groups)} groups, {torn} straddle")
        sys.exit(torn > 0)
    splits = divide(groups)
    with open(corpus.SPLITS, "w", encoding="utf-8") as file:
        file.writelines(f"{name}\t{split}\n" for name, split in sorted(splits.items()))
    print(f"splits: {len(groups)} groups, {collections.Counter(splits.values())}")


if __name__ == "__main__":
    main()
