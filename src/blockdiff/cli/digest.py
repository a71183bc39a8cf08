"""``blockdiff digest``."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

import blockdiff
from blockdiff.cli.base import CONTEXT, Command
from blockdiff.cli.devices import may_be_stream, opened
from blockdiff.cli.options import Name, Size, gather, read_options
from blockdiff.cli.progress import make_progress
from blockdiff.cli.reportwriter import write
from blockdiff.cli.resume import finishing, take, went_on, with_checkpoint
from blockdiff.units import format_size

if TYPE_CHECKING:
    from blockdiff.engine.manifest import Digesting, Manifest


@click.command("digest", cls=Command, context_settings=CONTEXT)
@click.argument("image", type=Name())
@click.option("-o", "--output", "place", type=Name(), metavar="MANIFEST", help="Keep the manifest in this file.")
@click.option(
    "--algorithm",
    type=click.Choice(("xxh3-128", "blake3")),
    default="xxh3-128",
    show_default=True,
    help="xxh3-128 finds what happens by accident; blake3 also what somebody does on purpose.",
)
@click.option(
    "--block-size",
    type=Size(),
    default=0,
    help="Bytes a digest is of: a power of two from 4K to 1M.  [default: 64K, with blake3 128K]",
)
@click.option("--force", is_flag=True, help="Overwrite a file that is no manifest.")
@click.option("--show", is_flag=True, help="IMAGE is a manifest: prove that it is whole, and say what it is of.")
@click.option("--export", is_flag=True, help="IMAGE is a manifest: print it as JSON, with all digests.")
@with_checkpoint
@read_options(window=False, granularity=False)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON; errors are JSON too, on stderr.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing.")
@click.option(
    "--progress",
    "progress_mode",
    type=click.Choice(("auto", "bar", "json", "none")),
    default="auto",
    show_default=True,
    help="Progress on stderr: auto is a bar on a terminal, json a line a second.",
)
def command(
    image: str,
    place: str | None,
    show: bool,
    export: bool,
    as_json: bool,
    quiet: bool,
    progress_mode: str,
    force: bool,
    algorithm: str,
    block_size: int,
    **reading: Any,
) -> int:
    """Digest the blocks of IMAGE, and keep the digests in a MANIFEST by which it, or a copy, is verified later.

    The root stands for the whole content: the same content has the same root, whatever its holes and wherever it is
    kept. It depends on the size, the algorithm and the block size. Without -o only the root is printed. Holes are not
    read, and zeroes take no place. The manifest is there when all was read: where something cannot be read there is
    none.

    \b
    Examples:
      blockdiff digest disk.img -o disk.manifest
      blockdiff digest --algorithm blake3 rbd:vms/disk@monday -o monday.manifest
      blockdiff verify replica.img disk.manifest
      blockdiff diff monday.manifest tuesday.manifest
      blockdiff digest --show disk.manifest
    """
    if show or export:
        _refuse_with_reading(show=show, export=export)
        return _read(image, export=export, as_json=as_json, quiet=quiet)
    from blockdiff.engine.manifest import Digesting, is_manifest

    if is_manifest(image):
        raise click.UsageError(f"{image} is a manifest: --show says what it is of (file:{image} digests its own bytes)")
    if may_be_stream(image):
        raise click.UsageError(
            f"{image} is an export-diff: make the image by blockdiff apply first (file:{image} digests its own bytes)"
        )
    if force and place is None:
        raise click.UsageError("--force goes with --output")
    checkpoint = take(reading)
    with (
        opened(None, image, None) as (_, device, _listed),
        finishing(checkpoint, shown=not quiet and not as_json),
    ):
        digesting = Digesting(
            device,
            algorithm=algorithm,
            block_size=block_size,
            options=gather(granularity=4096, **reading),
            progress=make_progress(progress_mode, quiet=quiet),
            made_by=f"blockdiff {blockdiff.__version__}",
            checkpoint=checkpoint,
        )
        kept = digesting.root_only() if place is None else digesting.save(place, force=force)
        _tell(digesting, place, kept, as_json=as_json, quiet=quiet)
    return 0


_NAMED = {"place": "--output", "read_mode": "--read", "checkpoint_file": "--checkpoint"}


def _refuse_with_reading(*, show: bool, export: bool) -> None:
    """These two read a manifest, and digest nothing."""
    if show and export:
        raise click.UsageError("--show and --export do not go together")
    context = click.get_current_context()
    for name in context.params:
        if name not in ("image", "show", "export", "as_json", "quiet", "progress_mode") and (
            context.get_parameter_source(name) not in (None, click.core.ParameterSource.DEFAULT)
        ):
            option = _NAMED.get(name, "--" + name.replace("_", "-"))
            raise click.UsageError(f"{'--show' if show else '--export'} and {option} do not go together")


def _read(name: str, *, export: bool, as_json: bool, quiet: bool) -> int:
    """Says what a manifest holds."""
    from blockdiff.engine.manifest import open_manifest

    with open_manifest(name) as manifest:
        if export:
            from blockdiff.engine.manifest.export import export_manifest

            export_manifest(manifest, write)
            return 0
        manifest.check()
        if as_json:
            _write_json({"schema_version": 1, "command": "digest", **manifest.to_dict()})
        elif not quiet:
            write("\n".join(_facts(manifest)).encode(errors="backslashreplace") + b"\n")
    return 0


def _write_json(value: dict[str, Any]) -> None:
    """By json: it is sooner there than msgspec, and this is one small object."""
    import json

    write(json.dumps(value, separators=(",", ":")).encode() + b"\n")


def _facts(manifest: Manifest) -> list[str]:
    zeroes = manifest.blocks - manifest.stored_blocks
    return [
        f"root {manifest.root.hex()}",
        f"of {manifest.origin}, {manifest.size:,} bytes, at {manifest.facts.get('time', 'a time that is not known')}",
        f"{manifest.algorithm}, {manifest.blocks:,} blocks of {format_size(manifest.block_size)}, {zeroes:,} zeroes",
        f"the manifest is whole: {format_size(manifest.file_size)}",
    ]


def _tell(digesting: Digesting, place: str | None, kept: int, *, as_json: bool, quiet: bool) -> None:
    """The root, and how it was come by."""
    run = digesting.run
    for text in run.warnings:
        print(f"warning: {text}", file=sys.stderr)
    if as_json:
        _write_json(_result(digesting, place, kept))
    elif not quiet:
        speed = digesting.device.size / run.elapsed_seconds if run.elapsed_seconds else 0
        lines = [f"root {digesting.root.hex()}"]
        skipped = ", ".join(f"{format_size(count)} ({reason})" for reason, count in run.skipped.items())
        lines.append(
            f"read {format_size(sum(run.side.bytes_by_path.values()))} ({run.side.read_path})"
            + (f", skipped {skipped}" if skipped else "")
            + f", {digesting.hasher.algorithm.name} of {format_size(digesting.hasher.block_size)}"
            + f", in {run.elapsed_seconds:.2f} s: {format_size(int(speed))}/s"
        )
        if run.side.note:
            lines.append(f"read through the page cache: {run.side.note}")
        lines += went_on(getattr(run, "told", None))
        if place is not None:
            lines.append(f"manifest {place}: {format_size(kept)}")
        write("\n".join(lines).encode(errors="surrogateescape") + b"\n")


def _result(digesting: Digesting, place: str | None, kept: int) -> dict[str, Any]:
    run, hasher = digesting.run, digesting.hasher
    return {
        "schema_version": 1,
        "command": "digest",
        "url": digesting.device.url,
        "time": digesting.time,
        "made_by": digesting.made_by,
        "manifest": None if place is None else os.fspath(place),
        "algorithm": hasher.algorithm.name,
        "block_size": hasher.block_size,
        "size": digesting.device.size,
        "root": digesting.root.hex(),
        "blocks": digesting.blocks,
        "stored_blocks": digesting.stored_blocks,
        "manifest_bytes": kept,
        "read_path": run.side.read_path,
        "bytes_by_path": dict(run.side.bytes_by_path),
        "skipped": [{"reason": reason, "bytes": count} for reason, count in run.skipped.items()],
        "warnings": list(run.warnings),
        "workers": run.workers,
        "elapsed_seconds": round(run.elapsed_seconds, 6),
        **({"checkpoint": told} if (told := getattr(run, "told", None)) else {}),
    }
