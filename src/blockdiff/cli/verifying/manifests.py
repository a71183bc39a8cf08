"""``verify`` and ``diff`` where one side, or both, is a manifest: what goes with that, and what does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

    from blockdiff.cli.verifying.job import Job


def manifests_of(*sides: Any) -> list[Any]:
    """Those of these that are manifests, told without importing what reads them."""
    return [side for side in sides if hasattr(side, "stored_blocks")]


def use_manifests(job: Job) -> None:
    """Makes the job one with a manifest, where a side is one. Raises UsageError."""
    sides = manifests_of(job.source, job.target)
    if not sides:
        return
    for aspect in job.aspects:
        if not aspect.manifests:
            raise click.UsageError(f"{aspect.option} needs the data of both sides, and {sides[0].url} is a manifest")
    refuse_granularity(sides)
    from blockdiff.engine.manifest import ManifestVerification

    job.compare = ManifestVerification


def refuse_granularity(sides: Iterable[Any]) -> None:
    """UsageError where another unit of reporting was asked for than the blocks of a manifest."""
    context = click.get_current_context()
    if context.get_parameter_source("granularity") in (None, click.core.ParameterSource.DEFAULT):
        return
    for side in sides:
        if context.params["granularity"] != side.block_size:
            raise click.UsageError(
                f"{side.url} knows whole blocks of {side.block_size} bytes: leave --granularity out, or make a "
                "manifest with blockdiff digest --block-size"
            )
