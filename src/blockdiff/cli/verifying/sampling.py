"""``verify --sample`` and ``--confidence``: changed ranges in full, and a random sample of the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from blockdiff.cli.options import Size
from blockdiff.cli.verifying.aspect import Aspect
from blockdiff.units import format_size

if TYPE_CHECKING:
    from blockdiff.cli.verifying.job import Job
    from blockdiff.engine.report import VerifyReport

OPTIONS = (
    click.option(
        "--sample",
        "sample_share",
        metavar="P%",
        help="Compare a random sample of this share of the blocks, and what --extents lists in full. Never says "
        "identical.",
    ),
    click.option(
        "--confidence", metavar="P%", help="As --sample, as large as --corruption needs to be found so surely: 99%."
    ),
    click.option("--corruption", metavar="P%", help="The share of blocks that differ, to be found by a sample: 0.01%."),
    click.option("--seed", metavar="TEXT", help="With --sample: choose the same blocks as the run that printed it."),
    click.option(
        "--sample-block", type=Size(), default=None, metavar="SIZE", help="The blocks of a sample.  [default: 64K]"
    ),
)


def make(given: dict[str, Any]) -> Aspect | None:
    """The aspect, where a sample was asked for."""
    share, confidence = given.pop("sample_share"), given.pop("confidence")
    rest = {name: given.pop(name) for name in ("corruption", "seed", "sample_block")}
    if share is None and confidence is None:
        for name, value in rest.items():
            if value is not None:
                raise click.UsageError(f"--{name.replace('_', '-')} goes with --sample or --confidence")
        return None
    if share is not None and confidence is not None:
        raise click.UsageError("--sample and --confidence do not go together: each says how large the sample is")
    if confidence is not None and rest["corruption"] is None:
        raise click.UsageError("--confidence needs --corruption: the share of blocks to be found, such as 0.01%")
    if rest["seed"] == "":
        raise click.UsageError("--seed is empty")
    return Sampled(share, confidence, **rest)


class Sampled(Aspect):
    """A verify of a sample."""

    def __init__(
        self,
        share: str | None,
        confidence: str | None,
        corruption: str | None,
        seed: str | None,
        sample_block: int | None,
    ) -> None:
        from blockdiff.engine.sample import UNIT
        from blockdiff.engine.sampled import Sampling

        self.option = "--sample" if share is not None else "--confidence"
        self.sampling = Sampling(
            share=share,
            confidence=confidence,
            corruption=corruption,
            seed=seed or "",
            unit=UNIT if sample_block is None else sample_block,
        )

    def prepare(self, job: Job) -> None:
        self.sampling.plan(job.source, job.target, job.comparing)

    def finish(self, job: Job, report: VerifyReport) -> list[str]:
        self.sampling.conclude(report)
        return _lines(report.extra["sample"])

    def verdict(self, report: VerifyReport, text: str) -> str:
        facts = report.extra["sample"]
        if report.difference_count or report.unreadable_bytes or facts["compared_blocks"] is None:
            return text
        return (
            f"no difference found in the sample: {facts['compared_blocks']:,} of {facts['population_blocks']:,} blocks "
            f"of {format_size(facts['block_size'])} were compared"
            + (f", and {format_size(facts['full_bytes'])} of listed ranges" if facts["full_bytes"] else "")
        )

    def exit_code(self, report: VerifyReport, code: int) -> int:
        return 0 if code == 1 and not report.difference_count else code

    def close(self) -> None:
        self.sampling.close()


def _lines(facts: dict[str, Any]) -> list[str]:
    """What may be said, and how to repeat it."""
    from blockdiff.sampling import format_chance

    size = {name: format_size(facts[f"{name}_bytes"]) for name in ("population", "full", "known", "left_out")}
    books = (
        f"{facts['population_blocks']:,} blocks to be sampled ({size['population']}), {size['full']} listed and "
        f"compared in full, {size['known']} known without reading; {size['left_out']} were not compared"
    )
    lines = [books]
    if facts["differing_blocks"]:
        lines.append(f"in the sample {facts['differing_blocks']:,} of {facts['sampled_blocks']:,} blocks differ")
    for chance in facts["detection"]:
        what = "a single block" if "share" not in chance else f"{chance['share']} of the blocks"
        if "share" in chance:
            what += f" ({chance['corrupt_blocks']:,} or more)"
        lines.append(
            f"if {what} differed, wherever that is, the sample would find it with probability "
            f"{format_chance(chance['probability'])}"
        )
    lines.append(f"to compare the same blocks again: --seed {facts['seed']}")
    return lines
