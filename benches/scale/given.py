"""What goes into the simulation: numbers, each with where it comes from, and the load."""

import bisect
import itertools
import math
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = (ROOT / "benches" / "RESULTS.md").read_text(encoding="utf-8")
COMMIT_OF_RESULTS = re.search(r"commit (\w+)", RESULTS)[1]
HOUR, DAY = 3600, 86_400

AT_LEAST_ONCE, EXACTLY_ONCE = "at-least-once", "exactly-once"
STICKY, STATIC, RANGE, KIP_848 = "cooperative-sticky", "… with static members", "range", "KIP-848"

GIVEN = []  # name, value, unit, kind, why


def result(what):
    """The median of a row of RESULTS.md."""
    rows = [line.split("|") for line in RESULTS.splitlines() if f"| {what} |" in line]
    if len(rows) != 1:
        raise LookupError(f"RESULTS.md has {len(rows)} rows `{what}`: run make bench, or name another row")
    return float(rows[0][4].split()[0])


def given(kind):
    def of_kind(name, value, unit, why):
        GIVEN.append((name, value, unit, kind, why))
        return value

    return of_kind


measured, default, assumed = given("measured"), given("default"), given("assumed")

ALONE, TIED = (result(f"W: {delivery} ÷ session alone, by core-second") for delivery in (AT_LEAST_ONCE, EXACTLY_ONCE))
SPEED = measured(
    "a worker does", result("W: documents/s"), "documents/s",
    "point 1: tagbert-small, mails and news of up to 512 tokens, two cores",
)
EXACT = measured(
    "… under exactly-once", round(TIED / ALONE, 3), "of it", "point 1, by core-second: brokers have machines of their own",
)
START = measured(
    "from a worker's start to its first record", result("start to the first tagged record, group join apart, s"), "s", "point 9",
)
JOIN = measured("joining a group", result("joining the group, s"), "s", "point 9; what a large group takes comes on top")

COMMIT = default("offsets are committed each", 1, "s", "`COMMIT_INTERVAL` in src/kafka/source/mod.rs")
TRANSACTION = default("… under exactly-once", 0.2, "s", "`transaction.interval`")
EXPIRY = default("brokers end a dead worker's transaction after", 10, "s", "`transaction.timeout.ms`, as tagbert sets it")
SWEEP = default("… and look for such each", 10, "s", "Kafka: `transaction.abort.timed.out.transaction.cleanup.interval.ms`")
SESSION = default("a silent worker is given up after", 45, "s", "`session.timeout.ms`, `group.consumer.session.timeout.ms`")
BEAT = default("a heartbeat each", 3, "s", "`heartbeat.interval.ms`: by then a member knows of a rebalance")
BEAT_848 = default("… under KIP-848", 5, "s", "`group.consumer.heartbeat.interval.ms`")
EVICTION = default("a lost node's workers are replaced after", 350, "s", "Kubernetes: 50 s until it is missed, `tolerationSeconds`")
BUSY = default("busy at the peak", 0.8, "of a worker's time", "the rule of `tagbert plan`")

WORKERS = assumed("workers", 1000, "", "the question")
PARTITIONS = assumed("partitions", 5000, "", "the question")
KEYS = assumed("keys", 500_000, "", "equally many documents each: so 5,000 partitions differ by 10 % (standard deviation)")
SWING = assumed("the load goes up and down by", 0.5, "of its mean", "a sine of a day, with its peak at 14:00")
NODE = assumed("a node has", 16, "workers", "32 cores")
ASSIGN = assumed("the leader's assignment has reached all after", 1, "s", "classic protocol")
AGAIN = assumed("a process is started, again or elsewhere, within", 10, "s", "the image is there")
WAVE = assumed("an update restarts", 25, "workers at a time", "")
PACE = assumed("… and goes on after", 30, "s", "")
CRASHES = assumed("a worker is killed", 1 / 30, "times a day", "once a month")
NODES_LOST = assumed("nodes lost a day", 2, "", "at 03:00 and 13:30: more than usual, so that a day shows it")
STRAGGLERS = assumed("slow workers a day", 10, "", "loud neighbours, heat")
SLOW = assumed("… which do", 0.5, "of what they did", "")
SLOW_FOR = assumed("… for", 3600, "s", "")
PATIENCE = assumed("… or are replaced after", 600, "s", "in the rows that say so: by an alert on lag")

RESTART = AGAIN + START + JOIN


@dataclass(frozen=True)
class Setting:
    """What differs from one row of a table to the next."""

    protocol: str = STICKY
    delivery: str = AT_LEAST_ONCE
    workers: int = WORKERS
    partitions: int = PARTITIONS
    load: float = BUSY  # at the peak, of what `workers` can do
    swing: float = SWING
    session: float = SESSION
    replaced: bool = False  # stragglers, after a while
    seed: int = 1

    @property
    def speed(self):
        return SPEED * (EXACT if self.delivery == EXACTLY_ONCE else 1)

    @property
    def peak(self):
        """Documents a second. The same for both deliveries, so that rows can be compared."""
        return self.load * self.workers * SPEED


class Load:
    """How many documents have come by when: so many a second, anew each minute, until the end."""

    STEP = 60

    def __init__(self, peak, swing, end):
        mean = peak / (1 + swing)
        hour = 2 * math.pi / 24
        minutes = range(math.ceil(end / self.STEP))
        self.rates = [mean * (1 + swing * math.sin(hour * (minute / 60 - 8))) if swing else peak for minute in minutes]
        self.sums = [0.0, *itertools.accumulate(rate * self.STEP for rate in self.rates)]

    def rate(self, time):
        step = int(time // self.STEP)
        return self.rates[step] if step < len(self.rates) else 0.0

    def total(self, time):
        step = int(time // self.STEP)
        if step >= len(self.rates):
            return self.sums[-1]
        return self.sums[step] + self.rates[step] * (time - step * self.STEP)

    def when(self, total):
        """The time by which so many had come."""
        step = min(bisect.bisect_right(self.sums, total), len(self.rates)) - 1
        return step * self.STEP + (total - self.sums[step]) / self.rates[step]
