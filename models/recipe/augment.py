"""Other ways to write the same text: case, typos, disguises, quotations, other names and numbers.

What people do (typos, one case, no punctuation, emoji) is done to ham and spam
alike; so are disguises now and then, lest a strange letter alone be evidence.
Spam is disguised much more often. Who quotes spam to warn of it writes ham.
"""

import collections
import re

LOOKALIKES = {
    "a": "а@4α", "b": "8ƅЬ", "c": "сϲ(", "e": "е3€ë", "g": "9ɡ", "h": "һ", "i": "і1!íl", "j": "ј", "k": "к", "l": "1|Iӏ",
    "m": "м", "n": "ո", "o": "о0οö", "p": "р", "s": "5$ѕ", "t": "7тт+", "u": "υս", "v": "ν", "w": "ԝ", "x": "х", "y": "уγ", "z": "2",
}
ALPHABETS = [(0x1D400, 0x1D41A), (0x1D5D4, 0x1D5EE), (0x1D468, 0x1D482), (0x1D670, 0x1D68A), (0x1D63C, 0x1D656), (0x1D4D0, 0x1D4EA),
             (0xFF21, 0xFF41), (0x24B6, 0x24D0), (0x1F150, 0x1F150), (0x1F170, 0x1F170)]
INVISIBLE = "\u200b\u200c\u200d\u2060\u2062\u2063\u200e\u00ad\ufeff"
EMOJI = "😂 🤣 😭 ❤️ 🔥 👍 🙏 😊 🎉 💯 😍 👏 🥺 😅 ✅ 🚨 💰 🎁 👉 📞 ⚠️ 📦 🏆 💸 :) :( ;) xx".split(" ")
SWAPS = {
    "you": ["u", "ya"], "your": ["ur"], "are": ["r"], "for": ["4"], "to": ["2"], "please": ["pls", "plz"], "thanks": ["thx", "tnx"],
    "and": ["n", "&"], "tomorrow": ["tmrw", "2moro"], "because": ["cos", "bc"], "with": ["wit", "w/"], "what": ["wat"], "the": ["d", "da"],
    "later": ["l8r"], "great": ["gr8"], "message": ["msg"], "people": ["ppl"], "free": ["fre3", "FREE"], "have": ["hav"], "this": ["dis"],
}
LINKS = ["https://example.org/{}", "www.example.com/{}", "http://t.co/{}", "https://bit.ly/{}", "example.net/{}", "https://youtu.be/{}"]
FRAMES = [
    'Did you get this too? "{}" Looks dodgy to me.', "Careful everyone, this one is going round again: {}", "Is this a scam? {}",
    'Mum got a text saying "{}" and nearly clicked it. I told her to delete it.', "{}\n\n^^ got this today, reported it as spam",
    "Warning to the group: if you receive '{}' do not reply, it is fraud.", 'lol the spam I get these days: "{}"',
    'Example from our phishing training: "{}". Report such messages to the help desk.', "haha look what landed in my junk folder: {}",
    'The bank says it never sends things like "{}". Please ignore it.', "FYI this is fake, the police have warned about it: \"{}\"",
    'Someone hacked my account and sent you "{}". Sorry, don\'t open it!', "Our filter missed this one, can you add a rule? > {}",
    "Why do I keep getting \"{}\" ... who falls for that", "ticket 4471: user forwarded a suspicious message: {} -- no link was opened",
    'In today\'s lesson we look at a typical scam: "{}" What gives it away?', "I block three of these a day: {}",
    'He asked if "{}" was real. No, of course not.', "Another comment bot: \"{}\". Mods, please remove.", "Reported: {}",
]


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
    if kind < 0.75:
        return chance.choice(INVISIBLE).join(word)
    return chance.choice(" .-_*").join(word)


def disguise(text, chance, shares=(0.1, 0.25, 0.5, 0.9)):
    share = chance.choice(shares)
    lines = text.split("\n")
    return "\n".join(
        " ".join(disguised(word, chance) if chance.random() < share else word for word in line.split(" ")) for line in lines
    )


def styled(text, chance):
    """𝐋𝐞𝐭𝐭𝐞𝐫𝐬 ｏｆ ⓐⓝⓞⓣⓗⓔⓡ kind, in all words or some."""
    upper, lower = chance.choice(ALPHABETS)
    share = chance.choice([0.2, 0.5, 1.0])

    def letter(c):
        if not (c.isascii() and c.isalpha()):
            return c
        return chr(upper + ord(c) - ord("A")) if c.isupper() else chr(lower + ord(c) - ord("a"))

    return re.sub(r"[A-Za-z]+", lambda word: "".join(map(letter, word[0])) if chance.random() < share else word[0], text)


