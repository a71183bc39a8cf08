"""Checks what blockdiff and librbd say of the snapshots of an image against their content."""

import collections
from dataclasses import dataclass, field
from typing import NamedTuple

import blockdiff
from blockdiff import Snapshot, SnapshotPair
from blockdiff.backends.rbd import decide
from blockdiff.backends.rbd.source import RbdSource
from blockdiff.extent import Kind
from tests import oracle

METHODS = ("auto", "fast-diff", "byte", "source", "content", "verify")
SELDOM = {"source": 0.3, "content": 0.1, "verify": 0.2}  # how often these are taken


class Missed(NamedTuple):
    """A diff in which librbd itself, asked as everybody asks it, is wrong."""

    way: str
    base: str | None
    target: str | None
    text: str
    smaller: bool


@dataclass
class Tally:
    """``diffs`` by method, ``ways`` what else was counted; ``faults`` are our own, each a text.

    ``librbd`` counts (way, right or wrong), ``missed`` has the wrong ones; ``refused`` are the steps that
    the cluster did not take.
    """

    diffs: collections.Counter = field(default_factory=collections.Counter)
    ways: collections.Counter = field(default_factory=collections.Counter)
    librbd: collections.Counter = field(default_factory=collections.Counter)
    refused: collections.Counter = field(default_factory=collections.Counter)
    faults: list = field(default_factory=list)
    missed: list = field(default_factory=list)

    def add(self, other):
        for name in ("diffs", "ways", "librbd", "refused"):
            getattr(self, name).update(getattr(other, name))
        self.faults += other.faults
        self.missed += other.missed


