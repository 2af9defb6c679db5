#!/usr/bin/env python3
"""Draws what a rehearsal measured: lag and pods over time, act by act.

usage: rehearsal.py FIGURES.json PICTURE.png
"""

import io
import json
import sys

import matplotlib
from PIL import Image

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

COLUMNS = 3
LAG, PODS, EVENT = "#1f5fa8", "#d97a00", "#999999"


def draw(axes, act):
    """One act: its lag, its pods, and when something happened."""
    samples = act["samples"]
    times, lags, pods = zip(*samples)
    axes.fill_between(times, lags, color=LAG, alpha=0.15, linewidth=0)
    axes.plot(times, lags, color=LAG, linewidth=1.2)
    axes.set_ylim(bottom=0)
    axes.set_xlim(0, times[-1])
    axes.set_title(act["act"], fontsize=10, loc="left", fontweight="bold")
    axes.tick_params(labelsize=7, colors="#444444")
    axes.spines[["top"]].set_visible(False)
    for number, (time, what) in enumerate(act["events"]):
        axes.axvline(time, color=EVENT, linewidth=0.6, linestyle=":")
        axes.annotate(
            what, (time, 1.0), xycoords=("data", "axes fraction"), xytext=(2, -2), textcoords="offset points",
            rotation=90, fontsize=5.5, color="#444444", va="top", ha="left", clip_on=True,
        )
        if number == 9:
            break
    right = axes.twinx()
    right.step(times, pods, color=PODS, linewidth=1.0, where="post")
    right.set_ylim(0, max(5, max(pods) + 1))
    right.set_yticks(range(0, max(5, max(pods) + 1)))
    right.tick_params(labelsize=7, colors=PODS)
    right.spines[["top"]].set_visible(False)


def main(figures, picture):
    """Draws all acts."""
    with open(figures, encoding="utf-8") as file:
        acts = json.load(file)
    rows = -(-len(acts) // COLUMNS)
    figure, all_axes = pyplot.subplots(rows, COLUMNS, figsize=(12, 2.9 * rows), squeeze=False)
    for axes, act in zip(all_axes.flat, acts):
        draw(axes, act)
    for axes in list(all_axes.flat)[len(acts):]:
        axes.set_visible(False)
    figure.suptitle("records not committed (blue, left), pods (orange, right), over seconds", fontsize=9, x=0.01, ha="left")
    figure.tight_layout()
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=100)
    # A third of the size; and without dates and versions in it, the same figures are the same file.
    Image.open(drawn).convert("RGB").quantize(64).save(picture, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
