"""``blockdiff verify``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from blockdiff.cli.base import CONTEXT, Command, show_in_groups
from blockdiff.cli.devices import opened, split
from blockdiff.cli.options import REPORT_FORMATS, Name, gather, output_options, read_options
from blockdiff.cli.progress import make_progress
from blockdiff.cli.reportwriter import make_writer
from blockdiff.cli.verifying.aspect import aspect_groups, aspect_options, make_aspects, refuse_with_pairs
from blockdiff.cli.verifying.job import Job
from blockdiff.cli.verifying.manifests import use_manifests
from blockdiff.engine.digest import METHODS
from blockdiff.engine.verify import SIZE_POLICIES

if TYPE_CHECKING:
    from blockdiff.cli.verifying.aspect import Aspect


@click.command("verify", cls=Command, context_settings=CONTEXT)
@click.argument("devices", nargs=-1, type=Name(), metavar="SRC [DIFF]... DST")
@click.option("--first", is_flag=True, help="Stop at the first difference.")
@click.option(
    "--max-differences",
    type=click.IntRange(0),
    default=None,
    metavar="N",
    help="List at most so many ranges; counting goes on.",
)
@click.option(
    "--extents", "list_file", type=Name(), metavar="FILE", help="Compare only the ranges that FILE lists (-: stdin)."
)
@click.option("--pairs", "plan", type=Name(), metavar="FILE", help="Compare all pairs of a plan of blockdiff pairs.")
@click.option("--allow-empty", is_flag=True, help="With --pairs: a plan without pairs is no error.")
@click.option("--strict", is_flag=True, help="A hole and allocated zeroes differ too: classes src-hole and dst-hole.")
@click.option(
    "--size",
    "size_policy",
    type=click.Choice(SIZE_POLICIES),
    default="strict",
    show_default=True,
    help="Of different sizes: strict calls what only one has different, min compares the common part.",
)
@click.option(
    "--method",
    type=click.Choice(METHODS),
    default="auto",
    show_default=True,
    help="osd-checksum: the OSDs of an RBD image compute checksums, and only what these do not prove is read. content "
    "reads all but holes; auto uses checksums where it can.",
)
@aspect_options
@read_options(keep_going=True)
@output_options(REPORT_FORMATS)
def command(
    devices: tuple[str, ...],
    max_differences: int | None,
    list_file: str | None,
    plan: str | None,
    allow_empty: bool,
    first: bool,
    strict: bool,
    size_policy: str,
    method: str,
    offset: int,
    length: int | None,
    read_mode: str,
    granularity: int,
    workers: int,
    rate: int,
    keep_going: bool,
    **given: Any,
) -> int:
    """Prove that DST is identical to SRC, or list every range that differs. Reads only, unless
    --repair is given.

    Each range has a class: data, src-zero (zeroes in SRC only), dst-zero (in DST only), bit-flip (a single bit), size
    (only the longer one has it). A device is not compared with itself.

    SRC may be an export-diff of a whole image, and export-diffs that follow may be laid over SRC: DST is compared with
    the image that they would make, without making it. One of them may be - for stdin.

    One of the two, or both, may be a manifest, which blockdiff digest made: the differences are whole blocks then.

    Exit code: 0 identical, 1 different, 3 something could not be read, which is never called identical.

    \b
    Examples:
      blockdiff verify /dev/vg0/data replica.img
      blockdiff verify -o json disk.img replica.img > report.json
      blockdiff verify --extents changed.json disk.img replica.img
      blockdiff verify --first -q a.img b.img && echo identical
      blockdiff verify --rate 200M /dev/sdb /dev/sdc
      blockdiff verify replica.img disk.manifest
      blockdiff verify full.diff monday.diff today.img
      blockdiff pairs -o json rbd:vms/ "rbd:vms/?conf=b.conf" | blockdiff verify --pairs -
    """
    reading = gather(read_mode, granularity, workers, rate, keep_going)
    comparing = {"options": reading, "strict": strict, "size": size_policy, "method": method, "first": first}
    shown = {"output": given.pop("output"), "quiet": given.pop("quiet")}
    verbose, progress_mode = given.pop("verbose"), given.pop("progress_mode")
    aspects = make_aspects(given)
    if plan is not None:
        _refuse_with_pairs(devices=devices, extents=list_file, offset=offset, length=length)
        refuse_with_pairs(aspects)
        from blockdiff.cli.paired.verifying import verify_pairs

        return verify_pairs(
            plan,
            allow_empty=allow_empty,
            limit=max_differences,
            progress_mode=progress_mode,
            options=comparing,
            **shown,
        )
    if allow_empty:
        raise click.UsageError("--allow-empty goes with --pairs")
    comparing |= {"offset": offset, "length": length}
    progress = make_progress(progress_mode, quiet=shown["quiet"])
    shown |= {"verbose": verbose, "limit": max_differences, "progress": progress}
    return _verify(devices, list_file, comparing, aspects, shown)


def _verify(
    devices: tuple[str, ...],
    list_file: str | None,
    comparing: dict[str, Any],
    aspects: list[Aspect],
    shown: dict[str, Any],
) -> int:
    """Opens the devices and compares them; whatever happens, the aspects are told."""
    sources, dst = split(devices)
    writer = make_writer(shown["output"], shown["progress"], quiet=shown["quiet"])
    job = None
    try:
        with opened(sources, dst, list_file, manifests=True) as (source, target, listed):
            job = Job(devices, source, target, {**comparing, "only": listed}, aspects, writer=writer, **shown)
            use_manifests(job)
            return job.execute()
    except BaseException as error:
        report = job.run.report if job is not None and job.run is not None else None
        for aspect in aspects:
            aspect.failed(job, report, error)
        raise
    finally:
        for aspect in aspects:
            aspect.close()
        if job is not None:
            job.close()


def _refuse_with_pairs(devices: tuple[str, ...], **given: object) -> None:
    """A plan names its devices, and is of whole ones."""
    if devices:
        raise click.UsageError(f"--pairs and {devices[0]} do not go together: the plan names what is compared")
    for name, value in given.items():
        if value:
            raise click.UsageError(f"--pairs and --{name} do not go together: snapshots are compared as a whole")


_COMPARED = ("--first", "--max-differences", "--extents", "--pairs", "--allow-empty", "--strict", "--size", "--method")
_READ = ("--granularity", "--offset", "--length", "--read", "--workers", "--rate", "--force-share", "--keep-going")
show_in_groups("verify", lambda: [("What is compared", _COMPARED), ("How it is read", _READ), *aspect_groups()])
