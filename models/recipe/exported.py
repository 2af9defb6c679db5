"""What an export of Hugging Face's says of itself, and how far its int8 graph is from it (quantise.py, gpu.py).

It reads the files as the worker does (src/model/files/manifest.rs), by the standard library alone but for the graph.
"""

import json
import math

from documents import Refused

LONGEST = 512
FROM_PADDING = ("roberta", "xlm-roberta", "camembert")  # they count positions from the padding token's on
POINTER = b"version https://git-lfs"
INT8 = {"DynamicQuantizeLinear", "DynamicQuantizeMatMul", "MatMulInteger", "QAttention", "QuantizeLinear"}
SEVERAL, NUMBER, TOKENS = "multi_label_classification", "regression", "token-classification"
AGREEING = 0.95  # of the labels
APART = 0.05  # of scores' range, in the mean
MANY = 30  # labels, of which a share says something


def graph_in(folder):
    """Where the fp32 graph is that Hugging Face or Optimum laid out."""
    places = folder / "onnx" / "model.onnx", folder / "model.onnx"
    source = next((place for place in places if place.is_file()), None)
    if source is None:
        raise Refused(f"neither {places[0]} nor {places[1]} is there: `optimum-cli export onnx --model MODEL {folder}` writes it")
    with open(source, "rb") as file:
        if file.read(len(POINTER)) == POINTER:
            raise Refused(f"{source} is a Git LFS pointer, not the graph itself: run `git lfs pull` where it was cloned")
    return source


def refuse_int8(source):
    """Weights that were rounded once are not to be rounded again."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        nodes = onnx.load(source, load_external_data=False).graph.node
    except DecodeError:
        nodes = []
    if not nodes:
        raise Refused(f"{source} is no ONNX graph, or half of one: export or fetch it anew")
    kinds = INT8.intersection(node.op_type for node in nodes)
    if kinds:
        raise Refused(f"{source} is int8 already ({', '.join(sorted(kinds))}): put the fp32 export in its place, "
                      "as `optimum-cli export onnx --model MODEL DIR` writes it")


def said(folder, name):
    """What a JSON file of the export says; of one that is not there, nothing."""
    path = folder / name
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError as failure:
        raise Refused(f"{path} is no JSON ({failure}): save the model's files anew") from failure


def longest(folder):
    """So many tokens a text is cut at: the model has positions for no more, or it would take too long."""
    config, tokenizer = said(folder, "config.json"), said(folder, "tokenizer_config.json")
    positions = config.get("max_position_embeddings") or LONGEST
    if config.get("model_type") in FROM_PADDING:
        padding = config.get("pad_token_id")
        positions -= (1 if padding is None else padding) + 1
    limit = tokenizer.get("model_max_length") or LONGEST
    return int(min(LONGEST, positions, limit))


def readings(folder):
    """Output → (what the worker makes of its logits, temperature); None stands for any other output."""
    config, heads = said(folder, "config.json"), said(folder, "heads.json").get("heads", [])
    tokens = any(name.endswith("ForTokenClassification") for name in config.get("architectures") or [])
    found = {None: (TOKENS if tokens else config.get("problem_type"), 1.0)}
    for head in heads:
        kind = TOKENS if head["kind"] == TOKENS else head.get("problem_type")
        found[head["output"]] = kind, head.get("temperature") or 1.0
    return found


def best(logits):
    return max(range(len(logits)), key=logits.__getitem__)


def share(part, of):
    return f"{100 * part / of:.1f} % of {of:,}" if of >= MANY else f"{part} of {of}"


class Comparison:
    """How far int8 is from fp32 on one output, by what the worker makes of it: the best label; of a head that may give
    several, each that is likelier than not; the score of a single one; a number."""

    def __init__(self, kind=None, temperature=1.0):
        self.kind, self.temperature = kind, temperature
        self.right = self.total = self.both = self.either = 0
        self.scores = []

    def add(self, exact, coarse):
        """Logits of both, a row for each text or token."""
        for pair in zip(exact, coarse):
            single = len(pair[0]) == 1
            if self.kind == NUMBER:
                self.scores.append(tuple(row[0] for row in pair))
                continue
            if self.kind == SEVERAL or single and self.kind != TOKENS:  # one logit is a yes or no
                labels = [[logit > 0 for logit in row] for row in pair]
                self.both += sum(map(all, zip(*labels)))
                self.either += sum(map(any, zip(*labels)))
                if single:
                    self.scores.append(tuple(self.score(row[0]) for row in pair))
            else:
                labels = [[best(row)] for row in pair]
            self.right += sum(one == other for one, other in zip(*labels))
            self.total += len(labels[0])

    def score(self, logit):
        return 0.5 + 0.5 * math.tanh(logit / self.temperature / 2)  # the sigmoid, of any size

    def apart(self):
        return [abs(one - other) for one, other in self.scores]

    def range(self):
        """Of scores that is 1; of numbers, what fp32 gave them."""
        numbers = [exact for exact, _ in self.scores]
        return max(numbers) - min(numbers) if self.kind == NUMBER else 1.0

    def lines(self):
        if self.total:
            yield f"{share(self.right, self.total)} labels are those of fp32"
        if self.either:  # where few of many labels are given, nearly all agree whatever the model does
            yield f"{share(self.both, self.either)} labels that either gives are given by both"
        if self.scores:
            apart, exact = self.apart(), [exact for exact, _ in self.scores]
            what = f"numbers (by fp32 {min(exact):.3g} to {max(exact):.3g})" if self.kind == NUMBER else "scores"
            yield f"{len(apart):,} {what} differ from fp32's by {sum(apart) / len(apart):.3g} in the mean, by {max(apart):.3g} at most"

    def is_coarse(self):
        if self.right < AGREEING * self.total:
            return True
        # Of a single number there is no range to go by.
        return len(self.scores) > 1 and sum(self.apart()) > APART * self.range() * len(self.scores)
