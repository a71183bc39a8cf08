"""The changed extents of a bitmap by libnbd's Python module: ``nbd_loop.py URL BITMAP``.

Prints how many there are and their bytes; stderr has the seconds and CPU seconds, without the start and the connecting.
"""

import sys
import time

import nbd

MOST = 0xFC000000


def main(url: str, bitmap: str) -> None:
    context = f"qemu:dirty-bitmap:{bitmap}"
    handle = nbd.NBD()
    handle.add_meta_context(context)
    handle.connect_uri(url)
    size = handle.get_size()
    wall, cpu = time.perf_counter(), time.process_time()
    found: list[tuple[int, int]] = []
    at = 0

    def told(name: str, offset: int, entries: list[int], _error: object) -> int:
        nonlocal at
        if name == context:
            for i in range(0, len(entries), 2):
                if entries[i + 1]:
                    found.append((offset, entries[i]))
                offset += entries[i]
            at = offset
        return 0

    while at < size:
        handle.block_status(min(size - at, MOST), at, told)
    print(len(found), sum(length for _, length in found))
    print(time.perf_counter() - wall, time.process_time() - cpu, file=sys.stderr)


main(*sys.argv[1:])
