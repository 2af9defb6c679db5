"""Other ways to write the same text: case, disguised words, quoted lines, other names.

Case is changed in all kinds of text, so that capitals alone are neither spam
nor the only sign of a name. Disguises are for spam alone.
"""

import collections

LOOKALIKES = {"a": "а@4", "e": "е3€", "i": "і1!", "o": "о0", "s": "5$", "c": "с", "p": "р", "t": "7", "l": "1|"}


def recased(text, upper):
    """The text in one case, character by character, so that spans stay where they are."""
    changed = (c.upper() if upper else c.lower() for c in text)
    return "".join(new if len(new) == 1 else old for new, old in zip(changed, text))


def disguised(word, chance):
    """V1agra, v i a g r a, v.i.a.g.r.a: what spam does to get by a list of words."""
    if len(word) < 4 or not word.isalpha():
        return word
    kind = chance.random()
    if kind < 0.6:
        return "".join(
            chance.choice(LOOKALIKES[c.lower()]) if c.lower() in LOOKALIKES and chance.random() < 0.5 else c for c in word
        )
    return chance.choice(" .-_*").join(word)


def disguise(text, chance):
    share = chance.choice([0.1, 0.25, 0.5])
    lines = text.split("\n")
    return "\n".join(
        " ".join(disguised(word, chance) if chance.random() < share else word for word in line.split(" ")) for line in lines
    )


def quoted(text):
    """As mail programs quote what they answer."""
    return "\n".join("> " + line for line in text.split("\n"))


def respell(text, spam, chance):
    """A part of a mail, written another way."""
    kind = chance.random()
    if kind < 0.3:
        return recased(text, upper=True)
    if kind < 0.4:
        return recased(text, upper=False)
    if kind < 0.5:
        head, _, rest = text.partition("\n")
        return f"{recased(head, upper=True)}\n{rest}"
    if kind < 0.7:
        return disguise(text, chance) if spam else quoted(text)
    return disguise(recased(text, upper=True) if chance.random() < 0.2 else text, chance) if spam else text


class Names:
    """Names of people, organisations and places in the training split, to swap for one another."""

    def __init__(self, examples):
        counts = collections.defaultdict(collections.Counter)
        for example in examples:
            for start, end, kind in example["spans"]:
                counts[kind][example["text"][start:end]] += 1
        # From the silver teacher only what it said more than once: its single finds are its worst.
        self.known = {kind: [name for name, count in found.items() if count > 1] for kind, found in counts.items()}

    def swapped(self, text, spans, chance):
        """The text with about half of its names swapped for others of their kind."""
        pieces, moved, done, size = [], [], 0, 0
        for start, end, kind in spans:
            name = text[start:end]
            if kind != "MISC" and chance.random() < 0.5:
                name = chance.choice(self.known[kind])
            pieces += [text[done:start], name]
            size += start - done
            moved.append((size, size + len(name), kind))
            size += len(name)
            done = end
        return "".join([*pieces, text[done:]]), moved
