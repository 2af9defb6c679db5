"""Stage 11: write what the worker's tests compare with.

tests/fixtures/tagbert-small/reference.jsonl has the tags of real documents of
the test split by PyTorch on the fp32 weights (text not included, only its
hash); tests/fixtures/tiny-distilbert is a tiny random tagger with its logits
for ordinary and nasty texts. Entities are decoded as decode.py says;
token_labels are label numbers of all tokens but the two special ones.
"""

import argparse
import collections
import hashlib
import json
import tempfile
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import DistilBertConfig

import decode
import export
import start
import tagger

DOCUMENTS = {"bbc": 300, "spamassassin": 150}
TINY_VOCABULARY = 600
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TINY_ROWS = 16
TINY_ALL_ROWS = 64  # texts up to so many tokens have all their token logits recorded


def encode(tokenizer, text):
    tokenizer.enable_truncation(tagger.MAX_TOKENS)
    return tokenizer.encode(text)


def run(model, encoding):
    ids = torch.tensor([encoding.ids])
    with torch.no_grad():
        logits = model(ids, torch.ones_like(ids))
    return {head: values[0].numpy() for head, values in zip(tagger.HEADS, logits)}


def rounded(tag):
    return {key: round(value, 6) if isinstance(value, float) else value for key, value in tag.items()}


def reference(model, tokenizer, document):
    text = tagger.text_of(document)
    encoding = encode(tokenizer, text)
    logits = run(model, encoding)
    return {
        "id": document["id"],
        "sha256": hashlib.sha256(text.encode("utf-8")).hexdigest(),
        "tokens": len(encoding.ids),
        "truncated": bool(encoding.overflowing),
        "topic": rounded(decode.label(logits["topic"], tagger.TOPICS)),
        "spam": rounded(decode.label(logits["spam"], tagger.SPAM)),
        "token_labels": logits["entities"].argmax(-1)[1:-1].tolist(),
        "entities": [rounded(e) for e in decode.entities(logits["entities"], encoding, tagger.TAGS)],
    }


def write_references(weights, folder):
    """Mostly articles: a mail has no topic, and which of five low scores is the best quantisation may turn."""
    model = tagger.load(weights)
    tokenizer = tagger.load_tokenizer(tagger.WORK / "tokenizer.json")
    test = [d for d in tagger.read_corpus() if d["corpus"]["split"] == "test"]
    chosen = {
        document["id"]
        for source, count in DOCUMENTS.items()
        for document in [d for d in test if d["corpus"]["source"] == source][:count]
    }
    path = folder / "tagbert-small" / "reference.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        for document in test:
            if document["id"] in chosen:
                file.write(json.dumps(reference(model, tokenizer, document), separators=(",", ":")) + "\n")
    print(f"fixtures: {len(chosen)} documents in {path}")


ORDINARY = [
    "Angela Merkel met Tim Cook of Apple in Berlin on Tuesday.",
    "Shares in the company fell by 3.5% to 412p.",
    "hello",
    "WIN a FREE prize!!! Click here now",
    "Re: [ILUG] cheap linux PCs\nActually, I'd be more inclined to look into http://example.org/a?b=c&d=%20",
    "don't can't won't it's rock'n'roll O'Brien",
    "C++ vs. C#: $5,000.00 (approx. £3,200) -- 50/50?",
]
NASTY = [
    "Café crème à la Zoë, Ångström, naïve, São Paulo",
    "Cafe\u0301 cre\u0300me, A\u030angstro\u0308m, e\u0301\u0323\u0302",
    "Z\u0351\u036b\u0343a\u0363\u0302l\u0348\u034dg\u0321o\u035c text",
    "I met 👩\u200d👩\u200d👧\u200d👦 in 🇩🇪 and said 👍🏽!",
    "東京でティム・クックに会いました。 北京 서울",
    "我在Berlin见到Angela。",
    "line one\r\nline two\rline three\n\n\nline four\ttabbed",
    "שלום עולם and مرحبا بالعالم, mixed \u202bright to left\u202c",
    "nul\x00 bell\x07 escape\x1b[31m red\x1b[0m delete\x7f next\x85 end",
    "zero\u200bwidth\u200cjoin\u200ders \ufeffand \u2060word joiner",
    "non\u00a0breaking \u2003em space \u3000ideographic\u2028line\u2029paragraph",
    "replacement \ufffd private \ue000 noncharacter \ufffe",
    "ＦＲＥＥ ｍｏｎｅｙ ﬁﬂ ﬃ ½ ² № ™ Ⅷ",
    "ΣΑΣ ß ẞ İstanbul ıI ŉ ǅ ﬀ",
    "[CLS] [SEP] [MASK] [PAD] [UNK] [cls]",
    "##ing ##s # ## ###",
    "𝕳𝖊𝖑𝖑𝖔 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈 𠜎",
    "नमस्ते दुनिया क्षत्रिय สวัสดีชาวโลก",
    "   leading and trailing   ",
    "\n",
    "!!!???...,,,;;;:::",
    "a" * 150,
    "x" * 5000,
    "한" * 700,
    "no" + "-" * 300 + "spaces",
]
LONG = [
    "The quick brown fox jumps over the lazy dog near Oxford. " * 60,
    "Zoë\u0301 👍 " * 400,
    " ".join(str(number) for number in range(400)),
]


