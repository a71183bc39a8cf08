"""What a receipt says, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockdiff.units import format_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdiff.receipt.check import Checked
    from blockdiff.receipt.predicate import Predicate, Side


def lines(checked: Checked, signature: str) -> Iterator[str]:
    """The lines, with what a terminal would obey written out: whoever wrote the receipt chose its words."""
    yield from (_plain(line) for line in _lines(checked, signature))


def _lines(checked: Checked, signature: str) -> Iterator[str]:
    predicate = checked.receipt.predicate
    yield _trust(checked, signature)
    yield _verdict(predicate)
    for name in ("source", "target"):
        yield f"{name} {_side(getattr(predicate, name))}"
    yield (
        f"method {predicate.report.method}, {format_size(predicate.report.bytes_compared)} compared, "
        f"differences sha256 {predicate.differences.sha256}"
    )
    host = predicate.host
    yield (
        f"from {predicate.started} to {predicate.finished}, by {predicate.tool.name} {predicate.tool.version} "
        f"on {host.name} ({host.system} {host.release} {host.machine})"
    )
    yield from (f"warning: {text}" for text in predicate.report.warnings)


def _trust(checked: Checked, signature: str) -> str:
    if signature == "valid":
        by = ", ".join(f"{key.name} ({key.key_id})" for key in checked.keys)
        others = len(checked.envelope.signatures) - len(checked.keys)
        return f"valid: signed by {by}" + (f"; {others} further not checked by a key" if others > 0 else "")
    if signature == "unchecked":
        return "NOT CHECKED: who signed this was not looked at (blockdiff receipt check --key PUB)"
    return "UNSIGNED: nobody vouches for what this says, and anybody may have changed it"


def _verdict(predicate: Predicate) -> str:
    found, report = predicate.differences, predicate.report
    differing = f"{found.count:,} {'range' if found.count == 1 else 'ranges'}, {found.bytes:,} bytes differ"
    identical = f"identical: {report.length - report.left_out:,} bytes{_scope(predicate)}"
    words = {
        "identical": identical,
        "repaired": f"REPAIRED: {differing.replace('differ', 'differed')}; then {identical}",
        "different": f"DIFFERENT: {differing}",
        "unreadable": f"UNREADABLE: {report.unreadable_bytes:,} bytes could not be read; {differing}",
        "transient": "TRANSIENT: what differed was equal when it was read again, which does not prove it identical",
        "incomplete": f"INCOMPLETE: no difference was found, and {_looked_at(predicate)} was compared",
        "failed": f"FAILED: {report.error}; until then {differing}",
        "interrupted": f"INTERRUPTED: until then {differing}",
    }
    return words[predicate.result]


def _looked_at(predicate: Predicate) -> str:
    report = predicate.report
    if report.ledger is not None and report.ledger.different_before_bytes:
        return f"{report.ledger.different_before_bytes:,} bytes that differed earlier were not, so not everything"
    return "not everything" if report.sample is None else "only a sample"


def _scope(predicate: Predicate) -> str:
    """Said of an identity that is not one of two whole devices."""
    if predicate.is_whole:
        return ""
    report = predicate.report
    parts = []
    if report.offset or report.length < max(predicate.source.size, predicate.target.size):
        parts.append(f"of the range [{report.offset:,}, {report.offset + report.length:,})")
    if report.left_out:
        parts.append(f"in the listed ranges; {report.left_out:,} bytes were not compared")
    if predicate.source.size != predicate.target.size:
        parts.append(f"the sizes differ: {predicate.source.size:,} and {predicate.target.size:,}")
    return f" ({'; '.join(parts)}): NOT the whole devices"


def _side(side: Side) -> str:
    identity = f", identity {side.identity}" if side.identity else ""
    root = f", no root: {side.no_root}"
    if side.root is not None:
        root = f", root {side.root.algorithm} {side.root.block_size} {side.root.digest}"
    return f"{side.url} ({side.size:,} bytes{identity}{root})"


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
