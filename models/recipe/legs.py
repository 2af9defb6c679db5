"""What a leg of training was begun as: another one neither goes on with it nor is taken for it. The standard library alone."""

import json

import corpus

# Evaluations count as minutes, so how often dev is looked at changes the result, too.
OPTIONS = ("start", "student", "teacher", "minutes", "rate", "rounded", "rest", "every", "processes", "videos")


def begun_as(options):
    """What a run that goes on must have in common with what it goes on from."""
    values = {name: getattr(options, name, None) for name in OPTIONS}
    return {name: str(float(value) if isinstance(value, int) else value) for name, value in values.items()}


def weights_of(*folders):
    """File → sha256: a folder of the same name may have others by now."""
    return {str(file): corpus.sha256(file) for folder in folders for file in sorted(folder.glob("*.safetensors"))}


def differences(before, now):
    """`name: was this, is that`, for each that is another."""
    names = [name for name in [*now, *(name for name in before if name not in now)] if before.get(name) != now.get(name)]
    return "; ".join(f"{name}: was {before.get(name, 'not noted')}, is {now.get(name, 'not there')}" for name in names)


def begin(note, about, made):
    """Notes beside what will be made how it is begun. What was begun otherwise, or before there were notes, is refused."""
    if note.exists() or made.exists():
        before = json.loads(note.read_text(encoding="utf-8")) if note.exists() else {}
        differing = differences(before, about)
        if differing:
            raise SystemExit(f"videos: {made} is of another leg ({differing}): remove {note.with_suffix('')}* to train it anew")
    note.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
