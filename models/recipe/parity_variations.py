"""Files that disagree: what transformers makes of them, so that tagbert makes the same.

parity.py's fixtures are as transformers saves them. People's are not: a switch in
one file and another in the other, tokens that someone has added, files of another
release. Here copies of the fixtures are changed, and AutoTokenizer and AutoConfig
say what they mean, in tests/fixtures/parity/variations.json, a case a line:

  of                  the folder of which a copy is changed
  change              [file, path, value]: a file that is not there is made; without a value, what
                      is there goes, the whole file if the path is empty; "-" is behind a list's end
  class               the class that AutoTokenizer chooses
  cases               [text, ids, [start, end] of the tokens that the post-processor has not added]
  labels              or, of changes to config.json, the labels of AutoConfig
"""

import json
import shutil
import tempfile
from pathlib import Path

from transformers import AutoConfig, AutoTokenizer

ADDED = {"lstrip": False, "rstrip": False, "normalized": True, "single_word": False, "special": False}
OWN = "tokenizer_config.json"
JSON = "tokenizer.json"
DECODER = [OWN, "/added_tokens_decoder"]
VARIED_TEXTS = [
    "Zo\u00eb met ANNA in \u00c5rhus",
    "\u6771\u4eac Tokyo",
    "Paris is big",
    " Paris  is\tbig ",
    "a covid19x case, Covid19X and covid19xy",
    "the [SEP] end, a <mask> b</s>",
    "``Zoe\u0308'' (caf\u00e9) don't",
    "in\nLondon\u3000[MASK] \u200bBer\u200blin",
]


