#!/usr/bin/env python3
"""A thousand workers on five thousand partitions, simulated: `make scale`.

    benches/scale/__main__.py [--seed 1] [--to benches/SCALE.md]

Nothing here is measured. The simulation takes what `make bench` has measured from RESULTS.md, plays the rules of tagbert
and of Kafka's groups with it, and audits itself: it ends with an error if a document is lost or counted twice, or a
partition has two owners.

Documents flow like water: so many a second come to a partition, so many a second a worker does. What happens within a
second (batches, fetches, acknowledgements) is not seen.
"""

import argparse
import itertools
import random
from dataclasses import replace
from pathlib import Path

from given import (
    COMMIT_OF_RESULTS, CRASHES, DAY, EXACTLY_ONCE, GIVEN, HOUR, KIP_848, NODE, NODES_LOST, PATIENCE, RANGE, RESTART, ROOT,
    STATIC, STICKY, STRAGGLERS, Setting,
)
from line import Line

EVENT = 601.0  # seconds from the start; no look falls on it
MOVED, KILLED, NODE_LOST, UPDATED, ADDED, SLOWED = (
    "a worker moves to another machine", "a worker is killed, and starts again", "a node of 16 workers is lost",
    "all workers are updated", "100 workers are added", "a worker is slow for an hour",
)
EVENTS = {
    MOVED: lambda line: line.restart(0, line.stop, RESTART),
    KILLED: lambda line: line.restart(0, line.kill, RESTART),
    NODE_LOST: lambda line: line.lose_node(0),
    UPDATED: lambda line: line.update(),
    ADDED: lambda line: line.add(100),
    SLOWED: lambda line: line.slow(0),
}
LONG = {UPDATED: (2, 10), SLOWED: (4, 10)}  # hours, and seconds between looks


def happens(what, setting):
    """One thing, while the load is at its peak and stays there."""
    hours, tick = LONG.get(what, (1, 2))
    line = Line(replace(setting, swing=0), hours * HOUR, tick)
    line.at(EVENT, EVENTS[what], line)
    return line.run()


def day(setting):
    """A day with all that happens on one."""
    line = Line(setting, DAY, tick=10)
    chance = random.Random(f"day {setting.seed}")
    for place in range(setting.workers):
        if chance.random() < CRASHES:
            line.at(chance.uniform(0, DAY), line.restart, place, line.kill, RESTART)
    for place in chance.sample(range(setting.workers), STRAGGLERS):
        line.at(chance.uniform(0, DAY), line.slow, place)
    for node, hour in zip(chance.sample(range(setting.workers // NODE), NODES_LOST), (3, 13.5), strict=True):
        line.at(hour * HOUR, line.lose_node, node)
    line.at(10 * HOUR, line.update)
    return line.run()


def number(value, digits=0):
    return f"{abs(round(value, digits)):,.{digits}f}"


def table(titles, rows, words=2):
    """Markdown; the first columns hold words."""
    lines = ["| " + " | ".join(cells) + " |" for cells in (titles, *rows)]
    rule = "|" + "---|" * words + "--:|" * (len(titles) - words)
    return [lines[0], rule, *lines[1:], ""]


def held(line):
    return f"{number(line.held)} for {number(line.held_longest)} s" if line.held else "–"


HAPPENED = (
    "stood still: partitions", "longest, s", "most lag, s", "most documents waiting", "caught up after, s", "rebalances",
    "repeated", "results held back",
)


def happened(line):
    caught = number(max(0, line.late_at - EVENT)) if line.late_at < line.length else "not under this load"
    return (
        number(line.stood), number(line.stood_longest), number(line.worst), number(line.waiting_most), caught,
        number(line.rebalances), number(line.repeated), held(line),
    )


PASSED = (
    "lag: median, s", "p99", "p99.99", "most", "most documents waiting", "rebalances", "repeated", "of a million",
    "results held back", "busy", "in its busiest hour",
)


def passed(line):
    hours = [after - before for before, after in itertools.pairwise(line.hours)]
    able = line.setting.workers * line.setting.speed
    return (
        *(number(line.percentile(share), 1) for share in (0.5, 0.99, 0.9999)), number(line.worst), number(line.waiting_most),
        number(line.rebalances), number(line.repeated), number(1e6 * line.repeated / line.came, 2), held(line),
        f"{sum(line.written) / able / DAY:.0%}", f"{max(hours) / able / HOUR:.0%}",
    )


def report(seed):
    usual = Setting(seed=seed)
    exact, replaced = replace(usual, delivery=EXACTLY_ONCE), replace(usual, replaced=True)
    protocols = {STICKY: usual} | {name: replace(usual, protocol=name) for name in (STATIC, KIP_848, RANGE)}
    choices = [
        (NODE_LOST, "as above", usual),
        (NODE_LOST, EXACTLY_ONCE, exact),
        (NODE_LOST, "`session.timeout.ms: 10000`", replace(usual, session=10)),
        (NODE_LOST, "1,000 partitions", replace(usual, partitions=1000)),
        (NODE_LOST, "20,000 partitions", replace(usual, partitions=20_000)),
        (NODE_LOST, "workers 70 % busy", replace(usual, load=0.7)),
        (NODE_LOST, "workers 90 % busy", replace(usual, load=0.9)),
        (SLOWED, "left alone", usual),
        (SLOWED, f"replaced after {PATIENCE // 60} minutes", replaced),
    ]
    days = {STICKY: usual, f"… {EXACTLY_ONCE}": exact, "… slow workers replaced": replaced} | protocols
    return "\n".join([
        "# A thousand workers, simulated",
        "",
        f"Written by `make scale`, seed {seed}, with what RESULTS.md measured at commit {COMMIT_OF_RESULTS}."
        " [docs/SCALE.md](../docs/SCALE.md) says what follows.",
        "**Nothing on this page was measured, but for the numbers that the last table calls so.**",
        "",
        "*Lag* is how long the oldest document of a partition has waited; *caught up* is when no partition has more than a"
        " second of it. *Stood still* counts each time that nobody worked on a partition. *Results held back* are partitions"
        " of results whose readers wait for the transaction of a dead worker to time out.",
        "",
        "## One thing happens",
        "",
        "At the peak, which stays; at-least-once.",
        "",
        *table(("", "", *HAPPENED[:-1]), [
            (what, name, *happened(happens(what, setting))[:-1])
            for what in (MOVED, KILLED, NODE_LOST, UPDATED, ADDED)
            for name, setting in protocols.items()
        ]),
        "## The same, with other choices",
        "",
        *table(("", "", *HAPPENED), [(what, how, *happened(happens(what, setting))) for what, how, setting in choices]),
        "## A day",
        "",
        "Up and down, with crashes, two lost nodes, slow workers and an update. Lag is that of all partitions at all times.",
        "",
        *table(("", *PASSED), [(how, *passed(day(setting))) for how, setting in days.items()], words=1),
        "## What goes in",
        "",
        "*Measured*: by `make bench`. *Default*: of tagbert, its client library, Kafka or Kubernetes. *Assumed*: by us.",
        "",
        *table(("", "", "", ""), [
            (kind, name, f"{value:,.4g} {unit}".strip() if value < 10_000 else number(value), why)
            for name, value, unit, kind, why in GIVEN
        ], words=4),
    ])


def main():
    parser = argparse.ArgumentParser(description="A thousand workers on five thousand partitions, simulated")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--to", type=Path, default=ROOT / "benches" / "SCALE.md")
    options = parser.parse_args()
    text = report(options.seed).rstrip() + "\n"
    options.to.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
