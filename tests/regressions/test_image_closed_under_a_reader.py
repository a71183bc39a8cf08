"""A native reader that outlived its image used the image's memory after it was freed."""

import errno
import random

import pytest

from blockdiff import _fast
from blockdiff.backends.rbd import open_device
from blockdiff.engine.verify import Verification
from blockdiff.errors import DeviceError
from blockdiff.extent import Kind
from blockdiff.locator import parse_locator

MIB = 1 << 20


@pytest.fixture
def image(ceph):
    return ceph.url(ceph.image("a", 8 * MIB, random.Random(1).randbytes(8 * MIB)))


def test_it_is_told_that_the_image_is_closed(image):
    with open_device(parse_locator(image)) as device:
        reader = _fast.Reader(device.driver(), None, granularity=4096)
    with pytest.raises(_fast.ReadFailed) as caught:
        reader.run(_fast.Extents([(0, MIB, _fast.SEG_MAP)]))
    assert caught.value.errno == errno.EBADF


def test_a_device_closed_while_it_is_compared(ceph, image):
    other = ceph.image("b", 8 * MIB)
    for at in range(0, 8 * MIB, MIB):
        ceph.write(other, at, b"!" * 512)
    with open_device(parse_locator(image)) as a, open_device(parse_locator(ceph.url(other))) as b:
        found = iter(Verification(a, b, method="content", eager=True))
        assert next(found)[0].kind == Kind.DIFF_DATA
        a.close()
        b.close()
        with pytest.raises(DeviceError):
            list(found)