def spelt_out(text, chance):
    """s p a c e d  l i k e  t h i s."""
    return chance.choice(["  ", "   ", " "]).join(" ".join(word) for word in text.split(" "))


def other_figures(text, chance):
    """Other digits, so that no telephone number, price or code is learnt by heart."""
    return re.sub(r"\d", lambda digit: digit[0] if digit[0] == "0" else str(chance.randint(1, 9)), text)


def typo(word, chance):
    if word.lower() in SWAPS and chance.random() < 0.5:
        return chance.choice(SWAPS[word.lower()])
    if len(word) < 4 or not word.isalpha() or chance.random() > 0.15:
        return word
    place = chance.randrange(1, len(word) - 1)
    return chance.choice([
        word[:place] + word[place + 1 :],
        word[:place] + word[place] + word[place:],
        word[:place] + word[place + 1] + word[place] + word[place + 2 :],
    ])


def sloppy(text, chance):
    return "\n".join(" ".join(typo(word, chance) for word in line.split(" ")) for line in text.split("\n"))


def unpunctuated(text):
    return re.sub(r"(?<!\d)[.,!?;:'\"]+(?=\s|$)", "", text)


def with_emoji(text, chance):
    words = text.split(" ")
    for _ in range(chance.randint(1, 3)):
        words.insert(chance.choice([0, len(words), len(words), chance.randint(0, len(words))]), chance.choice(EMOJI))
    return " ".join(words)


def with_link(text, chance):
    name = "".join(chance.choice("abcdefghkmnpqrstuvwxyzABCDEFGH23456789") for _ in range(chance.randint(4, 9)))
    return f"{text} {chance.choice(LINKS).format(name)}"


def other_links(text, chance):
    """hxxp, blanks around the dots, [.] and the like."""
    trick = chance.choice([(".", " . "), (".", "[.]"), (".", "(dot)"), (".", " dot "), ("http", "hxxp"), ("/", " / ")])
    return re.sub(r"\S+\.\w{2,}/?\S*", lambda link: link[0].replace(*trick), text)


def quoted(text):
    """As mail programs quote what they answer."""
    return "\n".join("> " + line for line in text.split("\n"))


def warned_of(text, chance):
    """Ham: somebody shows others a piece of spam."""
    return chance.choice(FRAMES).format(text)


def message(text, spam, chance):
    """A short message, written another way."""
    def by(share):
        return chance.random() < share

    if by(0.35):
        text = other_figures(text, chance)
    if by(0.12):
        text = sloppy(text, chance)
    if by(0.08):
        text = unpunctuated(text)
    if by(0.16):
        text = recased(text, upper=by(0.35))
    if by(0.08):
        text = with_emoji(text, chance)
    if by(0.03 if spam else 0.05):
        text = with_link(text, chance)
    if by(0.12 if spam else 0.02):
        text = other_links(text, chance)
    if by(0.2 if spam else 0.04):
        kind = chance.random()
        if kind < 0.6:
            return disguise(text, chance) if spam else disguise(text, chance, (0.05, 0.15))
        if kind < 0.9:
            return styled(text, chance)
        return spelt_out(text, chance)
    return text


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
    if kind < 0.78:
        return sloppy(text, chance)
    return disguise(recased(text, upper=True) if chance.random() < 0.2 else text, chance) if spam else text


class Names:
    """Names of people, organisations and places, to swap for one another: those of the
    training split, and others from all over (names.py)."""

    ELSEWHERE = 0.6  # of the new names

    def __init__(self, examples, others):
        counts = collections.defaultdict(collections.Counter)
        for example in examples:
            # From the silver teacher only what it said more than once: its single finds are its worst.
            worth = 1 if example["source"] in ("bbc", "spamassassin") else 2
            written = example.get("glued", example)
            for start, end, kind in written["spans"]:
                counts[kind][written["text"][start:end]] += worth
        self.known = {kind: [name for name, count in found.items() if count > 1] for kind, found in counts.items()}
        self.others = others

    def another(self, name, kind, chance):
        """A name of the same kind, written in the same case."""
        elsewhere = kind in self.others and chance.random() < self.ELSEWHERE
        new = chance.choice(self.others[kind] if elsewhere else self.known[kind])
        if name.islower():
            return new.lower()
        return new.upper() if name.isupper() and len(name) > 4 else new

    def swapped(self, text, spans, chance):
        """The text with about half of its names swapped for others of their kind."""
        pieces, moved, done, size = [], [], 0, 0
        for start, end, kind in spans:
            name = text[start:end]
            if kind in ("PER", "ORG", "LOC") and chance.random() < 0.5:
                name = self.another(name, kind, chance)
            pieces += [text[done:start], name]
            size += start - done
            moved.append((size, size + len(name), kind))
            size += len(name)
            done = end
        return "".join([*pieces, text[done:]]), moved
