"""Stage 3: a cased vocabulary over the uncased one, for free at inference.

The starting model is uncased, yet capitals tell names from words. Each row of
the new vocabulary is a piece of the old one as it may be written: lower, Title
or UPPER. Its embedding is the old row plus one of three vectors for the case,
which training learns from zero and export adds in for good; what is left is a
plain DistilBERT with a plain WordPiece tokenizer. A Capitalised word is cut
exactly as its lower-case form is; so are the words of the training corpus,
however they are written. All else falls back to single capitals. Letters that spam puts
in ordinary ones' place (𝐛𝐨𝐥𝐝, ｗｉｄｅ, ⓒⓘⓡⓒⓛⓔⓓ) are read as the letters they stand for.
"""

import collections
import json
import unicodedata

import torch
from tokenizers import normalizers, pre_tokenizers

import sets
import tagger

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CASES = ["lower", "Title", "UPPER"]
SHOUTED = 9000  # so many of the most frequent words have an UPPER form, seen or not
SEEN = 2  # a spelling seen once is mostly noise


def bare(piece):
    return piece.removeprefix("##")


def case_of(written, piece):
    if written == piece:
        return 0
    letters = [c for c in bare(written) if c.isalpha()]
    shouted = all(c.isupper() for c in letters) and (len(letters) > 1 or written.startswith("##"))
    return 2 if shouted else 1


def cut(word, vocabulary):
    """WordPiece: the longest piece that fits, again and again; None if nothing fits."""
    pieces, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = ("##" if start else "") + word[start:end]
            if piece in vocabulary:
                break
        else:
            return None
        pieces.append(piece)
        start = end
    return pieces


def training_words():
    """Words with a capital in the documents, tweets and messages of the training split."""
    normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=True)
    splitter = pre_tokenizers.BertPreTokenizer()
    texts = [tagger.text_of(d) for d in tagger.read_corpus() if d["corpus"]["split"] == "train"]
    texts += [row["text"] for row in sets.read(tagger.CACHE / "downloads") if row["split"] == "train"]
    words = collections.Counter()
    for text in texts:
        words.update(word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    return {word: count for word, count in words.items() if word != word.lower() and len(word) <= 40}


def capitals(pieces):
    """(written, piece) of every row to add; a later one never displaces an earlier."""
    words = [piece for piece in pieces if piece[:1].isalpha()]
    for piece in words:
        yield piece[0].upper() + piece[1:], piece
    for piece in pieces:
        if len(bare(piece)) == 1 and bare(piece).isalpha():
            yield piece.upper(), piece
    for piece in words[:SHOUTED]:
        yield piece.upper(), piece
    lower = set(pieces)
    for word, count in sorted(training_words().items()):
        own = cut(word.lower(), lower) if count >= SEEN and len(word.lower()) == len(word) else None
        place = 0
        for piece in own or []:
            size = len(bare(piece))
            yield piece[: len(piece) - size] + word[place : place + size], piece
            place += size


def styled():
    """(character, the letter or digit it stands for): mathematical, full-width, in circles or squares."""
    for start, end in ((0x1D400, 0x1D7FF), (0xFF10, 0xFF5A), (0x24B6, 0x24E9), (0x1F130, 0x1F149), (0x1F150, 0x1F189)):
        for code in range(start, end + 1):
            plain = unicodedata.normalize("NFKC", chr(code))
            if code >= 0x1F150:  # white on black has no plain form of its own
                plain = chr(ord("A") + (code - 0x1F150) % 32) if (code - 0x1F150) % 32 < 26 else ""
            if len(plain) == 1 and plain.isascii() and plain.isalnum():
                yield chr(code), plain


def rows(uncased):
    """The new vocabulary: for each written form its old row and its case."""
    pieces = [piece for piece in uncased if piece not in SPECIALS and not piece.startswith("[unused")]
    found = {piece: (uncased[piece], 0) for piece in SPECIALS + pieces}
    for written, piece in capitals(pieces):
        same = len(written) == len(piece) and written.lower() == piece
        if same and written not in found:
            found[written] = (uncased[piece], case_of(written, piece))
    for character, plain in styled():
        for place in ("", "##"):
            piece = place + plain.lower()
            found.setdefault(place + character, (uncased[piece], int(plain.isupper())))
    return found


def uncased_pieces():
    return json.loads((tagger.WORK / "uncased.json").read_text(encoding="utf-8"))["model"]["vocab"]


def main():
    tokenizer = json.loads((tagger.WORK / "uncased.json").read_text(encoding="utf-8"))
    uncased = tokenizer["model"]["vocab"]
    found = rows(dict(sorted(uncased.items(), key=lambda row: row[1])))
    ids = {written: number for number, written in enumerate(found)}
    tokenizer["model"]["vocab"] = ids
    tokenizer["normalizer"] |= {"lowercase": False, "strip_accents": True}
    for token in tokenizer["added_tokens"]:
        token["id"] = ids[token["content"]]
    for name, token in tokenizer["post_processor"]["special_tokens"].items():
        token["ids"] = [ids[name]]
    compact = json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":"))
    (tagger.WORK / "tokenizer.json").write_text(compact, encoding="utf-8")
    base, case = (torch.tensor(column) for column in zip(*found.values()))
    torch.save({"base": base, "case": case}, tagger.WORK / "vocabulary.pt")
    cased = tagger.load_tokenizer(tagger.WORK / "tokenizer.json")
    print(f"vocabulary: {len(ids)} rows, by case {torch.bincount(case).tolist()}, "
          f"{cased.get_vocab_size()} of them in the tokenizer")


if __name__ == "__main__":
    main()