def variations():
    """Name of a folder and the changes to a copy of it."""
    single, vocabulary, listed = "distilbert-single-label", "distilbert-uncased-vocab", "distilbert-plain"
    byte_level, unigram = "roberta-bio", "xlm-roberta-bio"
    token = {"content": "covid19x"} | ADDED
    as_it_is = [OWN, "/tokenizer_class", "PreTrainedTokenizerFast"]
    nfc = {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]}
    special = {"cls_token": "[MASK]", "additional_special_tokens": ["covid19x"]}
    for value in (True, False):
        yield single, [[OWN, "/do_lower_case", value]]
        yield single, [[JSON, "/normalizer/lowercase", value]]
        yield single, [[OWN, "/do_lower_case", value], [JSON, "/normalizer/lowercase", not value], as_it_is]
        yield single, [[OWN, "/strip_accents", value]]
        yield single, [[OWN, "/tokenize_chinese_chars", value]]
        yield vocabulary, [[OWN, "/do_lower_case", value], [OWN, "/strip_accents", not value]]
        yield vocabulary, [[OWN, "/tokenize_chinese_chars", value]]
        yield byte_level, [[OWN, "/add_prefix_space", value]]
        yield byte_level, [[JSON, "/pre_tokenizer/add_prefix_space", value]]
        yield byte_level, [[OWN, "/add_prefix_space", value], as_it_is]
        yield byte_level, [[OWN, "/trim_offsets", value]]
        yield byte_level, [[JSON, "/post_processor/trim_offsets", value]]
        yield unigram, [[OWN, "/add_prefix_space", value]]
        albert = [OWN, "/tokenizer_class", "AlbertTokenizer"]
        yield unigram, [albert, [OWN, "/do_lower_case", value], [OWN, "/keep_accents", value]]
        yield unigram, [albert, [OWN, "/keep_accents", value], [OWN, "/add_prefix_space", not value]]
    for kind in ("BertTokenizer", "ElectraTokenizerFast", "TokenizersBackend", "PreTrainedTokenizer"):
        yield single, [[OWN, "/tokenizer_class", kind], [OWN, "/do_lower_case", False]]
    yield single, [[OWN, "/tokenizer_class"], [OWN, "/do_lower_case", False]]
    yield single, [[OWN, "/tokenizer_class"], ["config.json", "/tokenizer_class", "PreTrainedTokenizerFast"], [OWN, "/do_lower_case", False]]
    yield single, [[OWN, ""], [JSON, "/normalizer/lowercase", False]]
    yield unigram, [[OWN, "/tokenizer_class", "CamembertTokenizer"]]
    yield unigram, [[OWN, "/tokenizer_class"]]
    # Parts that a class builds anew.
    yield single, [[JSON, "/normalizer", nfc]]
    yield single, [[JSON, "/normalizer", nfc], as_it_is]
    yield single, [[JSON, "/normalizer/clean_text", False]]
    yield single, [[JSON, "/pre_tokenizer", {"type": "Whitespace"}]]
    yield single, [[JSON, "/post_processor", None]]
    yield single, [[JSON, "/post_processor", None], as_it_is]
    yield single, [[JSON, "/model/max_input_chars_per_word", 3]]
    yield single, [[JSON, "/model/continuing_subword_prefix", "@@"]]
    yield unigram, [[JSON, "/model/unk_id", 0]]
    yield unigram, [[JSON, "/normalizer", {"type": "Lowercase"}]]
    yield unigram, [[JSON, "/pre_tokenizer", {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": True}]]
    yield byte_level, [[JSON, "/normalizer", {"type": "Lowercase"}]]
    yield byte_level, [[JSON, "/model/dropout", 0.5]]
    yield byte_level, [[JSON, "/model/ignore_merges", True]]
    # Tokens beside the vocabulary.
    added = ["added_tokens.json", "/covid19x", 600]
    yield vocabulary, [added]
    yield vocabulary, [added, ["added_tokens.json", "/norvik", 599]]
    yield single, [added]
    yield single, [added, DECODER]
    yield single, [added, DECODER, as_it_is]
    yield listed, [added]
    for changes in ([], [as_it_is], [[OWN, "/do_lower_case", False]]):
        yield single, [[*DECODER[:1], f"{DECODER[1]}/700", token], *changes]
        yield single, [[*DECODER[:1], f"{DECODER[1]}/900", token | {"single_word": True}], *changes]
        yield single, [[*DECODER[:1], f"{DECODER[1]}/700", token | {"normalized": False, "lstrip": True}], *changes]
        yield single, [[JSON, "/added_tokens/-", {"id": 700} | token], *changes]
        yield single, [[JSON, "/added_tokens/-", {"id": 700} | token], DECODER, *changes]
    yield single, [[*DECODER[:1], f"{DECODER[1]}/4/lstrip", True]]
    yield single, [[*DECODER, {}]]
    yield single, [[OWN, "/additional_special_tokens", ["covid19x"]]]
    yield single, [[OWN, "/extra_special_tokens", {"virus_token": "covid19x"}]]
    yield single, [[OWN, "/virus_token", "covid19x"]]
    yield single, [[OWN, "/bos_token", "<mask>"]]
    yield single, [[OWN, "/cls_token", "[MASK]"]]
    yield single, [[OWN, "/unk_token", "[MASK]"]]
    yield single, [["special_tokens_map.json", "", special]]
    yield single, [["special_tokens_map.json", "", special], DECODER]
    yield single, [["special_tokens_map.json", "/mask_token", {"content": "[MASK]"} | ADDED | {"lstrip": True}], DECODER]
    yield single, [[OWN, "/split_special_tokens", True]]
    yield byte_level, [[OWN, "/split_special_tokens", True]]
    yield byte_level, [[OWN, "/mask_token", "<mask>"]]
    yield unigram, [[OWN, "/bos_token", "<mask>"]]
    # What ALBERT alone takes from the file, for it is set last there.
    around = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
              "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
              "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}}  # fmt: skip
    yield unigram, [[OWN, "/tokenizer_class", "AlbertTokenizer"], [JSON, "/post_processor", around]]
    yield unigram, [[OWN, "/tokenizer_class", "AlbertTokenizer"], [JSON, "/post_processor", None]]
    yield unigram, [[JSON, "/post_processor", around]]
    # Special tokens of names of one's own, and such as the older classes list them.
    whole = {"content": "covid19x", "__type": "AddedToken"} | ADDED
    for folder in (single, vocabulary, byte_level, unigram):
        yield folder, [["special_tokens_map.json", "/virus_token", whole], DECODER]
        yield folder, [[OWN, "/virus_token", whole], DECODER]
        yield folder, [["added_tokens.json", "/covid19x", 900], ["special_tokens_map.json", "/additional_special_tokens", ["covid19x"]], DECODER]
    # Null is not the same as not there: no token, not even the class's own; and false, where Python asks.
    for folder, name in ((vocabulary, "mask_token"), (single, "mask_token"), (byte_level, "mask_token"), (unigram, "unk_token"), (unigram, "mask_token")):
        yield folder, [[OWN, f"/{name}", None]]
        yield folder, [["special_tokens_map.json", f"/{name}", None], DECODER]
    yield unigram, [[OWN, "/tokenizer_class", "AlbertTokenizer"], [OWN, "/eos_token", None], [OWN, "/mask_token", None]]
    yield single, [[OWN, "/strip_accents", None]]
    for value in (None, 0, 1, 0.0, 0.5):
        yield unigram, [[OWN, "/add_prefix_space", value]]
        yield unigram, [[OWN, "/tokenizer_class", "CamembertTokenizer"], [OWN, "/add_prefix_space", value]]
        for key in ("do_lower_case", "keep_accents", "add_prefix_space"):
            yield unigram, [[OWN, "/tokenizer_class", "AlbertTokenizer"], [OWN, f"/{key}", value]]
    # Labels.
    maps = [
        {"0": 0, "1": 1}, {"0": "b", "1": "a"}, {"1": "a", "0": "b"}, None, {" 0": "a", "01": "b"}, {"0": "same", "1": "same"},
    ]  # fmt: skip
    for labels in maps:
        yield single, [["config.json", "/label2id"], ["config.json", "/id2label", labels]]
    for count in (1, 2, 4):
        yield single, [["config.json", "/label2id"], ["config.json", "/problem_type", None], ["config.json", "/id2label"], ["config.json", "/num_labels", count]]
        yield single, [["config.json", "/label2id"], ["config.json", "/problem_type", None], ["config.json", "/num_labels", count]]
    yield single, [["config.json", "/label2id"], ["config.json", "/id2label"]]
    yield single, [["config.json", "/id2label"]]


def apply(folder, changes):
    for name, path, *value in changes:
        file = folder / name
        if not path and not value:
            file.unlink()
            continue
        whole = [json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}]
        here, last = whole, 0
        for key in path.split("/")[1:]:
            here = here[last]
            last = int(key) if isinstance(here, list) and key != "-" else key
        if last == "-":
            here.append(value[0])
        elif value:
            here[last] = value[0]
        else:
            here.pop(last, None)
        file.write_text(json.dumps(whole[0]), encoding="utf-8")


def vary(fixtures, of, changes):
    """What transformers makes of the folder's files when they are changed."""
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        for file in (fixtures / of).iterdir():
            if file.suffix in (".json", ".txt") and file.name != "expected.json":
                shutil.copy(file, scratch)
        apply(scratch, changes)
        case = {"of": of, "change": changes}
        if changes[0][0] == "config.json":
            config = AutoConfig.from_pretrained(scratch)
            return case | {"labels": [str(config.id2label[number]) for number in range(config.num_labels)]}
        tokenizer = AutoTokenizer.from_pretrained(scratch)
        case |= {"class": type(tokenizer).__name__, "cases": []}
        for text in VARIED_TEXTS:
            found = tokenizer(text, return_offsets_mapping=True, return_special_tokens_mask=True)
            own = [list(o) for o, s in zip(found["offset_mapping"], found["special_tokens_mask"]) if not s]
            case["cases"].append([text, found["input_ids"], own])
        return case


def write_variations(fixtures):
    lines = ",\n".join(json.dumps(vary(fixtures, *one), separators=(",", ":")) for one in variations())
    (fixtures / "variations.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    print(f"variations: {sum(1 for _ in variations())}", flush=True)
