"""Reading the documents that a user gives to calibrate by (quantise.py). The standard library alone."""

import json
import re

READ = ("text", "subject", "body")
WHOLE = re.compile(r"\[\s*(\{.*)?|\{")  # how a file of one JSON value over many lines begins; `[1] so it is said` is a text
TAKEN = "one document a line is taken, plain or JSON with `text`"


class Refused(Exception):
    """What a user gave can't be worked with: a line that says so, and what to do."""


def read(path):
    """The documents of a file of JSON lines or of plain lines, and the keys of JSON lines that have none."""
    texts, keys = [], set()
    for number, line in enumerate(filter(None, map(str.strip, lines_of(path)))):
        if not number and WHOLE.fullmatch(line):
            each = ".[]" if line.startswith("[") else "."
            raise Refused(f"{path} is JSON over more than a line each: {TAKEN}; `jq --compact-output '{each}' FILE` makes such lines of it")
        row = parsed(line)
        text = text_of(row)
        if text:
            texts.append(text)
        else:
            keys |= set(row)
    return texts, sorted(keys)


def lines_of(path):
    try:
        with open(path, encoding="utf-8-sig") as file:  # what Windows writes begins with a mark
            yield from file
    except UnicodeDecodeError as failure:
        with open(path, "rb") as file:
            written = "UTF-16" if file.read(2) in (b"\xff\xfe", b"\xfe\xff") else "LATIN1"
        raise Refused(f"{path} is not UTF-8 ({failure.reason}): `iconv -f {written} -t UTF-8 FILE` makes it so, "
                      "if that is how it was written") from failure
    except IsADirectoryError as failure:
        raise Refused(f"{path} is a folder: name a file; {TAKEN}") from failure
    except OSError as failure:
        raise Refused(f"{path}: {failure.strerror}") from failure


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
