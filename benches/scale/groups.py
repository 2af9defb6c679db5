"""How the members of a consumer group come to their partitions."""

from given import ASSIGN, BEAT, BEAT_848


def balanced(members, owners):
    """Who is to own each partition: as many each as can be, and as few moves as can be."""
    held = {member: [] for member in members}
    free = []
    for partition, owner in enumerate(owners):
        held.get(owner, free).append(partition)
    least, over = divmod(len(owners), len(members))
    # Those who have most may keep one more than the others.
    order = sorted(members, key=lambda member: -len(held[member]))
    target = list(owners)
    room = []
    for place, member in enumerate(order):
        quota = least + (place < over)
        free += held[member][quota:]
        room += [member] * (quota - len(held[member]))
    for partition, member in zip(free, room, strict=True):
        target[partition] = member
    return target


class Group:
    """Members that come and go; each time their partitions are shared out anew."""

    def __init__(self, line):
        self.line = line
        self.members = []

    def join(self, member):
        self.members.append(member)
        self.rebalance()

    def leave(self, member):
        self.members.remove(member)
        self.rebalance()


class Classic(Group):
    """The protocol in which all members join anew, and one of them assigns.

    Who owned something goes on with it meanwhile (`cooperative-sticky`), or stands still (`range`).
    """

    def __init__(self, line, eager):
        super().__init__(line)
        self.eager = eager
        self.state, self.again = "stable", False

    def rebalance(self):
        if self.state == "assigning":
            self.again = True
        if self.state != "stable":
            return
        self.state = "joining"
        self.line.rebalances += 1
        if self.eager:
            for member in self.members:
                self.line.after(member.phase * BEAT, self.revoke, member)
        self.line.after(BEAT, self.joined)

    def revoke(self, member):
        if member.alive and self.state == "joining":
            for partition in list(member.partitions):
                self.line.take(partition)

    def joined(self):
        # Whoever is dead is waited for until its session is over.
        late = max((member.expires for member in self.members if not member.alive), default=0)
        if late > self.line.now:
            self.line.at(late, self.joined)
            return
        self.state = "assigning"
        self.line.after(ASSIGN, self.assign)

    def assign(self):
        self.state = "stable"
        owners = self.line.owners
        if not self.members:
            return
        if self.eager:
            for partition, owner in enumerate(owners):
                if owner is not None:
                    self.line.take(partition)
            order = sorted(self.members, key=lambda member: member.phase)
            for partition in range(len(owners)):
                self.line.give(partition, order[partition * len(order) // len(owners)])
        else:
            for partition, member in enumerate(balanced(self.members, owners)):
                if owners[partition] is None:
                    self.line.give(partition, member)
                elif owners[partition] is not member:
                    # Given up now, and somebody's in the rebalance that follows.
                    self.line.take(partition)
                    self.again = True
        if self.again:
            self.again = False
            self.rebalance()


class Server(Group):
    """KIP-848: the broker assigns, and each member hears of its own part by its next heartbeat."""

    def __init__(self, line):
        super().__init__(line)
        self.target = []
        self.changed = False

    def rebalance(self):
        # Once for all who come and go at the same moment.
        if not self.changed:
            self.changed = True
            self.line.after(0, self.assign)

    def assign(self):
        self.changed = False
        if not self.members:
            return
        self.line.rebalances += 1
        self.target = balanced(self.members, self.line.owners)
        for partition, owner in enumerate(self.line.owners):
            if owner is not self.target[partition]:
                self.move(partition)

    def move(self, partition):
        # To the one who has it, that it goes, then to the one who is to have it.
        hears = self.line.owners[partition] or self.target[partition]
        if hears.alive:
            wait = (hears.phase * BEAT_848 - self.line.now) % BEAT_848
            self.line.after(wait, self.heard, partition, hears)

    def heard(self, partition, member):
        owner, target = self.line.owners[partition], self.target[partition]
        if not member.alive or owner is target:
            return
        if owner is member:
            self.line.take(partition)
            self.move(partition)
        elif owner is None and target is member:
            self.line.give(partition, member)
