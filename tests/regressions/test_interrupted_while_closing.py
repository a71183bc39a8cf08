"""Ctrl-C while a cluster does not answer: giving back the lock of an image that was written took three minutes."""

import signal
import time

from tests.fixtures.cli import finish, start

MIB = 1 << 20


def test_it_ends_within_seconds(ceph):
    source, target = ceph.image("a", 48 * MIB, b"a" * (48 * MIB)), ceph.image("b", 48 * MIB)
    process = start("copy", "--rate", "4M", "--progress", "json", ceph.url(source), ceph.url(target))
    while '"bytes_done": 0' in (line := process.stderr.readline()) or "bytes_done" not in line:
        assert process.poll() is None
    ceph.kill_osd(signal=signal.SIGSTOP)
    try:
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        code, _, _ = finish(process, timeout=60)  # it was three minutes
        assert code == 130
    finally:
        ceph.kill_osd(signal=signal.SIGCONT)
