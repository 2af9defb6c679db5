"""Tags of one document from logits: the convention that the worker follows too.

The label of a word (a run of tokens with one word id; special tokens have
none) is the best label of its first token, and its score that label's softmax.
B-X begins an entity; I-X goes on with it if the word before is in an entity of
kind X, else it begins one; O ends it. An entity reaches from the start of its
first word to the end of its last, in code points, end exclusive; its score is
the mean of its words' scores.
"""

import numpy as np


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def label(logits, labels):
    scores = softmax(logits)
    best = int(scores.argmax())
    return {"label": labels[best], "score": float(scores[best])}


def words_of(encoding):
    """(first token, start, end) of each word."""
    words, previous = [], None
    for token, (word, (start, end)) in enumerate(zip(encoding.word_ids, encoding.offsets)):
        if word is None:
            continue
        if word == previous:
            words[-1] = (words[-1][0], words[-1][1], end)
        else:
            words.append((token, start, end))
        previous = word
    return words


def entities(logits, encoding, tags):
    found, scores = [], []
    probabilities = softmax(logits)
    kind_before = None
    for token, start, end in words_of(encoding):
        best = int(probabilities[token].argmax())
        place, _, kind = tags[best].partition("-")
        if place == "O":
            kind_before = None
            continue
        if place == "I" and kind == kind_before:
            found[-1]["end"] = end
            scores[-1].append(probabilities[token, best])
        else:
            found.append({"type": kind, "start": start, "end": end})
            scores.append([probabilities[token, best]])
        kind_before = kind
    return [{**entity, "score": float(np.mean(own))} for entity, own in zip(found, scores)]
