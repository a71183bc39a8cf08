"""A base snapshot that is removed while changes since it are asked for: librbd goes on, and leaves some out."""

import random

import pytest

from blockdiff.backends.rbd import open_device
from blockdiff.backends.rbd.changes import Question
from blockdiff.engine.replicate import Replication
from blockdiff.errors import DeviceError
from blockdiff.locator import parse_locator

MIB = 1 << 20


def test_it_is_an_error(ceph, monkeypatch):
    image, replica = (ceph.image(name, 8 * MIB, random.Random(1).randbytes(8 * MIB)) for name in "ab")
    for spec in (image, replica):
        ceph.snapshot(spec, "s1")
    ceph.write(image, MIB, b"!" * 4096)
    ceph.snapshot(image, "s2")
    ask = Question.bytes_of

    def removed_first(self, ranges):
        if f"{image}@s2" in self._url:
            ceph.remove_snapshot(f"{image}@s1")
        return ask(self, ranges)

    monkeypatch.setattr(Question, "bytes_of", removed_first)
    with (
        open_device(parse_locator(ceph.url(image, "s2"))) as source,
        open_device(parse_locator(ceph.url(replica)), writable=True) as target,
        pytest.raises(DeviceError, match="removed meanwhile"),
    ):
        Replication(source, target).run()
    assert [snap["name"] for snap in ceph.rbd_json("snap", "ls", replica)] == ["s1"]
