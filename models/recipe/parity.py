"""Fixtures that hold the worker to what transformers' pipelines give.

    nice .cache/recipe-venv/bin/python models/recipe/parity.py [--only NAME]

makes tiny random models of many kinds, lays each out as Hugging Face or Optimum
exports it, runs transformers' own pipelines (fp32, PyTorch, one text at a time)
over nasty texts, and writes tests/fixtures/parity/. A second run writes the
same bytes.

texts.json            list of all texts
NAME/                 config.json, tokenizer.json or vocab.txt, ..., model.onnx or
                      onnx/model.onnx (onnx/model_fp16.onnx, onnx/model_quantized.onnx)
NAME/expected.json    an object, one case a line:
  task                "text-classification" or "token-classification"
  transformers        the version that gave the results
  graph               the fp32 graph, relative to the folder
  variants            {graph: largest difference of a logit to the fp32 graph}
  max_length          tokens a text is truncated to, special ones included: the lesser
                      of tokenizer_config.json's model_max_length and the positions the
                      model has (for RoBERTa's kind max_position_embeddings - pad id - 1)
  function_to_apply   (classification) "softmax", "sigmoid" or "none", which the pipeline chose
  grouping            (tokens) "transformers", or "reference": see ReferencePipeline
  cases               of each text that has no near tie in this model:
    text              its number in texts.json
    input_ids         of the tokenizer, special tokens included, truncated
    label, score      the pipeline's one result (softmax, one logit)
    scores            or [label, score] of all labels, in order (multi-label)
    none, simple, first, average, max
                      or the entities of each strategy: [label or type, start, end, score],
                      offsets in code points, without those that are "O"; the last three of
                      WordsPipeline's words
Scores have 6 digits.

What of files that disagree? See parity_variations.py.

How TokenClassificationPipeline (transformers 5.23) decides whether a token
continues the word before it (`is_subword`), per token that is not special by
the post-processor's mask (a literal "[SEP]" in a text is not masked):
 1. The model of the tokenizer has a non-empty continuing_subword_prefix
    (WordPiece "##"): the length of the token as the vocabulary spells it,
    prefix and all, differs from the length of text[start:end], in code points.
    So "cafe" + combining accent, 2 code points folded to 1 token letter, is a "subword".
 2. Otherwise (byte-level BPE, whose prefix is "", and Unigram): start > 0 and
    there is no U+0020 in text[start-1 : start+1]; other whitespace glues.
 3. If the token is unk, it is not a subword, whatever 1 and 2 say.
The first token begins a word, subword or not; a subword joins the word before
it even over whitespace. "first", "average" and "max" give a word the label of
its first token, of the mean of the probabilities, of the token surest of itself.
"""

import argparse
import json
import shutil
import tempfile
import unicodedata
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
import transformers
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers.float16 import convert_float_to_float16
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import (
    AddedToken,
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    BertConfig,
    BertTokenizer,
    DistilBertConfig,
    DistilBertTokenizer,
    RobertaConfig,
    RobertaTokenizer,
    TextClassificationPipeline,
    TokenClassificationPipeline,
    XLMRobertaConfig,
    XLMRobertaTokenizer,
)

from parity_texts import LONG, PROSE, TEXTS
from parity_variations import write_variations

FIXTURES = Path(__file__).resolve().parents[2] / "tests" / "fixtures" / "parity"
OPSET = 17
STRATEGIES = ["none", "simple", "first", "average", "max"]
LOGIT_MARGIN = 5e-3  # between the best two logits, or a logit and 0 where 0 decides
SCORE_MARGIN = 1e-4  # between the best two scores that a strategy compares
SPREAD = 2.0  # standard deviation of each logit over the texts
BERT_SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA_SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


# Tokenizers. Vocabularies are counted here where the trainers of `tokenizers` might
# break ties at random.


def words(normalizer, splitter):
    found = Counter()
    for text in [*PROSE.strip().splitlines() * 3, *TEXTS]:
        normal = normalizer.normalize_str(text) if normalizer else text
        found.update(word for word, _ in splitter.pre_tokenize_str(normal))
    return found


