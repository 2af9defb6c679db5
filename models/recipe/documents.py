"""Reading the documents that a user gives to calibrate by (quantise.py). The standard library alone."""

import json

READ = ("text", "subject", "body")


def read(path):
    """The documents of a file of JSON lines or of plain lines, and the keys of JSON lines that have none."""
    texts, keys = [], set()
    with open(path, encoding="utf-8") as file:
        for line in filter(None, map(str.strip, file)):
            row = parsed(line)
            text = text_of(row)
            if text:
                texts.append(text)
            else:
                keys |= set(row)
    return texts, sorted(keys)


def parsed(line):
    """The fields of a line; a plain one, even if it begins as JSON does, is a text."""
    try:
        row = json.loads(line) if line.startswith("{") else None
    except ValueError:
        row = None
    return {"text": line} if row is None else row


def text_of(row):
    text, *parts = (value if isinstance(value, str) and value.strip() else "" for value in map(row.get, READ))
    return text or "\n".join(filter(None, parts))


def spread(texts, count):
    """So many of them, evenly; all, if they are fewer."""
    count = min(count, len(texts))
    return [texts[place * len(texts) // count] for place in range(count)]
