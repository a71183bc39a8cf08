"""A verify of a sample: which blocks it compares, and what may be said afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blockdiff.engine.options import ReadOptions
from blockdiff.engine.sample import UNIT, Again, Population, check_unit, touched_blocks
from blockdiff.engine.spool import Spool
from blockdiff.engine.stream import intersect, subtract
from blockdiff.engine.verify import outlook
from blockdiff.errors import InvalidInput
from blockdiff.sampling import (
    corrupt_blocks,
    detection,
    format_share,
    parse_share,
    sample_of_share,
    sample_size,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction

    from blockdiff._fast import Extents
    from blockdiff.engine.report import VerifyReport

_EXAMPLES = ("0.01%", "0.1%", "1%")  # of corruption, where none was named
_OF_OUTLOOK = ("strict", "method", "offset", "length", "shared")


class Sampling:
    """What to sample: ``share`` of the blocks, or as many as find ``corruption`` with ``confidence``.

    Shares are texts, such as ``5%``. ``seed`` chooses the blocks (empty: at random); ``unit`` is the bytes of a block.
    It is for one verify; close it. Raises InvalidInput.
    """

    def __init__(
        self,
        *,
        share: str | None = None,
        confidence: str | None = None,
        corruption: str | None = None,
        seed: str = "",
        unit: int = UNIT,
    ) -> None:
        import os

        if (share is None) == (confidence is None):
            raise InvalidInput("a sample is of a share, or as large as a confidence asks for: give one of both")
        if confidence is not None and corruption is None:
            raise InvalidInput("a confidence of what? Say which corruption is to be found, such as 0.01%")
        self._share = _parsed(share, "sample")
        self._confidence, self._corruption = _parsed(confidence, "confidence"), _parsed(corruption, "corruption")
        self.seed, self.unit = seed or os.urandom(8).hex(), unit
        self.population: Population | None = None
        self.count = 0
        self._listed = False
        self._found, self._full = Spool(), Spool()

    def plan(self, source: Any, target: Any, comparing: dict[str, Any]) -> None:
        """Chooses: ``comparing``, the arguments of a Verification, is changed to compare the sample.

        What it is limited to (``only``) is then compared in full, and the rest is what is sampled.
        """
        options = comparing.get("options") or ReadOptions()
        check_unit(self.unit, options.granularity)
        full = self._kept(comparing.get("only"))
        self._listed = full is not None
        known = {name: comparing[name] for name in _OF_OUTLOOK if name in comparing}
        self.population = made = Population(outlook(source, target, options=options, **known), self.unit, full)
        self.count = self._size(made.blocks)
        comparing["only"] = Again(lambda: made.only(self.count, self.seed))
        comparing["watchers"] = [*comparing.get("watchers", ()), self]

    def _kept(self, listed: Any) -> Any:
        """A list that can be read several times."""
        if listed is None or iter(listed) is not listed:
            return listed
        for batch in listed:
            self._full.add(batch)
        return self._full

    def _size(self, blocks: int) -> int:
        if self._share is not None:
            return sample_of_share(blocks, self._share)
        assert self._confidence is not None, "checked when it was made"
        assert self._corruption is not None, "as above"
        return sample_size(blocks, self._confidence, self._corruption)

    def known(self, plan: Extents) -> None:
        """Is not asked: see Population."""

    def settle(self, task: Extents, found: Extents, unreadable: Extents) -> None:
        """Keeps what was found."""
        self._found.add(found.with_kind(0))

    def conclude(self, report: VerifyReport) -> None:
        """Puts into the report what the sample says, and takes back what it cannot say: that all is identical."""
        made = self.population
        assert made is not None, "it was planned"
        compared = self._compared(report)
        report.extra["sample"] = {
            "block_size": self.unit,
            "seed": self.seed,
            "asked": self._asked(),
            "population_blocks": made.blocks,
            "population_bytes": made.bytes,
            "sampled_blocks": self.count,
            "compared_blocks": compared,
            "differing_blocks": touched_blocks(self._in_sample(), self.unit),
            "full_bytes": made.full_bytes,
            "known_bytes": made.known_bytes,
            "left_out_bytes": report.skipped.get("not-listed", 0),
            "detection": [] if compared is None else list(self._chances(made.blocks, compared)),
        }
        report.identical = report.complete = False

    def _asked(self) -> dict[str, str]:
        given = {"share": self._share, "confidence": self._confidence, "corruption": self._corruption}
        return {name: format_share(value) for name, value in given.items() if value is not None}

    def _in_sample(self) -> Any:
        assert self.population is not None, "it was planned"
        return subtract(self._found, self.population.full()) if self._listed else self._found

    def _compared(self, report: VerifyReport) -> int | None:
        """Blocks of the sample that were read whole; None where the run stopped at the first difference."""
        if not report.complete:
            return None
        if report.unreadable_bytes > report.unreadable.total():
            return 0  # there are more unreadable ranges than are listed: each may have been in a block of its own
        assert self.population is not None, "it was planned"
        lost = touched_blocks(intersect([report.unreadable.with_kind(0)], self.population.rest()), self.unit)
        return max(0, self.count - lost)

    def _chances(self, blocks: int, compared: int) -> Iterator[dict[str, Any]]:
        """With which probability corruption of a single block, and of some shares, would have been found."""
        if not blocks:
            return
        yield {"corrupt_blocks": 1, "probability": detection(blocks, 1, compared)}
        last = 1 if self._corruption is None else 0
        for text in _EXAMPLES if self._corruption is None else (format_share(self._corruption),):
            corrupt = corrupt_blocks(blocks, parse_share(text))
            if corrupt > last:
                yield {"share": text, "corrupt_blocks": corrupt, "probability": detection(blocks, corrupt, compared)}
            last = corrupt

    def close(self) -> None:
        """Forgets the population."""
        if self.population is not None:
            self.population.close()
        self._found.close()
        self._full.close()


def _parsed(text: str | None, what: str) -> Fraction | None:
    return None if text is None else parse_share(text, what)
