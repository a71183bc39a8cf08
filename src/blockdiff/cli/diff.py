"""``blockdiff diff``."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import click

from blockdiff.cli import exportdiff
from blockdiff.cli.base import CONTEXT, Command
from blockdiff.cli.devices import check_sharing, opened
from blockdiff.cli.lists import emit, make_list
from blockdiff.cli.options import LIST_FORMATS, REPORT_FORMATS, Name, gather, output_options, read_options
from blockdiff.cli.progress import make_progress
from blockdiff.cli.reportwriter import how_read
from blockdiff.engine.diff import METHODS, Diff
from blockdiff.engine.listing import Listing, check_listing, open_listing
from blockdiff.engine.registry import is_source
from blockdiff.units import format_size


@click.command("diff", cls=Command, context_settings=CONTEXT)
@click.argument("base", type=Name(), required=False)
@click.argument("target", type=Name(), required=False)
@click.option(
    "--pairs", "plan", type=Name(), metavar="FILE", help="List the changes of all pairs of a plan of blockdiff pairs."
)
@click.option("--allow-empty", is_flag=True, help="With --pairs: a plan without pairs is no error.")
@click.option(
    "--method",
    type=click.Choice(METHODS),
    default="auto",
    show_default=True,
    help="auto asks the storage (rbd, csi), or skips what is shared and reads the rest; reflink, fast-diff, byte and "
    "cbt read no data; content reads all but holes.",
)
@click.option(
    "--require", type=click.Choice(METHODS[1:]), default=None, help="Exit with 4 rather than use another method."
)
@click.option(
    "--from-name",
    metavar="NAME",
    default=None,
    help="With -o export-diff: the snapshot that BASE is.  [default: the one that is read]",
)
@exportdiff.to_name_option()
@click.option("--exit-code", is_flag=True, help="Exit with 1 when something changed.")
@read_options()
@output_options(LIST_FORMATS)
def command(
    base: str | None,
    target: str | None,
    plan: str | None,
    allow_empty: bool,
    method: str,
    require: str | None,
    from_name: str | None,
    to_name: str | None,
    exit_code: bool,
    offset: int,
    length: int | None,
    output: str,
    quiet: bool,
    verbose: bool,
    progress_mode: str,
    **reading: Any,
) -> int:
    """List the extents of TARGET that changed against BASE. Reads only.

    Every byte that differs lies inside a listed extent. What TARGET has beyond the end of BASE is changed. Kind zero:
    the range reads as zeroes in TARGET. The method that was used is told after the list, or on stderr. A URL that says
    by itself since when it lists changes (nbd: with bitmap=, csi: with base=) is named alone.

    One of the two, or both, may be a manifest, which blockdiff digest made: whole blocks are listed then.

    -o export-diff writes the changes with their data, for rbd import-diff and blockdiff apply.

    Finding changes is success: exit code 0, with --exit-code 1.

    \b
    Examples:
      blockdiff diff yesterday.img today.img
      blockdiff diff -o json yesterday.img today.img > changed.json
      blockdiff diff --require reflink snapshot.img live.img
      blockdiff diff -o json a.img b.img | blockdiff copy --extents - b.img a.img
      blockdiff diff csi:app/monday csi:app/tuesday
      blockdiff pairs -o json rbd:vms/disk | blockdiff diff -o jsonl --pairs -
      blockdiff diff monday.manifest today.img
      blockdiff diff -o json 'nbd://host/disk?bitmap=monday'
    """
    if plan is not None:
        _refuse_with_pairs(base, output, offset=offset, length=length, from_name=from_name, to_name=to_name)
        from blockdiff.cli.paired.diffing import diff_pairs

        return diff_pairs(
            plan,
            allow_empty=allow_empty,
            exit_code=exit_code,
            output=output,
            quiet=quiet,
            progress_mode=progress_mode,
            options={"options": gather(**reading), "method": method, "require": require},
        )
    if base is None or (target is None and not is_source(base)):
        raise click.UsageError(f"Missing argument '{'BASE' if base is None else 'TARGET'}'.")
    if allow_empty:
        raise click.UsageError("--allow-empty goes with --pairs")
    exportdiff.check(output, offset, length, from_name=from_name, to_name=to_name)
    shown = _Shown(output, make_progress(progress_mode, quiet=quiet), quiet)
    run: Diff | Listing
    if target is None or is_source(base) or is_source(target):
        since, listed = (None, base) if target is None else (base, target)
        check_sharing()
        check_listing(listed, output, method=method, require=require)
        run = _listing(since, listed, shown, offset=offset, length=length)
    else:
        names = {"from_name": from_name, "to_name": to_name}
        options = gather(**reading)
        asked = {"method": method, "require": require, "options": options, "offset": offset, "length": length}
        run = _compare(base, target, shown, names, asked)
    _tell(run, output, quiet=quiet, verbose=verbose)
    return 1 if exit_code and run.changed_bytes else 0


class _Shown(NamedTuple):
    """How the list is given."""

    output: str
    progress: Any
    quiet: bool


def _listing(base: str | None, target: str, shown: _Shown, *, offset: int, length: int | None) -> Listing:
    """What the storage says changed."""
    with open_listing(base, target, offset=offset, length=length, changed=True) as listing:
        emit(listing.records(), make_list(shown.output, quiet=shown.quiet), shown.progress)
    return listing


def _compare(base: str, target: str, shown: _Shown, names: dict[str, str | None], asked: dict[str, Any]) -> Diff:
    """What differs between two devices."""
    with opened(base, target, None, manifests=True) as (first, second, _):
        kind = _kind(first, second, shown.output)
        if shown.output == exportdiff.EXPORT_DIFF:
            base_name = exportdiff.name_of_base(first, names["from_name"])
            emitter = exportdiff.make_emitter(second, from_name=base_name, to_name=names["to_name"])
        else:
            emitter = make_list(shown.output, quiet=shown.quiet)
        run: Diff = kind(first, second, progress=shown.progress, **asked)
        emit(run.records(), emitter, shown.progress)
    return run


def _kind(base: Any, target: Any, output: str) -> Any:
    """What compares these two: something else where one is a manifest."""
    from blockdiff.cli.verifying.manifests import manifests_of, refuse_granularity

    manifests = manifests_of(base, target)
    if not manifests:
        return Diff
    if output == exportdiff.EXPORT_DIFF and target in manifests:
        raise click.UsageError(f"{target.url} is a manifest and holds no data: an export-diff needs the image itself")
    refuse_granularity(manifests)
    from blockdiff.engine.manifest import ManifestDiff

    return ManifestDiff


def _refuse_with_pairs(base: str | None, output: str, **given: object) -> None:
    """A plan names its snapshots, and is of whole ones."""
    if base is not None:
        raise click.UsageError(f"--pairs and {base} do not go together: the plan names what is listed")
    if output not in REPORT_FORMATS:
        raise click.UsageError(f"--pairs writes {', '.join(REPORT_FORMATS)}, and not {output}")
    for name, value in given.items():
        if value:
            raise click.UsageError(f"--pairs and --{name.replace('_', '-')} do not go together")


def _tell(run: Diff | Listing, output: str, *, quiet: bool, verbose: bool) -> None:
    """The method and the sums: part of what people read, beside what programs read."""
    lines = [f"changed: {run.changed_bytes:,} bytes ({format_size(run.changed_bytes)}), method {run.method}"]
    if run.fallback:
        lines[0] += f" (not {run.better}: {run.fallback})"
    if run.run is not None and (verbose or output == "human"):
        lines += how_read(run.run.report, verbose=verbose)
    warnings = [f"warning: {text}" for text in run.warnings]
    if output == "human" and not quiet:
        click.echo("\n".join(lines))
    elif not quiet:
        click.echo("\n".join(lines), file=sys.stderr)
    if warnings:
        click.echo("\n".join(warnings), file=sys.stderr)
