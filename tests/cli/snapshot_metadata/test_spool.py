"""A list in a temporary file, walked as often as one likes."""

import pytest
from fixtures.cbt import record

from blockdiff.cli.progress import QuietProgress
from blockdiff.cli.snapshot_metadata import spool
from blockdiff.cli.snapshot_metadata.spool import Spool
from blockdiff.errors import OutputError

RECORDS = [
    record((0, 4096), (8192, 512), capacity=1 << 20),
    record(capacity=1 << 20),
    record((65536, 4096), capacity=1 << 20),
]


def test_what_it_keeps():
    with Spool(QuietProgress()) as kept:
        for number, one in enumerate(RECORDS, 1):
            kept.record(number, one)
        kept.done(3)
        first, second = kept(), kept()
        assert next(first) == next(second) == RECORDS[0].extents
        assert [*first] == [*second] == [RECORDS[2].extents]
        assert (kept.records, kept.ranges, kept.bytes, kept.end) == (3, 3, 8704, 69632)
        assert (kept.capacity, kept.granularity) == (1 << 20, 512)


def test_nothing_at_all():
    with Spool(QuietProgress()) as kept:
        kept.done(0)
        assert [*kept()] == []
        assert kept.granularity == 0


def test_a_full_disk(monkeypatch):
    full = open("/dev/full", "wb", buffering=0)  # noqa: SIM115  # the spool closes it
    monkeypatch.setattr(spool, "scratch_file", lambda _: full)
    with Spool(QuietProgress()) as kept, pytest.raises(OutputError, match="temporary file: No space left"):
        kept.record(1, RECORDS[0])
