"""The workers of a group, what happens to them, and what becomes of the documents."""

import heapq
import itertools
import math
import random
from collections import Counter

from given import (
    AT_LEAST_ONCE, BEAT, BEAT_848, COMMIT, DAY, EVICTION, EXACTLY_ONCE, EXPIRY, HOUR, KEYS, KIP_848, NODE, PACE, PATIENCE,
    RANGE, RESTART, SLOW, SLOW_FOR, STATIC, SWEEP, TRANSACTION, WAVE, Load,
)
from groups import Classic, Server, balanced

DUST = 1e-6  # documents; what rounding leaves
CENT = 1e-3  # documents; what the books may be out by
BEHIND = 1.0  # seconds; a partition that is no later has caught up


class Broken(Exception):
    """The books do not balance."""


class Worker:
    """A process: one member of the group."""

    def __init__(self, speed, now, phase):
        self.speed, self.now = speed, now
        self.phase = phase  # of its commits and heartbeats
        self.alive = True
        self.expires = math.inf  # when the group gives it up
        self.partitions = []
        self.share = 0.0  # of all documents
        self.behind = True  # has lag, or gets more than it can do


class Line:
    """The group, its partitions and what becomes of their documents."""

    def __init__(self, setting, length, tick):
        self.setting, self.length, self.tick = setting, length, tick
        self.load = Load(setting.peak, setting.swing, length)
        self.random = random.Random(setting.seed)
        self.now, self.queue, self.turn = 0.0, [], itertools.count()
        count = setting.partitions
        shares = [max(0.1, self.random.gauss(1, math.sqrt(count / KEYS))) for _ in range(count)]
        self.shares = [share / sum(shares) for share in shares]
        self.owners = [None] * count
        # Documents: done (tagged and written), committed, written in all, and seen by a reader (read_committed).
        self.done, self.committed, self.written, self.seen = ([0.0] * count for _ in range(4))
        self.still = dict.fromkeys(range(count), 0.0)  # partitions that nobody works on, since when
        self.watched = {}  # workers that may be behind
        self.group = Server(self) if setting.protocol == KIP_848 else Classic(self, setting.protocol == RANGE)
        self.static = setting.protocol == STATIC
        self.every = TRANSACTION if setting.delivery == EXACTLY_ONCE else COMMIT
        self.rebalances = self.stood = 0
        self.stood_longest = self.waiting_most = self.redone = 0.0
        self.late, self.ticks = Counter(), 0  # samples of partitions by tenths of a second; those without lag apart
        self.late_at = 0.0  # when a partition was last behind
        self.held, self.held_longest = 0, 0.0  # partitions of results behind a dead worker's transaction
        self.hours = []  # documents written by the end of each
        self.places = [self.worker() for _ in range(setting.workers)]
        self.group.members += self.places
        for partition, worker in enumerate(balanced(self.group.members, self.owners)):
            self.give(partition, worker)

    # Time

    def at(self, time, what, *about):
        heapq.heappush(self.queue, (time, next(self.turn), what, about))

    def after(self, delay, what, *about):
        self.at(self.now + delay, what, *about)

    def run(self):
        """Until all that has come is done; then the books are closed."""
        self.at(0, self.look)
        while self.queue:
            self.now, _, what, about = heapq.heappop(self.queue)
            what(*about)
        for worker in self.places:
            self.work(worker, self.now)
            self.commit_all(worker)
        self.audit()
        for partition, share in enumerate(self.shares):
            if abs(self.committed[partition] - share * self.came) > CENT:
                raise Broken(f"partition {partition}: {share * self.came} came, {self.committed[partition]} are committed")
        due = 0 if self.setting.delivery == EXACTLY_ONCE else self.redone
        if abs(self.repeated - due) > CENT:
            raise Broken(f"{self.repeated} documents were seen twice, and {due} should be")
        return self

    @property
    def came(self):
        return self.load.sums[-1]

    @property
    def repeated(self):
        return sum(self.seen) - self.came

    # What workers do

    def worker(self):
        return Worker(self.setting.speed, self.now, self.random.random())

    def work(self, worker, until):
        """On to `until`, with the commits in between."""
        if not worker.alive or worker.now == until:
            return
        last = (math.floor(until / self.every - worker.phase) + worker.phase) * self.every
        if worker.now < last:
            self.flow(worker, last)
            self.commit_all(worker)
        self.flow(worker, until)

    def flow(self, worker, until):
        came = self.load.total(until)
        if not worker.behind:
            for partition in worker.partitions:
                self.do(partition, self.shares[partition] * came - self.done[partition])
            worker.now = until
            return
        shares, done = self.shares, self.done
        rate, came = self.load.rate(worker.now), self.load.total(worker.now)
        while worker.now < until:
            lags = {p: shares[p] * came - done[p] for p in worker.partitions}
            # Partitions take turns (G-49): one without lag takes what comes, the others have equal parts of the rest.
            left, speed = len(lags), worker.speed
            speeds = {}
            for partition in sorted((p for p in lags if lags[p] <= DUST), key=shares.__getitem__):
                speeds[partition] = min(shares[partition] * rate, speed / left)
                speed, left = speed - speeds[partition], left - 1
            step = until - worker.now
            for partition, lag in lags.items():
                if lag > DUST:
                    speeds[partition] = speed / left
                    gain = speed / left - shares[partition] * rate
                    if gain > 0 and lag < gain * step:
                        step = max(lag / gain, 1e-9)
            worker.now = until if until - worker.now - step < 1e-9 else worker.now + step
            came = self.load.total(worker.now)
            for partition in lags:
                self.do(partition, min(speeds[partition] * step, shares[partition] * came - done[partition]))
        worker.behind = worker.share * self.load.rate(until) > worker.speed or any(
            shares[p] * came - done[p] > DUST for p in worker.partitions
        )

    def do(self, partition, documents):
        self.done[partition] += documents
        self.written[partition] += documents
        if self.setting.delivery == AT_LEAST_ONCE:
            self.seen[partition] += documents

    def commit(self, partition):
        if self.setting.delivery == EXACTLY_ONCE:
            self.seen[partition] += self.done[partition] - self.committed[partition]
        self.committed[partition] = self.done[partition]

    def commit_all(self, worker):
        for partition in worker.partitions:
            self.commit(partition)

    def give(self, partition, worker):
        if self.owners[partition] is not None:
            raise Broken(f"partition {partition} would have two owners")
        self.work(worker, self.now)
        self.owners[partition] = worker
        worker.partitions.append(partition)
        worker.share += self.shares[partition]
        if worker.alive:
            self.watch(worker)
            self.resume(partition)

    def take(self, partition):
        """In good order: what was written is committed. (Of a dead worker, nothing is left to commit.)"""
        worker = self.owners[partition]
        self.work(worker, self.now)
        if worker.alive:
            self.commit(partition)
        self.owners[partition] = None
        worker.partitions.remove(partition)
        worker.share -= self.shares[partition]
        self.still.setdefault(partition, self.now)

    def watch(self, worker):
        worker.behind = True
        self.watched[worker] = None

    def resume(self, partition):
        since = self.still.pop(partition, self.now)
        if self.now > since:
            self.stood += 1
            self.stood_longest = max(self.stood_longest, self.now - since)

    # What happens to them

    def start(self, place):
        worker = self.places[place]
        if worker and worker.alive:
            return
        if worker and worker in self.group.members and self.static:
            # The same member again, before the group has missed it.
            worker.alive, worker.now, worker.expires, worker.speed = True, self.now, math.inf, self.setting.speed
            self.watch(worker)
            for partition in worker.partitions:
                self.resume(partition)
            return
        self.places[place] = self.worker()
        self.group.join(self.places[place])

    def stop(self, place):
        """SIGTERM: drains, commits, leaves."""
        worker = self.places[place]
        if not worker.alive:
            return
        self.work(worker, self.now)
        self.commit_all(worker)
        self.end(worker, 0)
        if not self.static:
            self.gone(worker, worker.expires)

    def kill(self, place):
        """SIGKILL: what was written since the last commit is read again."""
        worker = self.places[place]
        if not worker.alive:
            return
        self.work(worker, self.now)
        lost = sum(self.done[p] - self.committed[p] for p in worker.partitions)
        self.redone += lost
        for partition in worker.partitions:
            self.rewind(partition)
        if self.setting.delivery == EXACTLY_ONCE and lost > DUST:
            wait = EXPIRY + SWEEP * self.random.random()
            if self.static:
                wait = min(wait, RESTART)  # the next of that name ends it
            self.held += min(math.ceil(lost), self.setting.partitions)  # each document in one of its own
            self.held_longest = max(self.held_longest, wait)
        beat = BEAT_848 if self.setting.protocol == KIP_848 else BEAT
        self.end(worker, beat * self.random.random())

    def rewind(self, partition):
        self.done[partition] = self.committed[partition]

    def end(self, worker, silent):
        worker.alive = False
        for partition in worker.partitions:
            self.still.setdefault(partition, self.now)
        worker.expires = self.now + self.setting.session - silent
        self.at(worker.expires, self.gone, worker, worker.expires)

    def gone(self, worker, expires):
        """The group has given it up, or it has left."""
        if worker.alive or worker.expires != expires or worker not in self.group.members:
            return
        for partition in list(worker.partitions):
            self.take(partition)
        self.group.leave(worker)

    def restart(self, place, how, after):
        how(place)
        self.after(after, self.start, place)

    def update(self, wave=0):
        """All workers, some at a time."""
        first = wave * WAVE
        for place in range(first, min(first + WAVE, self.setting.workers)):
            self.restart(place, self.stop, RESTART)
        if first + WAVE < self.setting.workers:
            self.after(PACE, self.update, wave + 1)

    def lose_node(self, node):
        for place in range(node * NODE, min((node + 1) * NODE, self.setting.workers)):
            self.restart(place, self.kill, EVICTION + RESTART)

    def add(self, count):
        for _ in range(count):
            self.places.append(None)
            self.start(len(self.places) - 1)

    def slow(self, place):
        worker = self.places[place]
        self.work(worker, self.now)
        worker.speed = self.setting.speed * SLOW
        self.watch(worker)
        self.after(SLOW_FOR, self.heal, worker)
        if self.setting.replaced:
            self.after(PATIENCE, self.replace, place, worker)

    def heal(self, worker):
        self.work(worker, self.now)
        worker.speed = self.setting.speed

    def replace(self, place, worker):
        if self.places[place] is worker and worker.alive:
            self.restart(place, self.stop, RESTART)

    # What is seen of them

    def look(self):
        """The lag of each partition, in tenths of a second: how long its oldest document has waited."""
        rate, came = self.load.rate(self.now), self.load.total(self.now)
        for worker in list(self.watched):
            self.work(worker, self.now)
            if not (worker.alive and worker.behind):
                del self.watched[worker]
        if self.now % Load.STEP == 0:
            for worker in self.places:
                if worker and worker.alive and worker.share * rate > worker.speed:
                    self.work(worker, self.now)
                    self.watch(worker)
        late = (partition for worker in self.watched for partition in worker.partitions)
        documents = 0.0
        for partition in itertools.chain(late, self.still):
            lag = self.shares[partition] * came - self.done[partition]
            if lag > DUST:
                documents += lag
                seconds = self.now - self.load.when(self.done[partition] / self.shares[partition])
                self.late[round(10 * seconds)] += 1
                if seconds > BEHIND:
                    self.late_at = self.now
        self.ticks += 1
        self.waiting_most = max(self.waiting_most, documents)
        if self.now % HOUR == 0:
            self.audit()
            self.hours.append(sum(self.written))
        if self.now < self.length or documents > DUST or self.still:
            self.after(self.tick, self.look)
        if self.now > self.length + DAY:
            raise Broken(f"{documents} documents are left a day later")

    def audit(self):
        """Each document is accounted for, and each partition has one owner at most."""
        for worker in self.places:
            if worker:
                self.work(worker, self.now)
        held = Counter(p for worker in {*self.group.members, *filter(None, self.places)} for p in worker.partitions)
        for partition, owner in enumerate(self.owners):
            if held[partition] != (owner is not None) or (owner and partition not in owner.partitions):
                raise Broken(f"partition {partition} has {held[partition]} owners")
        came = self.load.total(self.now)
        for partition, (done, committed) in enumerate(zip(self.done, self.committed, strict=True)):
            if not -DUST <= committed <= done + DUST or done > self.shares[partition] * came + CENT:
                raise Broken(f"partition {partition}: {came * self.shares[partition]} came, {done} done, {committed} committed")
        # What came is done or waits; what was written is done or was done again; what was committed was seen.
        if abs(sum(self.written) - sum(self.done) - self.redone) > CENT:
            raise Broken(f"{sum(self.written)} written is not {sum(self.done)} done and {self.redone} done again")
        if any(seen < committed - CENT for seen, committed in zip(self.seen, self.committed, strict=True)):
            raise Broken("what is committed was not seen")

    @property
    def worst(self):
        """The most lag that a partition had, in seconds."""
        return max(self.late, default=0) / 10

    def percentile(self, share):
        """Of the lag of all partitions at all times, in seconds."""
        rest = self.ticks * self.setting.partitions * (1 - share)
        for tenths in sorted(self.late, reverse=True):
            rest -= self.late[tenths]
            if rest < 0:
                return tenths / 10
        return 0.0