def tiny_tokenizer():
    """A word-piece tokenizer of BERT's kind: common words and single characters."""
    normalizer = normalizers.BertNormalizer(lowercase=True)
    splitter = pre_tokenizers.BertPreTokenizer()
    words = collections.Counter(
        word for text in ORDINARY + NASTY[:14] + LONG for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text))
    )
    characters = sorted({character for word in words for character in word})
    common = sorted(words, key=lambda word: (-words[word], word))
    pieces = [*SPECIALS, *characters, *(f"##{character}" for character in characters), *common]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces)) if number < TINY_VOCABULARY}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.add_special_tokens(SPECIALS)
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")]
    )
    return tokenizer


def tiny_tagger(vocabulary):
    torch.manual_seed(3)
    config = DistilBertConfig(
        vocab_size=vocabulary,
        max_position_embeddings=tagger.MAX_TOKENS,
        dim=32,
        hidden_dim=64,
        n_layers=2,
        n_heads=4,
        initializer_range=0.3,  # logits far enough apart to compare
        architectures=["DistilBertForMultiHeadTagging"],
        id2label=start.id_to_label(tagger.TAGS),
        label2id={label: number for number, label in enumerate(tagger.TAGS)},
    )
    model = tagger.Tagger(config)
    for head in tagger.HEADS:
        torch.nn.init.normal_(getattr(model, head).weight, std=0.5)
    return model.eval()


def write_tiny(folder):
    folder = folder / "tiny-distilbert"
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = tiny_tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    model = tiny_tagger(tokenizer.get_vocab_size())
    model.distilbert.config.save_pretrained(folder)
    tagger.write_json(tagger.manifest(folder.name), folder / "heads.json")
    model.distilbert.config._attn_implementation = "eager"
    with tempfile.TemporaryDirectory() as scratch:
        traced = Path(scratch) / "traced.onnx"
        export.export(model, traced)
        export.fuse(traced, folder / "model.onnx", model.distilbert.config)
    cases = []
    for text in ORDINARY + NASTY + LONG:
        encoding = encode(tokenizer, text)
        logits = run(model, encoding)
        rows = None if len(encoding.ids) <= TINY_ALL_ROWS else TINY_ROWS
        cases.append({
            "text": text,
            "input_ids": encoding.ids,
            "truncated": bool(encoding.overflowing),
            "topic": [round(value, 6) for value in logits["topic"].tolist()],
            "spam": [round(value, 6) for value in logits["spam"].tolist()],
            "entities": [[round(value, 6) for value in row] for row in logits["entities"][:rows].tolist()],
        })
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    (folder / "reference.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"fixtures: {folder}, {len(cases)} texts, {size / 1e3:.0f} kB")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--weights", type=Path, default=tagger.WORK / "tagger")
    parser.add_argument("--to", type=Path, default=tagger.FIXTURES)
    options = parser.parse_args()
    write_tiny(options.to)
    write_references(options.weights, options.to)


if __name__ == "__main__":
    main()
