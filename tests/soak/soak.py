"""Runs histories until there are enough diffs, and tells what came of them."""

import collections
import contextlib
import itertools
import random
import time

from blockdiff import _rbd
from tests.fixtures.ceph_client import Ceph
from tests.fixtures.ceph_cluster import Cluster
from tests.soak.history import random_history
from tests.soak.judge import Judge, Tally
from tests.soak.reduce import reduced
from tests.soak.replay import Replay

EVERY_PAIR, LIBRBD_ALONE = Judge.all, Judge.librbd_alone
POOL_HISTORIES = 4  # then a new pool: an OSD in memory must not fill up


class Soak:
    """A run of its own cluster. History ``n`` of a seed is always the same, whatever came before it."""

    def __init__(self, seed, *, pairs=60, reduce=True, tell=print):
        self.seed, self._pairs, self._tell = seed, pairs, tell
        self._kinds_told = set() if reduce else None
        self.tally = Tally()
        self.histories, self.traps = 0, collections.Counter()
        self._ceph, self._uses, self._told = None, 0, 0

    def run(self, *, diffs=None, seconds=None, first=0):
        """Until so many diffs are done or so much time has passed; the tally."""
        started = time.monotonic()
        end = started + seconds if seconds else None
        self._cluster = Cluster("--store", "memstore", "--size", "6G")
        # what the cluster refuses is counted here, and need not be told by librbd as well
        self._cluster.conf.write_text(
            self._cluster.conf.read_text().replace("err_to_stderr = true", "err_to_stderr = false")
        )
        try:
            for number in itertools.count(first):
                self._progress(started)
                if diffs is not None and sum(self.tally.diffs.values()) >= diffs:
                    break
                if end is not None and time.monotonic() >= end:
                    break
                self._one(number)
        finally:
            self._cluster.close()  # with all its pools
        return self.tally

    def _progress(self, started):
        """A line every five minutes."""
        minutes = int(time.monotonic() - started) // 60
        if minutes >= self._told + 5:
            self._told = minutes
            self._tell(f"{minutes} min: {sum(self.tally.diffs.values())} diffs, {len(self.tally.faults)} faults")

    def _one(self, number):
        history = random_history(random.Random(f"{self.seed}/{number}"))
        found = self._try(history, number, lambda judge: judge.all(self._pairs))
        self.histories += 1
        self.tally.add(found)
        for fault in found.faults:
            self._tell(f"FAULT OF BLOCKDIFF, history {number}: {fault}")
        kinds = collections.Counter(kind_of(history, missed) for missed in found.missed)
        for kind, count in sorted(kinds.items()):
            self.traps[kind, "diffs"] += count
            self.traps[kind, "histories"] += 1
            self._explain(number, history, kind)
        if found.faults:
            cut = reduced(history, lambda tried: self._try(tried, 0, EVERY_PAIR).faults)
            self._tell(f"  {history}\n  cut down: {cut}")

    def _explain(self, number, history, kind):
        """The first history of each kind in which librbd misses changes, cut down to what is needed."""
        if self._kinds_told is None or kind in self._kinds_told:
            return
        self._kinds_told.add(kind)

        def shown(tried):
            return [missed for missed in self._try(tried, 0, LIBRBD_ALONE).missed if kind_of(tried, missed) == kind]

        cut = reduced(history, shown)
        self._tell(f"librbd misses changes ({kind}), history {number}, cut down to: {cut}")
        for missed in shown(cut)[:2]:
            self._tell(f"  {missed.way} diff {missed.base} -> {missed.target or 'HEAD'}: {missed.text}")

    def _try(self, history, number, how):
        """Does it all on a new image, and judges that and its ancestors."""
        self._new_pool()
        tally = Tally()
        replay = Replay(self._ceph, history, f"i{self._uses}").run()
        tally.refused.update(replay.refused)
        rng = random.Random(f"{self.seed}/{number}/judge")
        for spec in replay.images:
            with contextlib.closing(Judge(self._ceph, spec, rng)) as judge:
                tally.add(how(judge))
        return tally

    def _new_pool(self):
        if self._uses % POOL_HISTORIES == 0:
            if self._ceph is not None:
                self._ceph.close()
            self._ceph = Ceph(self._cluster)
        self._uses += 1

    def summary(self):
        """The result as lines."""
        tally = self.tally
        count = sum(tally.diffs.values())
        yield f"seed {self.seed}: {self.histories} histories, {count} diffs, librbd {_rbd.versions()[1]}"
        yield "  by method: " + ", ".join(f"{name} {count}" for name, count in sorted(tally.diffs.items()))
        yield "  of these: " + ", ".join(f"{name} {count}" for name, count in sorted(tally.ways.items()))
        yield f"  faults of blockdiff: {len(tally.faults)}"
        for (way, result), count in sorted(tally.librbd.items()):
            yield f"  librbd itself, {way}: {count} {result}"
        for (kind, what), count in sorted(self.traps.items()):
            yield f"  librbd misses changes: {kind}: {count} {what}"
        for what, count in sorted(tally.refused.items()):
            yield f"  steps that the cluster refused: {what}: {count}"


def kind_of(history, missed):
    """What the cause may be."""
    rolled = any(step[0] == "rollback" for step in history.steps)
    why = "a smaller snapshot in between" if missed.smaller else "a rollback" if rolled else "something else"
    return f"{missed.way}, {why}"
