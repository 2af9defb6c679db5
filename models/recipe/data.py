"""Stage 4: texts, spans and labels of all splits, as token ids.

Mails carry a spam label, articles a topic label and are ham. Entities of both
are silver (silver.py); tweets, web text, Wikipedia and some of this project's messages
carry gold entities, other messages none (sets.py). Word labels sit on the first token of each word; other
tokens are ignored, and so are words whose span is MASKED: handles, mostly.
"""

import json

import torch

import sets
import silver
import tagger


MASKED = "-"


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
            place = "I-" if span is previous_span else "B-"
            labels.append(tagger.IGNORED if span[2] == MASKED else tagger.TAGS.index(place + span[2]))
            previous_span = span
        else:
            labels.append(0)
        previous_word = word
    return torch.tensor(encoding.ids, dtype=torch.int32), torch.tensor(labels, dtype=torch.int16)


def example(tokenizer, name, source, split, text, spans, title=0, **labels):
    ids, entities = encode(tokenizer, text, spans)
    return {
        "id": name,
        "source": source,
        "split": split,
        "text": text,
        "spans": spans,
        "ids": ids,
        "entities": entities,
        "title": title,
        "topic": tagger.NO_TOPIC,
        "spam": 0,
        "misc": True,  # whether the set marks entities of the kind MISC
        **labels,
    }


def spans_with_masked(form):
    return sorted([*form["spans"], *((start, end, MASKED) for start, end in form["masked"])])


def of_sets(tokenizer):
    """Sentences in both forms, cut and glued; tweets as they are cut; messages, whose words have no labels."""
    for row in sets.read(tagger.CACHE / "downloads"):
        if row["split"] == "test" and row["source"] != "youtube":
            continue
        about = {
            "spam": tagger.SPAM.index(row["spam"]),
            "topic": tagger.TOPICS.index(row["topic"]) if row["topic"] else tagger.NO_TOPIC,
            "kind": row.get("kind"),
        }
        if "glued" in row:
            found, other = (
                example(tokenizer, row["id"], row["source"], row["split"], form["text"], spans_with_masked(form), misc=row["misc"], **about)
                for form in (row, row["glued"])
            )
            yield {**found, "glued": other}
        else:
            marked = row["spans"] is not None
            misc = row.get("misc", not marked)  # this project leaves it out of its messages
            found = example(tokenizer, row["id"], row["source"], row["split"], row["text"], row["spans"] or [], misc=misc, **about)
            if not marked:
                found["entities"] = torch.full_like(found["entities"], tagger.IGNORED)
            yield {**found, "split": "youtube"} if row["source"] == "youtube" else found


def main():
    tokenizer = tagger.load_tokenizer(tagger.WORK / "tokenizer.json")
    with open(silver.EVERYWHERE, encoding="utf-8") as file:
        taught = {row["id"]: row["spans"] for row in map(json.loads, file)}
    examples = []
    for document in tagger.read_corpus():
        about = document["corpus"]
        examples.append(example(
            tokenizer,
            document["id"],
            about["source"],
            about["split"],
            tagger.text_of(document)[: silver.TAUGHT_CHARACTERS],
            taught[document["id"]],
            title=len(tokenizer.encode(document["subject"], add_special_tokens=False).ids),
            topic=tagger.TOPICS.index(about["topic"]) if "topic" in about else tagger.NO_TOPIC,
            spam=tagger.SPAM.index(about.get("spam", "ham")),
        ))
    examples += of_sets(tokenizer)
    torch.save(examples, tagger.WORK / "data.pt")
    print(f"data: {len(examples)} examples, {sum(len(e['ids']) for e in examples)} tokens")


if __name__ == "__main__":
    main()
