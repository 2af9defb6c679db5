"""What `input.clean: unicode` does for disguised spam, and to what is none: messages of the test sets, through `tagbert tag`.

    python3 models/recipe/obfuscation.py TAGBERT [MODEL]

TAGBERT is the built binary. TAGBERT_DATA names the folder with the sets, as for
sets.py. Each message is disguised in several ways (of the ham, every third one).
Prints a table: the share of the spam that is called so, and of the ham that is
called spam, as it is and cleaned; and for how many ham messages that are not
disguised cleaning changes a label or an entity.
Needs the standard library alone.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import sets

CYRILLIC = str.maketrans("aceiopsxyABCEHIKMOPTX", "асеіорѕхуАВСЕНІКМОРТХ")
BOLD = {ord(letter): 0x1D400 + n for n, letter in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")}
WIDE = {ord(letter): ord(letter) + 0xFEE0 for letter in map(chr, range(0x21, 0x7F)) if letter.isalnum()}
DISGUISES = {
    "none": lambda text: text,
    "Cyrillic letters": lambda text: text.translate(CYRILLIC),
    "zero-width spaces in words": lambda text: "\u200b".join(text),
    "bold letters of mathematics": lambda text: text.translate(BOLD),
    "letters of full width": lambda text: text.translate(WIDE),
}


def tags(tagbert, model, texts, steps):
    """What is said of the texts."""
    with tempfile.TemporaryDirectory() as folder:
        config, lines = Path(folder) / "config.yaml", Path(folder) / "lines"
        about = {"model": {"path": model}, "input": {"text": ["/text"], "clean": steps}, "output": {"shape": "tags-only"}}
        config.write_text(json.dumps(about))
        lines.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        run = [tagbert, "tag", "--config", config, "--input", lines]
        out = subprocess.run(run, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def labels(row):
    """What is said, without the scores."""
    return row["spam"]["label"], row["topic"]["label"], [(found["type"], found["start"], found["end"]) for found in row["entities"]]


def share(rows):
    return f"{100 * sum(row['spam']['label'] == 'spam' for row in rows) / len(rows):.1f} %"


def main():
    tagbert, model = sys.argv[1], (sys.argv[2:] or ["models/tagbert-small"])[0]
    rows = [row for row in [*sets.sms(), *sets.youtube()] if row["split"] == "test" and row["text"].strip()]
    spam, ham = ([row["text"] for row in rows if row["spam"] == label] for label in ("spam", "ham"))
    ham = ham[::3]
    print(f"{len(spam)} spam and {len(ham)} ham messages\n")
    print("| disguise | spam that is called so | cleaned | ham that is called spam | cleaned |\n|---|---|---|---|---|")
    for name, disguise in DISGUISES.items():
        said = [tags(tagbert, model, [disguise(text) for text in texts], steps) for texts in (spam, ham) for steps in ([], ["unicode"])]
        print(f"| {name} |", " | ".join(map(share, said)), "|", flush=True)
        if name == "none":
            other = sum(labels(one) != labels(two) for one, two in zip(said[2], said[3], strict=True))
    odd = sum(not text.isascii() for text in ham)
    print(f"\nham messages, not in disguise, of which cleaning changes a label or an entity: {other} of {len(ham)} ({odd} are not ASCII)")


if __name__ == "__main__":
    main()
