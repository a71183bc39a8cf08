"""What a receipt says of a run: made from its report, its devices and its clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blockdiff.receipt.statement import UNREADABLE_LISTED

if TYPE_CHECKING:
    from blockdiff.engine.device import Device
    from blockdiff.engine.report import VerifyReport
_LONGEST = 4 << 20  # bytes of JSON, of what one option found


def host() -> dict[str, str]:
    """The host, as far as strangers may know: no users, no addresses, no environment."""
    import os

    name = os.uname()
    return {"name": name.nodename, "system": name.sysname, "release": name.release, "machine": name.machine}


def moment(seconds: float) -> str:
    """A time of the clock as UTC with milliseconds: ``2026-11-21T20:35:00.123Z``."""
    import datetime as dt

    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def side(device: Device, root: dict[str, Any] | None, why_not: str) -> dict[str, Any]:
    """A device. ``root`` is that of its manifest, ``why_not`` the reason where there is none."""
    from blockdiff.engine.catalog import identity_of

    known = {"root": root} if root is not None else {"root": None, "no_root": why_not}
    return {"url": device.url, "size": device.size, "identity": identity_of(device), **known}


def result(report: VerifyReport, error: BaseException | None) -> str:
    """How it came out, in one word of the predicate's (docs/receipts.md)."""
    if error is not None:
        return "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
    if report.unreadable_bytes:
        return "unreadable"
    if report.identical:
        return "repaired" if report.difference_count else "identical"
    if report.difference_count:
        return "different"
    return "transient" if report.extra.get("recheck", {}).get("verdict") == "transient" else "incomplete"


def told(report: VerifyReport, error: BaseException | None) -> dict[str, Any]:
    """The report without its list of differences, and with a list of unreadable ranges that stays small.

    What other options of verify found is left out where it is too long; ``left_out`` then names it.
    """
    made = report.summary_dict()
    made["unreadable"] = made["unreadable"][:UNREADABLE_LISTED]
    long = [name for name in report.extra if _size(made[name]) > _LONGEST]
    for name in long:
        del made[name]
    if long:
        made["left_out"] = long
    if error is not None:
        made |= {"identical": False, "complete": False, "error": str(error) or "interrupted"}
    return made


def _size(value: Any) -> int:
    """Bytes of it as JSON, about."""
    import msgspec

    try:
        return len(msgspec.json.encode(value))
    except UnicodeEncodeError:
        return len(repr(value))
