"""The changed extents of a bitmap by our client: ``nbd_collect.py URL BITMAP``. Prints what nbd_loop.py prints."""

import sys
import time

from blockdiff.engine.registry import open_source


def main(url: str, bitmap: str) -> None:
    source, pair = open_source(None, f"{url}&bitmap={bitmap}")
    wall, cpu = time.perf_counter(), time.process_time()
    batches = [record.extents for record in source.records(pair)]
    count, total = sum(map(len, batches)), sum(batch.total() for batch in batches)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(count, total)
    print(wall, cpu, file=sys.stderr)


main(*sys.argv[1:])
