"""Lists what changed by our library: ``rbd_collect.py URL BASE TARGET``; prints extents and bytes, and what that cost.

The connection and the image are opened before the clocks start.
"""

import sys
import time

from blockdiff.backends.rbd.source import RbdSource
from blockdiff.snapshot import Snapshot, SnapshotPair


def main(url: str, base: str, target: str) -> None:
    with RbdSource.open(url) as source:
        pair = SnapshotPair(Snapshot(url, base), Snapshot(url, target))
        wall, cpu = time.perf_counter(), time.process_time()
        found = [record.extents for record in source.records(pair)]
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(sum(len(extents) for extents in found), sum(extents.total() for extents in found))
    print(wall, cpu, file=sys.stderr)


main(*sys.argv[1:])
