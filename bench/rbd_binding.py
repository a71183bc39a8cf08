"""The same by the distribution's module: ``/usr/bin/python3 -I rbd_binding.py CONF POOL IMAGE BASE TARGET``."""

import sys
import time

import rados
import rbd


def main(conf, pool, name, base, target):
    found = []

    def take(offset, length, exists):
        found.append((offset, length, exists))

    with (
        rados.Rados(conffile=conf, rados_id="admin") as cluster,
        cluster.open_ioctx(pool) as ioctx,
        rbd.Image(ioctx, name, target, read_only=True) as image,
    ):
        size = image.size()
        wall, cpu = time.perf_counter(), time.process_time()
        image.diff_iterate(0, size, base, take)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(len(found), sum(length for _, length, _ in found))
    print(wall, cpu, file=sys.stderr)


main(*sys.argv[1:])