class Judge:
    """Looks at every snapshot and the head of an image."""

    def __init__(self, ceph, spec, rng):
        self._rng, self.tally, self._spec = rng, Tally(), spec
        names = [snap["name"] for snap in ceph.on(spec, ("list_snaps",)) if snap["namespace"] == 0]
        self._points = [*names, None]
        self._contents = {name: ceph.content(f"{spec}@{name}" if name else spec) for name in self._points}
        self._devices, self._source = {}, RbdSource.open(ceph.url(spec))
        for name in self._points:
            self._devices[name] = blockdiff.open_device(ceph.url(spec, name))

    def close(self):
        self._source.close()
        for device in self._devices.values():
            device.close()

    def all(self, pairs=None):
        """Every map, and every pair of an older and a newer point, or some of them."""
        for name in self._points:
            self.maps(name)
            self._librbd(None, name, b"")
        chosen = self._pairs()
        if pairs is not None and len(chosen) > pairs:
            chosen = self._rng.sample(chosen, pairs)
        for base, target in chosen:
            self.pair(base, target)
            self._librbd(base, target, self._contents[base])
        return self.tally

    def librbd_alone(self):
        """What librbd says of all pairs."""
        for base, target in self._pairs():
            self._librbd(base, target, self._contents[base])
        return self.tally

    def _pairs(self):
        return [(a, b) for at, a in enumerate(self._points) for b in self._points[at + 1 :]]

    def maps(self, name):
        device, content = self._devices[name], self._contents[name]
        if len(content) != device.size:
            self._fault("size", None, name, f"{device.size} and not {len(content)}")
        for way, batches in (("map", device.extents()), ("digest", device.digest_extents())):
            extents = listed(batches)
            self.tally.diffs[way] += 1
            end = 0
            for offset, length, kind in extents:
                if offset != end or length <= 0:
                    self._fault(way, None, name, f"{offset}+{length} follows {end}")
                end = offset + length
                if kind != Kind.DATA and any_data(content, offset, end):
                    self._fault(way, None, name, f"{offset}+{length} holds data and is called a hole")
            if end != len(content):
                self._fault(way, None, name, f"ends at {end}, the image at {len(content)}")

    def pair(self, base, target):
        b = self._contents[target]
        for method in METHODS:
            if self._rng.random() >= SELDOM.get(method, 1):
                continue
            start, end = self._range(len(b)) if method != "source" else (0, len(b))
            try:
                trouble = self._trouble(method, base, target, start, end)
            except blockdiff.UnsupportedOperation:
                self.tally.ways["fast-diff refused"] += 1
                continue
            self.tally.diffs[method] += 1
            if trouble:
                self._fault(method, base, target, trouble)

    def _trouble(self, method, base, target, start, end):
        """What is wrong with what a method says."""
        a, b = self._contents[base], self._contents[target]
        devices = self._devices[base], self._devices[target]
        if method == "verify":
            report = blockdiff.verify(*devices)
            self.tally.ways[f"verify by {report.method}"] += 1
            found = [(offset, length, Kind(kind).label) for offset, length, kind in report.differences]
            wanted = oracle.differences(a, b)
            return "" if found == wanted else f"differences {found} and not {wanted}"[:2000]
        if method == "source":
            pair = SnapshotPair(Snapshot("", base), Snapshot("", target or ""))
            records = self._source.records(pair)
        else:
            options = {} if (start, end) == (0, len(b)) else {"offset": start, "length": end - start}
            records = blockdiff.diff(*devices, method=method, **options)
        return unsound([tuple(extent) for record in records for extent in record.extents], a, b, start, end)

    def _range(self, size):
        """The whole image mostly, else an odd part of it that begins in both."""
        rng = self._rng
        if rng.random() < 0.8:
            return 0, size
        start = rng.randrange(min(map(len, self._contents.values())))
        return start, rng.randrange(start + 1, size + 1)

    def _librbd(self, base, target, a):
        """What librbd says if it is asked as everybody asks it."""
        b = self._contents[target]
        image = self._devices[target].image
        for way, whole in (("whole-object", True), ("byte", False)):
            extents = list(image.diff(base, 0, len(b), whole_object=whole))
            wrong = unsound([tuple(extent) for extent in extents], a, b, 0, len(b), growth=False)
            since = "from a snapshot" if base else "from nothing"
            self.tally.librbd[f"{way} {since}", "wrong" if wrong else "right"] += 1
            if wrong:
                self.tally.missed.append(Missed(way, base, target, wrong, self._smaller_between(base, target)))

    def _smaller_between(self, base, target):
        """Is there a snapshot between the two, of whatever namespace, that is smaller than both?"""
        if base is None:
            return False
        devices = self._devices[base], self._devices[target]
        between = decide.between(devices[1].all_snapshots(), devices[0].snap, devices[1].snap)
        return any(snap.size < min(device.size for device in devices) for snap in between)

    def _fault(self, method, base, target, text):
        self.tally.faults.append(f"{method} {self._spec} {base or ''} -> {target or 'HEAD'}: {text}")


def listed(batches):
    return [tuple(extent) for batch in batches for extent in batch]


def any_data(content, start, end):
    return content.count(0, start, end) != end - start


def unsound(extents, a, b, start, end, *, growth=True):
    """What is wrong with a list of changes of ``b`` against ``a`` within a range; empty if nothing is.

    With ``growth`` all that ``b`` has beyond the end of ``a`` must be listed, else only what is not zero there.
    """
    grown = len(a) if growth else len(b)
    a = a if len(a) >= len(b) else a + bytes(len(b) - len(a))
    limit = min(end, len(b))
    at = start
    for offset, length, kind in [*extents, (limit, 0, Kind.DATA)]:
        if offset < at:
            return f"{offset}+{length} does not ascend"
        if length < (0 if offset == limit else 1) or offset + length > limit:
            return f"{offset}+{length} is empty or leaves {start}..{limit}"
        if a[at:offset] != b[at:offset]:
            return f"a change between {at} and {offset} is left out"
        if offset > max(at, grown):
            return f"what was grown between {at} and {offset} is left out"
        if kind == Kind.ZERO and any_data(b, offset, offset + length):
            return f"{offset}+{length} is called zero and holds data"
        at = offset + length
    return ""
