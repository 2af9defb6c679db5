"""The mean of what several legs of training ended with: better than the last of them.

    python models/recipe/average.py FOLDER... --to FOLDER

A folder that is named twice counts twice. So the last leg, which learns YouTube
comments at the cost of others, is drawn back a third of its way (Wortsman et al. 2022,
"Robust fine-tuning").
"""

import argparse
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file


def average(files, target):
    found = [load_file(file) for file in files]
    target.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: sum(own[name] for own in found) / len(found) for name in found[0]}, target)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--to", type=Path, required=True)
    options = parser.parse_args()
    for file in sorted(options.folders[0].rglob("*.*")):
        name = file.relative_to(options.folders[0])
        if file.suffix == ".safetensors":
            average([folder / name for folder in options.folders], options.to / name)
        elif file.name in ("config.json", "tokenizer.json"):
            (options.to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, options.to / name)
    print(f"average: {options.to} of {len(options.folders)}")


if __name__ == "__main__":
    main()
