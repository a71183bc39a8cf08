"""Writes noise into an image: ``/usr/bin/python3 -I rbd_fill.py CONF POOL IMAGE SEED``, a range in each line of stdin.

A program of its own, for only the distribution's Python can load the distribution's rbd module. Equal seeds and ranges
give equal bytes. Many writes are in flight: one after the other, 100 000 small ones would take minutes.
"""

import random
import sys
import threading

import rados
import rbd

IN_FLIGHT = 64


def main(conf, pool, name, seed):
    rng = random.Random(seed)
    places = threading.Semaphore(IN_FLIGHT)
    failed = []

    def done(completion):
        if completion.get_return_value() < 0:
            failed.append(completion.get_return_value())
        places.release()

    with (
        rados.Rados(conffile=conf, rados_id="admin") as cluster,
        cluster.open_ioctx(pool) as ioctx,
        rbd.Image(ioctx, name) as image,
    ):
        for line in sys.stdin:
            offset, length = map(int, line.split())
            places.acquire()
            image.aio_write(rng.randbytes(length), offset, done)
        for _ in range(IN_FLIGHT):
            places.acquire()
        image.flush()
    if failed:
        sys.exit(f"{len(failed)} writes failed, the first with {failed[0]}")


main(*sys.argv[1:])
