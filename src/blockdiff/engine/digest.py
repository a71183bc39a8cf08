"""Digests instead of data: where a storage computes them by itself, equal ranges need not be moved to be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from blockdiff.errors import InvalidInput, UnsupportedOperation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from blockdiff._fast import Extents
    from blockdiff.engine.device import Device
    from blockdiff.engine.options import ReadOptions
    from blockdiff.engine.progress import RateLimit
    from blockdiff.engine.report import VerifyReport

METHODS = ("auto", "content", "osd-checksum")


class DigestPlan(Protocol):
    """A comparison plan in which what has equal digests is SEG_SKIP_DIGEST; the rest is as it was, and will be read.

    Batches need not ascend where nothing is read. Raises DeviceError where an answer cannot be trusted any more.
    """

    def __iter__(self) -> Iterator[Extents]: ...

    def facts(self) -> dict[str, Any]:
        """What the report says about it, so far."""

    def bytes_read(self, side: int) -> dict[str, int]:
        """Bytes of a side that were read here to be digested, by path."""

    def close(self) -> None:
        """Ends what is under way."""


class DigestDevice(Protocol):
    """A device whose storage computes digests."""

    digest_method: str

    def digest_refusal(self, other: Device) -> str | None:
        """Why it cannot be compared with this device by digests; None when it can."""

    def digest_extents(self, start: int = 0, length: int | None = None) -> Iterator[Extents]:
        """As ``extents``, without questions that cost as much as the digests will."""

    def digest_plan(
        self,
        source: Device,
        target: Device,
        plan: Iterable[Extents],
        *,
        options: ReadOptions,
        limit: RateLimit | None = None,
    ) -> DigestPlan:
        """The plan with the answers; it is one of the two devices. ``limit`` is spent for all that is digested."""


def choose_digests(source: Device, target: Device, method: str, *, strict: bool) -> tuple[DigestDevice | None, str]:
    """The device that offers digests, or why there is none (empty: nobody could have expected one).

    A method asked for by name is a demand: UnsupportedOperation says why it cannot be met.
    """
    if method not in METHODS:
        raise InvalidInput(f"unknown method {method!r}: known are {', '.join(METHODS)}")
    if method == "content":
        return None, ""
    device, refusal = _offered(source, target)
    if device is not None and strict:
        device, refusal = None, "strict tells holes from zeroes, which digests do not"
    if device is None and method != "auto":
        reason = refusal or f"neither {source.url} nor {target.url} is on a storage that computes digests"
        raise UnsupportedOperation(f"the method {method} cannot be used: {reason}")
    return device, refusal


def _offered(source: Device, target: Device) -> tuple[DigestDevice | None, str]:
    refusal = ""
    for device, other in ((source, target), (target, source)):
        refuse = getattr(device, "digest_refusal", None)
        if refuse is not None:
            reason = refuse(other)
            if reason is None:
                return device, ""  # type: ignore[return-value]
            refusal = refusal or reason
    return None, refusal


def add_facts(report: VerifyReport, digests: DigestPlan) -> None:
    """Adds what was digested, and what was read for it, to a report."""
    report.extra.update(digests.facts())
    for index, side in enumerate((report.source, report.target)):
        for path, count in digests.bytes_read(index).items():
            side.bytes_by_path[path] = side.bytes_by_path.get(path, 0) + count
