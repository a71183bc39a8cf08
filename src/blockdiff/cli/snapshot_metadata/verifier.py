"""The program ``snapshot-metadata-verifier``."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from blockdiff.cli.snapshot_metadata.dropin import MISSING, Failure, Program, connect, flags_with_home, make_args
from blockdiff.cli.snapshot_metadata.flags import FORCE, HELP, ORIGINAL, OURS, SOURCE, TARGET
from blockdiff.cli.snapshot_metadata.goflags import quoted
from blockdiff.cli.streams import say
from blockdiff.errors import BlockdiffError, ContentsDoNotMatch

if TYPE_CHECKING:
    from typing import NoReturn

    from blockdiff.csi import VerifierEmitter
    from blockdiff.engine.report import VerifyReport

ABOUT = """\
Checks that the list of allocated blocks of a VolumeSnapshot, or of what changed since a previous one of the same
volume, leaves nothing out. Every listed range is copied from the source device to the target device, which is WRITTEN
to; then both are compared. The previous snapshot is known by its name or by its CSI handle; the handle goes before the
name. To check without writing: blockdiff snapshot-metadata verify --audit."""
SHOWN = 20


def main() -> NoReturn:
    """The entry point."""
    flags = flags_with_home((*ORIGINAL, SOURCE, TARGET, FORCE, *OURS, HELP))
    Program("snapshot-metadata-verifier", ABOUT, flags, _verify, more=" -src DEVICE -tgt DEVICE").main()


def _verify(values: dict[str, Any]) -> None:
    from blockdiff.csi import get_snapshot_metadata

    source, target = values["source_device_path"], values["target_device_path"]
    if not source or not target:
        raise Failure(MISSING, usage=True)
    args = make_args(values)
    connect(args, values)
    with ExitStack() as stack:
        emitter = args.emitter = _open(stack, source, target, force=values["force"])
        try:
            get_snapshot_metadata(args)
        except ContentsDoNotMatch as error:
            raise Failure(f"Error: {error}{_where(emitter.report)}") from None
        for warning in emitter.report.warnings if emitter.report else ():
            say(f"warning: {warning}")
        if args.starting_offset:
            say(f"warning: the list begins at byte {args.starting_offset}: it is not complete")


def _open(stack: ExitStack, source: str, target: str, *, force: bool) -> VerifierEmitter:
    from blockdiff.cli.snapshot_metadata.applying import refuse_same
    from blockdiff.csi import VerifierEmitter

    first = _device(stack, "source", source)
    second = _device(stack, "target", target, writable=True, force=force)
    try:
        refuse_same(first, second)
        return stack.enter_context(VerifierEmitter(first, second, max_differences=SHOWN))
    except BlockdiffError as error:
        raise Failure(f"failed to open target device {target}: {quoted(str(error))}") from None


def _device(stack: ExitStack, side: str, name: str, **options: bool) -> Any:
    from blockdiff.engine.registry import open_device

    try:
        device = open_device(name, **options)
    except BlockdiffError as error:
        number = getattr(error, "errno", None)
        text = f"open {name}: {_reason(number)}" if number else str(error)
        raise Failure(f"failed to open {side} device {name}: {quoted(text)}") from None
    stack.callback(device.close)
    return device


def _reason(number: int) -> str:
    """The system's reason as Go writes it."""
    import os

    text = os.strerror(number)
    return text[:1].lower() + text[1:]


def _where(report: VerifyReport | None) -> str:
    """Where the devices differ: what the original does not say."""
    if report is None:
        return ""
    from blockdiff.extent import Kind

    lines = [f"\n  offset {e.offset} length {e.length} ({Kind(e.kind).label})" for e in report.differences]
    left = report.difference_count - len(lines)
    more = [f"\n  and {left:,} more ranges"] if left else []
    total = f"\n  {report.differing_bytes:,} bytes differ that the list leaves out"
    return "".join([*lines, *more, total, *(f"\nwarning: {text}" for text in report.warnings)])


if __name__ == "__main__":
    main()
