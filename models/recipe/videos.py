"""Stage 10: how well spam under a video is found whose comments were never seen.

    python models/recipe/videos.py [--student] [--model DIR] [--minutes M] [--start FOLDER]

The comments of three videos are learnt in the last leg of training alone (--videos
of train.py and distil.py). Here that leg is run three times more, as it was but
each time without one video, whose comments the int8 graph then tags through the
worker, by the temperatures and thresholds of the model that ships. videos.json,
which the card quotes, gets the figures, for that model's graph alone.

Where the weights that ship went on from others that had seen the comments (onward.py),
--start names some that had not: what is made of them without a video is a model of its own.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

import evaluate
import legs
import sets
import tagger

HERE = Path(__file__).parent
REST = "0.3"  # as in the last leg of make-model.sh
NAMES = ["01-psy", "02-katyperry", "03-lmfao"]
SECTION = "Spam, YouTube, a video left out"


def leg(student, without, minutes, start):
    """The leg without a video, as a model directory of its own."""
    name = f"{'student' if student else 'tagger'}-without-{without}"
    trained, graph = tagger.WORK / name, tagger.WORK / f"{name}-int8"
    before, last = tagger.WORK / ("student-trained" if student else "trained"), tagger.WORK / f"{name}-leg"
    if student:
        begin = {"student": start or before, "teacher": tagger.WORK / f"tagger-without-{without}"}
    else:
        begin = {"start": start or before / "uncased"}
    options = {name: str(folder) for name, folder in begin.items()}
    options |= {"minutes": str(float(minutes)), "every": "99", "rounded": "0", "rest": REST, "rate": "1e-4" if student or start else "6e-5"}
    videos = [video for video in NAMES if video != without]
    about = {**options, "videos": videos, **legs.weights_of(*begin.values(), *([] if start else [before]))}
    legs.begin(tagger.WORK / f"{name}.json", about, graph / "model.onnx")
    if not (graph / "model.onnx").exists():
        words = [word for option, value in options.items() for word in (f"--{option}", value)]
        script = HERE / ("distil.py" if student else "train.py")
        run(script, *words, "--videos", *videos, "--to", trained if start else last)
        if not start:
            run(HERE / "average.py", before, last, last, "--to", trained)
        run(HERE / "export.py", "--weights", trained, "--to", graph)
    return graph


def run(*command):
    subprocess.run([sys.executable, *map(str, command)], check=True)


def figures(worker, shipped, graphs, comments):
    """Rows of the card: F1 of each video and their mean, and the others' figures over all comments."""
    table, pairs, values = evaluate.Table(), [], []
    for without, graph in graphs.items():
        shutil.copyfile(shipped / "heads.json", graph / "heads.json")
        own = [row for row in comments if f"/{without}/" in row["id"]]
        tagged = list(zip(own, evaluate.tag(worker, graph, None, own)))
        rows = [(int(t["spam"]["label"] == d["spam"] == "spam"), int(t["spam"]["label"] == "spam"), int(d["spam"] == "spam")) for d, t in tagged]
        table.add(SECTION, f"{without}: F1", rows, evaluate.f1)
        values.append(table.rows[-1]["value"])
        pairs += tagged
    whole = evaluate.Table()
    evaluate.spam_figures(whole, pairs, "youtube", SECTION, evaluate.thresholds_of(shipped).get("spam", {}))
    # The interval stays that of the F1 over all comments.
    mean = {**whole.rows[0], "name": "F1, mean of three", "value": sum(values) / len(values)}
    return [mean, *table.rows, *whole.rows[1:]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--student", action="store_true", help="of tagbert-tiny")
    parser.add_argument("--model", type=Path, help="the one that ships; models/tagbert-small or -tiny")
    parser.add_argument("--minutes", type=float, help="as long as the leg of the model that ships; 3, of the student 2")
    parser.add_argument("--start", type=Path, help="weights to begin with; those before the last leg")
    parser.add_argument("--keep", type=Path, default=HERE / evaluate.VIDEOS, metavar="FILE", help="where the figures go")
    parser.add_argument("--worker", default="target/release/tagbert", help="the built worker")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    shipped = options.model or Path("models/tagbert-tiny" if options.student else "models/tagbert-small")
    minutes = options.minutes or (2 if options.student else 3)
    comments = list(sets.youtube())
    if {row["id"].split("/")[1] for row in comments} != set(NAMES):
        print("videos: without the comments of all three there is no figure", file=sys.stderr)
        evaluate.record(options.keep, shipped, None)
        return
    graphs = {name: leg(options.student, name, minutes, options.start) for name in NAMES}
    rows = figures(options.worker, shipped, graphs, comments)
    evaluate.record(options.keep, shipped, {"rows": rows})
    for row in rows:
        print(f"videos: {row['name']}: {evaluate.cell(row)}")


if __name__ == "__main__":
    main()
