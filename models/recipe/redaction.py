"""How many names get through `redact`: gold names of the test sets, through `tagbert tag`.

    python3 models/recipe/redaction.py TAGBERT [MODEL]

TAGBERT is the built binary. TAGBERT_DATA names the folder with the sets, as for
sets.py. Prints a table: of the names of each set and type, the share of which
any letter is left; and of the words that are no names, the share that is masked.
Needs the standard library alone.
"""

import collections
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import sets

SHOWN = {"wnut": "social media, WNUT17", "btc": "tweets, BTC h", "ewt": "web text, EWT", "wikigold": "Wikipedia"}
TYPES = ("PER", "ORG", "LOC")
SCORES = (None, 0.3, 0.1, 0.03)
WORD = re.compile(r"\w+")


def masked(tagbert, model, texts, score):
    """The texts with their names masked: a `*` for each character, so that places stay."""
    rule = {"entities": list(TYPES), "with": "mask", **({"min_score": score} if score else {})}
    with tempfile.TemporaryDirectory() as folder:
        config, lines = Path(folder) / "config.yaml", Path(folder) / "lines"
        config.write_text(json.dumps({"model": {"path": model}, "input": {"text": ["/text"]}, "redact": [rule]}))
        lines.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        run = [tagbert, "tag", "--config", config, "--input", lines]
        out = subprocess.run(run, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [json.loads(line)["document"]["text"] for line in out.splitlines()]


def main():
    tagbert, model = sys.argv[1], (sys.argv[2:] or ["models/tagbert-small"])[0]
    rows = [row for row in sets.entity_sets() if row["split"] == "test"]
    texts = [row["glued"]["text"] for row in rows]
    names, through, words, lost = (collections.Counter() for _ in range(4))
    for score in SCORES:
        for row, text in zip(rows, masked(tagbert, model, texts, score), strict=True):
            about = row["glued"]
            for start, end, kind in about["spans"]:
                if kind in TYPES:
                    names[row["source"], kind, score] += 1
                    through[row["source"], kind, score] += any(letter.isalnum() for letter in text[start:end])
            gold = [(start, end) for start, end, _ in about["spans"]] + about["masked"]
            for word in WORD.finditer(about["text"]):
                if not sets.overlaps(word.span(), gold):
                    words[row["source"], score] += 1
                    lost[row["source"], score] += "*" in text[slice(*word.span())]
    print("| set | what | number |", " | ".join("as tagged" if score is None else f"min_score: {score}" for score in SCORES), "|")
    print("|---|---|---|" + "---|" * len(SCORES))
    for source, shown in SHOWN.items():
        for kind in TYPES:
            number = names[source, kind, None]
            shares = [f"{100 * through[source, kind, score] / max(number, 1):.1f} %" for score in SCORES]
            print(f"| {shown} | {kind} that got through | {number} |", " | ".join(shares), "|")
        number = words[source, None]
        shares = [f"{100 * lost[source, score] / max(number, 1):.1f} %" for score in SCORES]
        print(f"| {shown} | other words that were masked | {number} |", " | ".join(shares), "|")


if __name__ == "__main__":
    main()