def commonest(counter, count):
    return sorted(counter, key=lambda key: (-counter[key], key))[:count]


def wordpiece_vocabulary(size, **options):
    """Common characters (rare ones stay unknown), common words, and pieces of words."""
    normalizer = normalizers.BertNormalizer(clean_text=True, **options)
    found = words(normalizer, pre_tokenizers.BertPreTokenizer())
    letters, pieces = Counter(), Counter()
    for word, count in found.items():
        count = min(count, 30)
        letters.update({letter: count for letter in word})
        for length in range(2, 6):
            for start in range(len(word) - length + 1):
                piece = word[start : start + length]
                pieces[piece if start == 0 else f"##{piece}"] += count * length
    letters = sorted(commonest(letters, size * 3 // 10))
    whole = commonest({word: count for word, count in found.items() if len(word) > 1}, size // 5)
    vocabulary = [*BERT_SPECIALS, *letters, *(f"##{letter}" for letter in letters), *whole]
    vocabulary = dict.fromkeys([*vocabulary, *commonest(pieces, size)])
    return {piece: number for number, piece in enumerate(list(vocabulary)[:size])}


def bytelevel_vocabulary(size):
    splitter = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = splitter
    trainer = trainers.BpeTrainer(
        vocab_size=size - 1,
        special_tokens=ROBERTA_SPECIALS[:4],
        initial_alphabet=sorted(splitter.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*PROSE.strip().splitlines() * 3, *TEXTS], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    vocabulary = dict(sorted(model["vocab"].items(), key=lambda item: item[1]))
    vocabulary["<mask>"] = len(vocabulary)
    return vocabulary, [tuple(merge) for merge in model["merges"]]


def double_array(entries):
    """A Darts double array of {bytes: number}, as SentencePiece keeps its rules in."""
    root = {}
    for key, value in entries.items():
        node = root
        for byte in key:
            node = node.setdefault(byte, {})
        node["value"] = value
    units, bases, open_nodes = {0: 0}, set(), [(0, 0, root)]
    while open_nodes:
        position, label, node = open_nodes.pop(0)
        labels = sorted(byte for byte in node if byte != "value")
        wanted = [*labels, *([0] if "value" in node else [])]
        base = next(b for b in range(1, 1 << 20) if b not in bases and not any(b ^ byte in units for byte in wanted))
        bases.add(base)
        units[position] = label | ("value" in node) << 8 | (position ^ base) << 10
        units.update({base ^ byte: 0 for byte in wanted})
        if "value" in node:
            units[base] = 1 << 31 | node["value"]
        open_nodes += [(base ^ byte, byte, node[byte]) for byte in labels]
    size = max(units) // 256 * 256 + 256  # a byte that no node has must still find a unit
    return np.array([units.get(number, 0) for number in range(size)], dtype="<u4").tobytes()


def charsmap():
    """SentencePiece's "precompiled" normalizer: NFKC of what the texts hold, some characters dropped."""
    text = "\n".join(TEXTS)
    found = set(text) | {text[at : at + 2] for at in range(len(text) - 1) if unicodedata.combining(text[at + 1])}
    rules = dict.fromkeys("\t\n\r", " ") | dict.fromkeys("\u200b\u200e\u200f\ufeff\x07\x1b\x7f", "")
    for piece in found:
        if unicodedata.normalize("NFKC", piece) != piece:
            rules.setdefault(piece, unicodedata.normalize("NFKC", piece))
    entries, blob = {}, b""
    for piece, normal in sorted(rules.items()):
        entries[piece.encode()] = len(blob)
        blob += normal.encode() + b"\0"
    array = double_array(entries)
    return len(array).to_bytes(4, "little") + array + blob


def unigram_vocabulary(size, rules):
    splitter = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always")]
    )
    letters, pieces = Counter(), Counter()
    for word, count in words(normalizers.Precompiled(rules) if rules else None, splitter).items():
        count = min(count, 30)
        letters.update({letter: count for letter in word})
        for length in range(2, 8):
            for start in range(len(word) - length + 1):
                pieces[word[start : start + length]] += count * length
    chosen = {letter: letters[letter] for letter in commonest(letters, size * 3 // 10)}
    for piece in commonest(pieces, size):
        if len(chosen) < size - 5:
            chosen.setdefault(piece, pieces[piece])
    total = sum(chosen.values())
    scored = [(piece, round(float(np.log(chosen[piece] / total)), 4)) for piece in commonest(chosen, size)]
    return [(special, 0.0) for special in ROBERTA_SPECIALS[:4]] + scored + [("<mask>", 0.0)]


# Folders.


def write_json(value, path, **options):
    path.write_text(json.dumps(value, ensure_ascii=True, **options) + "\n", encoding="utf-8")


def added_tokens(tokenizer):
    keys = ("content", "lstrip", "normalized", "rstrip", "single_word", "special")
    return {
        str(number): {key: getattr(token, key) for key in keys}
        for number, token in sorted(tokenizer.added_tokens_decoder.items())
    }


def lay_out_tokenizer(folder, tokenizer, style, bake):
    """`style`: how a release of transformers, or somebody in a hurry, saved a tokenizer.

    "v5" tokenizer.json and a config; "v4" special_tokens_map.json and vocab.txt
    besides; "vocab" vocab.txt and a meagre config as of 2019.
    """
    with tempfile.TemporaryDirectory() as scratch:
        tokenizer.save_pretrained(scratch)
        saved = json.loads((Path(scratch) / "tokenizer.json").read_text(encoding="utf-8"))
        about = json.loads((Path(scratch) / "tokenizer_config.json").read_text(encoding="utf-8"))
    saved.update(bake)
    pieces = list(saved["model"]["vocab"])
    if style == "vocab":
        about = {key: about[key] for key in ("do_lower_case", "model_max_length") if key in about}
        if tokenizer.do_lower_case:
            about |= {"strip_accents": None, "tokenize_chinese_chars": True}
    else:
        compact = json.dumps(saved, ensure_ascii=False, separators=(",", ":"))
        (folder / "tokenizer.json").write_text(compact, encoding="utf-8")
    if style == "v4":
        about.pop("backend", None)
        about |= {"added_tokens_decoder": added_tokens(tokenizer), "clean_up_tokenization_spaces": True}
        names = ("bos_token", "cls_token", "eos_token", "mask_token", "pad_token", "sep_token", "unk_token")
        special = {name: str(getattr(tokenizer, name)) for name in names if getattr(tokenizer, name)}
        write_json(special, folder / "special_tokens_map.json", indent=2)
    if style == "vocab" or (style == "v4" and isinstance(tokenizer, BertTokenizer)):
        (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")
    write_json(about, folder / "tokenizer_config.json", indent=2)


def lay_out_config(folder, config, problem):
    """`problem`: a problem_type, None for null, or "absent"."""
    entries = json.loads(config.to_json_string())
    entries.pop("problem_type", None)
    if problem != "absent":
        entries["problem_type"] = problem
    (folder / "config.json").write_text(json.dumps(entries, indent=2, sort_keys=True) + "\n", encoding="utf-8")


# Models.


def last_linear(model):
    head = model.classifier
    return head.out_proj if hasattr(head, "out_proj") else head


def encode(tokenizer, text):
    return tokenizer(text, truncation=True, return_tensors="pt", return_special_tokens_mask=True)


def logits_of(model, tokenizer, text):
    """One row of logits for a class head, a row for each token that is not special otherwise."""
    inputs = encode(tokenizer, text)
    keep = inputs.pop("special_tokens_mask")[0] == 0
    with torch.no_grad():
        logits = model(**inputs).logits[0]
    return logits[None] if logits.dim() == 1 else logits[keep]


def spread_out(model, tokenizer, texts, other):
    """Centres and scales the logits over the texts, so that each label has its share."""
    rows = torch.cat([logits_of(model, tokenizer, text) for text in texts])
    scale = torch.round(SPREAD / rows.std(0) * 1000) / 1000
    shift = torch.round(-rows.mean(0) * scale * 1000) / 1000
    if other is not None:
        shift[other] += SPREAD
    linear = last_linear(model)
    with torch.no_grad():
        linear.weight.mul_(scale[:, None])
        linear.bias.mul_(scale).add_(shift)


def make_model(folder, seed):
    torch.manual_seed(seed)
    config = AutoConfig.from_pretrained(folder)
    tokens = config.architectures[0].endswith("ForTokenClassification")
    kind = AutoModelForTokenClassification if tokens else AutoModelForSequenceClassification
    model = kind.from_config(config, attn_implementation="eager").eval()
    torch.nn.init.normal_(last_linear(model).weight, std=0.5)
    return model


class Graph(torch.nn.Module):
    def __init__(self, model, names):
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs):
        return self.model(**dict(zip(self.names, inputs))).logits


def export(model, names, path):
    path.parent.mkdir(exist_ok=True)
    ids = torch.randint(5, 200, (2, 16), generator=torch.Generator().manual_seed(1))
    values = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
    axes = {0: "batch_size", 1: "sequence_length"}
    tokens = model.config.architectures[0].endswith("ForTokenClassification")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Graph(model, names).eval(),  # export restores the mode it finds
            tuple(values[name] for name in names),
            str(path),
            input_names=names,
            output_names=["logits"],
            dynamic_axes={name: axes for name in names} | {"logits": axes if tokens else {0: "batch_size"}},
            opset_version=OPSET,
            dynamo=False,
        )


def make_variants(path):
    half = convert_float_to_float16(onnx.load(path), keep_io_types=True)
    onnx.save(half, path.with_name("model_fp16.onnx"))
    quantize_dynamic(path, path.with_name("model_quantized.onnx"), weight_type=QuantType.QUInt8)


def difference(path, model, tokenizer, texts):
    """Largest distance of a logit of the graph to PyTorch's."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    largest = 0.0
    for text in texts:
        inputs = encode(tokenizer, text)
        inputs.pop("special_tokens_mask")
        with torch.no_grad():
            expected = model(**inputs).logits.numpy()
        (given,) = session.run(None, {name: inputs[name].numpy() for name in names})
        largest = max(largest, float(np.abs(given - expected).max()))
    return largest


# Pipelines.


class WordsPipeline(TokenClassificationPipeline):
    """Words that what the tokenizer drops does not change.

    To transformers, a token goes on with the word before it if the tokenizer drops a
    character within it ("Ber\\u200blin", an accent that stands behind its letter) or,
    without marked pieces, right before it. Here only what is kept counts.
    """

    def gather_pre_entities(self, sentence, *arguments, **options):
        entities = super().gather_pre_entities(sentence, *arguments, **options)
        backend = self.tokenizer.backend_tokenizer
        marker = getattr(backend.model, "continuing_subword_prefix", None)
        before = 0
        for entity in entities:
            start, end = int(entity["start"]), int(entity["end"])
            if entity["is_subword"] and marker:
                kept = [c for c in sentence[start:end] if backend.normalizer.normalize_str(f"a{c}a") != "aa"]
                entity["is_subword"] = entity["word"].startswith(marker) or len(kept) != len(entity["word"])
            elif entity["is_subword"]:
                while start > before and not sentence[start - 1].isspace():
                    start -= 1
                entity["is_subword"] = start > 0 and sentence[start - 1] != " "
            before = end
        return entities


class ReferencePipeline(WordsPipeline):
    """Grouping for BILOU and IOBES, whose L-, U-, E- and S- transformers takes for types.

    Words are aggregated by transformers. Then B, U and S begin an entity; I, L and
    E continue the open entity of the same type or, if there is none, begin one; L,
    E, U and S end it, so that whatever follows begins another. "O" ends an entity too.
    """

    def get_tag(self, label):
        prefix, dash, kind = label.partition("-")
        return (prefix, kind) if dash and prefix in set("BILOUES") else ("I", label)

    def group_entities(self, entities):
        groups, ended = [], True
        for entity in entities:
            prefix, kind = self.get_tag(entity["entity"])
            if ended or prefix in "BUS" or kind != self.get_tag(groups[-1][-1]["entity"])[1]:
                groups.append([])
            groups[-1].append(entity)
            ended = prefix in "LEUS"
        return [self.group_sub_entities(group) for group in groups]


def classify(pipe, text, several):
    result = pipe(text, truncation=True, top_k=None if several else 1)
    if several:
        labels = list(pipe.model.config.id2label.values())
        result = sorted(result, key=lambda one: labels.index(one["label"]))
        return {"scores": [[one["label"], round(one["score"], 6)] for one in result]}
    (one,) = result
    return {"label": one["label"], "score": round(one["score"], 6)}


def tag(pipe, text, strategies):
    case = {}
    for strategy in strategies:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = pipe(text, aggregation_strategy=strategy)
        key = "entity" if strategy == "none" else "entity_group"
        case[strategy] = [[one[key], one["start"], one["end"], round(float(one["score"]), 6)] for one in found]
    return case


def near_tie(pipe, text, function):
    rows = logits_of(pipe.model, pipe.tokenizer, text)
    if function == "none":
        return False
    if function == "sigmoid":
        return bool((rows.abs() < LOGIT_MARGIN).any())
    if not len(rows):
        return False
    best = rows.topk(2).values
    if bool((best[:, 0] - best[:, 1] < LOGIT_MARGIN).any()):
        return True
    return function is None and near_tie_of_words(pipe, text)


def near_tie_of_words(pipe, text):
    """Whether "average" or "max" would compare scores that are nearly the same."""
    ties = []

    def watch(entities, strategy):
        scores = np.stack([entity["scores"] for entity in entities])
        mean = np.sort(scores.mean(0))
        surest = scores.max(1)
        labels = scores.argmax(1)
        rivals = surest[labels != labels[surest.argmax()]]
        ties.append(mean[-1] - mean[-2] < SCORE_MARGIN)
        ties.append(len(rivals) > 0 and surest.max() - rivals.max() < SCORE_MARGIN)
        return type(pipe).aggregate_word(pipe, entities, strategy)

    pipe.aggregate_word = watch
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipe(text, aggregation_strategy="max")
    del pipe.aggregate_word
    return any(ties)


# The kinds.

LIMIT = 64  # model_max_length, where there is one
MASK = AddedToken("<mask>", lstrip=True, special=True)  # as RoBERTa and XLM-R have it


def wordpiece(kind, size, limit=LIMIT, added=(), **options):
    known = {"lowercase": options.get("do_lower_case", True), "strip_accents": options.get("strip_accents")}
    known["handle_chinese_chars"] = options.get("tokenize_chinese_chars", True)
    vocabulary = wordpiece_vocabulary(size, **known)
    if limit:
        options["model_max_length"] = limit
    tokenizer = kind(vocab=vocabulary, **options)
    tokenizer.add_tokens(list(added))
    return tokenizer


def roberta(size, limit=LIMIT):
    vocabulary, merges = bytelevel_vocabulary(size)
    options = {"model_max_length": limit} if limit else {}
    return RobertaTokenizer(vocab=vocabulary, merges=merges, mask_token=MASK, **options)


def xlm_roberta(size, limit=LIMIT, rules=None):
    options = {"model_max_length": limit} if limit else {}
    return XLMRobertaTokenizer(vocab=unigram_vocabulary(size, rules), mask_token=MASK, _spm_precompiled_charsmap=rules, **options)


def distilbert_config(dim, layers, heads, positions=64):
    return DistilBertConfig(
        dim=dim, hidden_dim=2 * dim, n_layers=layers, n_heads=heads, max_position_embeddings=positions, initializer_range=0.3
    )


def bert_like(kind, dim, layers, heads, positions, **options):
    return kind(
        hidden_size=dim,
        intermediate_size=2 * dim,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=positions,
        initializer_range=0.3,
        **options,
    )


def prefixed(prefixes, types):
    return ["O", *(f"{prefix}-{kind}" for kind in types for prefix in prefixes)]


def kinds():
    """All models: name, architecture, tokenizer, config, labels, and how they are laid out."""
    padding = {"strategy": {"Fixed": 64}, "direction": "Right", "pad_to_multiple_of": None}
    padding |= {"pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}
    truncation = {"direction": "Right", "max_length": 16, "strategy": "LongestFirst", "stride": 0}
    added = ["Norvik Lines", AddedToken("@maria", normalized=False), AddedToken("bank", single_word=True)]
    roberta_ids = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "type_vocab_size": 1}
    distilled = "DistilBertForSequenceClassification"
    tagging = "DistilBertForTokenClassification"
    return [
        {
            "name": "distilbert-single-label",
            "architecture": distilled,
            "tokenizer": wordpiece(DistilBertTokenizer, 700),
            "config": distilbert_config(16, 2, 4),
            "labels": ["negative", "neutral", "positive"],
            "problem": "single_label_classification",
            "style": "v4",
        },
        {
            "name": "distilbert-sentiment-cased-vocab",
            "architecture": distilled,
            "tokenizer": wordpiece(DistilBertTokenizer, 800, do_lower_case=False),
            "config": distilbert_config(12, 3, 3),
            "labels": ["NEGATIVE", "POSITIVE"],
            "style": "vocab",
            "graph": "onnx/model.onnx",
        },
        {
            "name": "distilbert-uncased-vocab",
            "architecture": distilled,
            "tokenizer": wordpiece(DistilBertTokenizer, 600, limit=None),
            "config": distilbert_config(20, 1, 2, 128),
            "labels": ["business", "culture", "science", "world"],
            "problem": None,
            "style": "vocab",
        },
        {
            "name": "distilbert-multi-label",
            "architecture": distilled,
            "tokenizer": wordpiece(DistilBertTokenizer, 500),
            "config": distilbert_config(16, 1, 2),
            "labels": ["abuse", "insult", "obscene", "spam", "threat"],
            "problem": "multi_label_classification",
            "style": "v5",
            "bake": {"truncation": truncation, "padding": padding},
            "graph": "onnx/model.onnx",
            "variants": True,
        },
        {
            "name": "distilbert-regression",
            "architecture": distilled,
            "tokenizer": wordpiece(DistilBertTokenizer, 400),
            "config": distilbert_config(24, 1, 3),
            "labels": ["LABEL_0"],
            "problem": "regression",
            "style": "v5",
        },
        {
            "name": "distilbert-one-logit",
            "architecture": distilled,
            "tokenizer": wordpiece(DistilBertTokenizer, 450, strip_accents=False, tokenize_chinese_chars=False),
            "config": distilbert_config(12, 2, 2),
            "labels": ["toxic"],
            "problem": None,
            "style": "v4",
            "graph": "onnx/model.onnx",
        },
        {
            "name": "distilbert-bio-cased",
            "architecture": tagging,
            "tokenizer": wordpiece(DistilBertTokenizer, 750, do_lower_case=False),
            "config": distilbert_config(16, 2, 4),
            "labels": prefixed("BI", ["PER", "ORG", "LOC", "MISC"]),
            "style": "v4",
            "graph": "onnx/model.onnx",
        },
        {
            "name": "distilbert-bilou",
            "architecture": tagging,
            "tokenizer": wordpiece(DistilBertTokenizer, 550, limit=48),
            "config": distilbert_config(20, 1, 4),
            "labels": prefixed("BILU", ["PERSON", "GPE", "DATE"]),
            "style": "v5",
            "every": 3,
        },
        {
            "name": "distilbert-iobes",
            "architecture": tagging,
            "tokenizer": wordpiece(DistilBertTokenizer, 650, do_lower_case=False, strip_accents=True),
            "config": distilbert_config(12, 2, 3),
            "labels": [*prefixed("SBIE", ["Chemical", "Disease"])[1:], "O"],
            "style": "v4",
            "every": 3,
        },
        {
            "name": "distilbert-plain",
            "architecture": tagging,
            "tokenizer": wordpiece(DistilBertTokenizer, 500, limit=None, added=added),
            "config": distilbert_config(16, 1, 2),
            "labels": ["O", "PERSON", "GPE", "work-of-art", "DATE"],
            "style": "v5",
            "graph": "onnx/model.onnx",
            "every": 3,
        },
        {
            "name": "bert-single-label",
            "architecture": "BertForSequenceClassification",
            "tokenizer": wordpiece(BertTokenizer, 600),
            "config": bert_like(BertConfig, 16, 2, 4, 64),
            "labels": ["entailment", "neutral", "contradiction"],
            "style": "v4",
            "graph": "onnx/model.onnx",
        },
        {
            "name": "bert-default-labels",  # transformers saves no id2label for these
            "architecture": "BertForSequenceClassification",
            "tokenizer": wordpiece(BertTokenizer, 300),
            "config": bert_like(BertConfig, 12, 1, 2, 64),
            "labels": ["LABEL_0", "LABEL_1"],
            "style": "v5",
            "every": 3,
        },
        {
            "name": "bert-bio-cased-vocab",
            "architecture": "BertForTokenClassification",
            "tokenizer": wordpiece(BertTokenizer, 700, do_lower_case=False),
            "config": bert_like(BertConfig, 12, 2, 3, 64),
            "labels": ["B-LOC", "B-ORG", "B-PER", "I-LOC", "I-ORG", "I-PER", "O"],
            "style": "vocab",
            "every": 3,
        },
        {
            "name": "roberta-single-label",
            "architecture": "RobertaForSequenceClassification",
            "tokenizer": roberta(650, limit=40),
            "config": bert_like(RobertaConfig, 16, 1, 2, 66, **roberta_ids),
            "labels": ["anger", "fear", "joy", "love", "sadness", "surprise"],
            "problem": "single_label_classification",
            "style": "v4",
        },
        {
            "name": "roberta-bio",
            "architecture": "RobertaForTokenClassification",
            "tokenizer": roberta(700, limit=None),
            "config": bert_like(RobertaConfig, 16, 2, 4, 66, **roberta_ids),
            "labels": prefixed("BI", ["PER", "ORG", "LOC"]),
            "style": "v5",
            "graph": "onnx/model.onnx",
        },
        {
            "name": "xlm-roberta-multi-label",
            "architecture": "XLMRobertaForSequenceClassification",
            "tokenizer": xlm_roberta(600),
            "config": bert_like(XLMRobertaConfig, 12, 2, 2, 66, **roberta_ids),
            "labels": ["angry", "calm", "urgent"],
            "problem": "multi_label_classification",
            "style": "v4",
        },
        {
            "name": "xlm-roberta-bio",
            "architecture": "XLMRobertaForTokenClassification",
            "tokenizer": xlm_roberta(500, limit=None, rules=charsmap()),
            "config": bert_like(XLMRobertaConfig, 16, 1, 4, 66, **roberta_ids),
            "labels": prefixed("BI", ["PER", "LOC"]),
            "style": "v5",
            "every": 3,
        },
    ]


def check_tokenizer(folder, tokenizer, intended):
    """What AutoTokenizer makes of the folder is what tokenizer.json says, or was meant by vocab.txt.

    Of files that disagree see parity_variations.py.
    """
    path = folder / "tokenizer.json"
    told = path.read_text(encoding="utf-8") if path.exists() else intended.backend_tokenizer.to_str()
    told, used = json.loads(told), json.loads(tokenizer.backend_tokenizer.to_str())
    for part in ("normalizer", "pre_tokenizer", "model", "added_tokens", "post_processor"):
        assert told[part] == used[part], f"{folder}: {part}"


def make(kind, seed):
    folder = FIXTURES / kind["name"]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tokens = kind["architecture"].endswith("ForTokenClassification")
    config, labels = kind["config"], kind["labels"]
    config.architectures = [kind["architecture"]]
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: number for number, label in enumerate(labels)}
    config.vocab_size = len(kind["tokenizer"])
    lay_out_config(folder, config, kind.get("problem", "absent"))
    lay_out_tokenizer(folder, kind["tokenizer"], kind["style"], kind.get("bake", {}))

    tokenizer = AutoTokenizer.from_pretrained(folder)
    check_tokenizer(folder, tokenizer, kind["tokenizer"])
    model = make_model(folder, seed)
    assert model.config.id2label == config.id2label
    positions = config.max_position_embeddings
    if config.model_type in ("roberta", "xlm-roberta"):
        positions -= config.pad_token_id + 1
    tokenizer.model_max_length = min(tokenizer.model_max_length, positions)
    every = kind.get("every", 1)
    numbers = [n for n, text in enumerate(TEXTS) if n % every == 0 or (text in LONG and len(text) < 600)]
    spread_out(model, tokenizer, [TEXTS[n] for n in numbers], labels.index("O") if "O" in labels else None)

    names = ["input_ids", "attention_mask"] + (["token_type_ids"] if config.model_type == "bert" else [])
    graph = folder / kind.get("graph", "model.onnx")
    export(model, names, graph)
    sample = [TEXTS[n] for n in numbers[:: max(1, len(numbers) // 120)]]
    assert difference(graph, model, tokenizer, sample) < 2e-4, "the graph is not the model"
    variants = {}
    if kind.get("variants"):
        make_variants(graph)
        for path in sorted(graph.parent.glob("model_*.onnx")):
            variants[path.relative_to(folder).as_posix()] = round(difference(path, model, tokenizer, sample), 4)

    expected = {"task": f"{'token' if tokens else 'text'}-classification", "transformers": transformers.__version__}
    expected |= {"graph": kind.get("graph", "model.onnx"), "variants": variants, "max_length": tokenizer.model_max_length}
    scheme = {label.partition("-")[0] for label in labels if "-" in label}
    reference = bool(scheme & set("LUES"))
    if tokens:
        function = None
        expected["grouping"] = "reference" if reference else "transformers"
        own = TokenClassificationPipeline(model=model, tokenizer=tokenizer, device="cpu")
        pipe = (ReferencePipeline if reference else WordsPipeline)(model=model, tokenizer=tokenizer, device="cpu")
    else:
        several = model.config.problem_type == "multi_label_classification"
        function = "sigmoid" if several or len(labels) == 1 else "softmax"
        if model.config.problem_type == "regression":
            function = "none"
        expected["function_to_apply"] = function
        pipe = own = TextClassificationPipeline(model=model, tokenizer=tokenizer, device="cpu")

    cases, shares = [], Counter()
    for number in numbers:
        text = TEXTS[number]
        if near_tie(pipe, text, function):
            continue
        case = {"text": number, "input_ids": tokenizer(text, truncation=True)["input_ids"]}
        assert len(case["input_ids"]) <= expected["max_length"]
        if tokens:
            case |= tag(own, text, STRATEGIES[:1]) | tag(pipe, text, STRATEGIES[1:])
            shares.update(entity[0] for entity in case["none"])
        else:
            case |= classify(pipe, text, several)
            shares.update(label for label, score in case.get("scores", [(case.get("label"), 1.0)]) if score > 0.5)
        cases.append(case)
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    head = json.dumps(expected, separators=(",", ":"))
    (folder / "expected.json").write_text(f'{head[:-1]},"cases":[\n{lines}\n]}}\n', encoding="utf-8")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{kind['name']}: {len(cases)} of {len(numbers)} texts, {dict(shares)}, {size / 1e3:.0f} kB, {variants}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", help="make this model only, or \"variations\"")
    only = parser.parse_args().only
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.utils.logging.set_verbosity_error()
    FIXTURES.mkdir(parents=True, exist_ok=True)
    (FIXTURES / "texts.json").write_text(json.dumps(TEXTS, ensure_ascii=True, indent=0) + "\n", encoding="utf-8")
    for seed, kind in enumerate(kinds()):
        if only in (None, kind["name"]):
            make(kind, seed)
    if only in (None, "variations"):
        write_variations(FIXTURES)


if __name__ == "__main__":
    main()
