"""What a comparison will read, and how long that will take: from metadata, and from a short measured part of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blockdiff import _fast
from blockdiff._fast import SEG_DST_HOLE, SEG_SKIP_DIGEST, SEG_SKIP_HOLE, SEG_SKIP_SHARED, SEG_SRC_HOLE, Extents
from blockdiff.engine.options import ReadOptions
from blockdiff.engine.sample import READS
from blockdiff.engine.spool import Spool
from blockdiff.engine.verify import Verification, outlook

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PLACES = 16
STEPS = (64 << 10, 1 << 20, 8 << 20)  # bytes of a place; larger ones are read where smaller took hardly any time
LEAST_SECONDS = 0.2
_ALIGN = 4096
_REASONS = {SEG_SKIP_HOLE: "hole", SEG_SKIP_SHARED: "shared", SEG_SKIP_DIGEST: "osd-checksum"}
_OF_OUTLOOK = ("strict", "method", "offset", "length", "only", "shared")


class Estimate:
    """``facts()`` is what the report says. Nothing but the probe reads data. Close it.

    ``comparing`` are the arguments of a Verification; ``only`` must be a list that can be read several times.
    Raises what the Verification would raise.
    """

    def __init__(self, source: Any, target: Any, comparing: dict[str, Any]) -> None:
        self._source, self._target = source, target
        self._options = comparing.get("options") or ReadOptions()
        self._known = {name: comparing[name] for name in _OF_OUTLOOK if comparing.get(name) is not None}
        sight = outlook(source, target, options=self._options, **self._known)
        self.length, self.method, self.by_digest = sight.end - sight.start, sight.method, sight.digests is not None
        self.sides = [0, 0]
        self.skipped: dict[str, int] = {}
        self._reads = Spool()
        for batch in sight.plan:
            self._book(batch)
        self.bytes = self._reads.total()
        self.probed, self.seconds = 0, 0.0
        self._probe()

    def _book(self, batch: Extents) -> None:
        for kind, count in batch.totals().items():
            if kind in _REASONS:
                self.skipped[_REASONS[kind]] = self.skipped.get(_REASONS[kind], 0) + count
            else:
                self.sides[0] += count if kind != SEG_SRC_HOLE else 0
                self.sides[1] += count if kind != SEG_DST_HOLE else 0
        self._reads.add(batch.only(*READS).with_kind(0))

    def _probe(self) -> None:
        """Compares a few places, as evenly spread as can be, and takes the time; what is found there is not told."""
        import time

        given = {name: value for name, value in self._known.items() if name != "only"}
        for step in self._steps():
            places = _places(self._reads, self.bytes, step)
            if not len(places) or self.seconds >= LEAST_SECONDS:
                break
            run = Verification(self._source, self._target, options=self._options, only=[places], **given)
            began = time.monotonic()
            for _ in run:
                pass
            self.seconds = time.monotonic() - began
            self.probed = run.report.bytes_compared + run.report.skipped.get("osd-checksum", 0)

    def _steps(self) -> list[int]:
        """At a limited rate, what may be read in a second."""
        least, most = self._options.granularity, self._options.rate // PLACES
        return [max(least, step) for step in STEPS if not most or step <= max(most, STEPS[0])]

    def rate(self) -> float:
        """Bytes a second, of each side; 0 where there is nothing to measure."""
        rate = self.probed / self.seconds if self.seconds > 0 else 0.0
        return min(rate, float(self._options.rate)) if self._options.rate else rate

    def facts(self) -> dict[str, Any]:
        """What is expected, for the report."""
        rate = self.rate()
        return {
            "bytes": self.bytes,
            "source_bytes": self.sides[0],
            "target_bytes": self.sides[1],
            "method": self.method,
            "skipped": [{"reason": reason, "bytes": count} for reason, count in self.skipped.items()],
            "not_listed_bytes": max(0, self.length - self.bytes - sum(self.skipped.values())),
            "cached": {
                "source": cached_share(self._source, *self._span(), self.sides[0]),
                "target": cached_share(self._target, *self._span(), self.sides[1]),
            },
            "probe": {"bytes": self.probed, "seconds": round(self.seconds, 6)},
            "bytes_per_second": int(rate),
            "limited_by_rate": bool(self._options.rate and rate >= self._options.rate),
            "seconds": round(self.bytes / rate, 6) if rate else 0.0,
        }

    def _span(self) -> tuple[int, int]:
        start, end = -1, 0
        for batch in self._reads:
            start, end = (batch.start if start < 0 else start), batch.end
        return max(0, start), end

    def close(self) -> None:
        """Forgets the plan."""
        self._reads.close()


def _places(reads: Spool, whole: int, step: int) -> Extents:
    """Up to PLACES ranges of at most ``step`` bytes, evenly spread over what is to be read."""
    if whole <= PLACES * step:
        found = Extents()
        for batch in reads:
            found = found.union(batch)
        return found
    return Extents(list(_picked(reads, [whole * place // PLACES for place in range(PLACES)], step)))


def _picked(reads: Iterable[Extents], wanted: list[int], step: int) -> Iterator[tuple[int, int]]:
    """Of the extents that hold the given bytes, counted over all of them, what is a step long from there on."""
    done = at = last = 0
    for batch in reads:
        total = batch.total()
        inside = done
        for offset, length, _ in batch if at < len(wanted) and done + total > wanted[at] else ():
            while at < len(wanted) and inside + length > wanted[at]:
                start = max(last, (offset + wanted[at] - inside) // _ALIGN * _ALIGN, offset)
                end = min(offset + length, start + step)
                if start < end:
                    yield start, end - start
                    last = end
                at += 1
            inside += length
        done += total


def cached_share(device: Any, start: int, end: int, count: int) -> float | None:
    """The share of ``count`` bytes that lie in ``[start, end)`` that is in the page cache; None where nobody can tell.

    Other bytes there, such as holes that somebody has read, are taken for some of them.
    """
    fd = device.fileno()
    if fd is None or not count:
        return None
    try:
        cached = _fast.cached_bytes(fd, start, end - start)
    except OSError:
        return None
    return None if cached < 0 else round(min(1.0, cached / count), 4)
