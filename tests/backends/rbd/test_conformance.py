"""The suite that every device must pass, on images of every layout."""

import itertools
from typing import ClassVar

import pytest

from blockdiff.engine.registry import open_device
from blockdiff.testing.conformance import DeviceConformance

MIB = 1 << 20


class Conformance(DeviceConformance):
    unit = 512
    layout: ClassVar = {}

    @pytest.fixture
    def cluster(self, ceph):
        return ceph

    @pytest.fixture
    def make(self, cluster):
        numbers = itertools.count(1)

        def make(content):
            spec = cluster.image(f"i{next(numbers)}", len(content), content, **self.layout)
            return open_device(cluster.url(spec), writable=True)

        return make


class TestImage(Conformance):
    pass


@pytest.mark.slow
class TestStriped(Conformance):
    layout: ClassVar = {"stripe_unit": 65536, "stripe_count": 3, "order": 17}


@pytest.mark.slow
class TestErasureCoded(Conformance):
    @pytest.fixture
    def cluster(self, ceph_ec):
        return ceph_ec


@pytest.mark.slow
class TestSnapshot(Conformance):
    writable = False

    @pytest.fixture
    def make(self, ceph):
        numbers = itertools.count(1)

        def make(content):
            spec = ceph.image(f"i{next(numbers)}", len(content), content)
            snapshot = ceph.snapshot(spec, "s")
            if content:
                ceph.write(spec, 0, bytes(len(content)))
            return open_device(ceph.url(snapshot))

        return make


@pytest.mark.slow
class TestClone(Conformance):
    @pytest.fixture
    def make(self, ceph):
        numbers = itertools.count(1)

        def make(content):
            parent = ceph.image(f"i{next(numbers)}", max(512, len(content)), content)
            clone = ceph.clone(ceph.snapshot(parent, "s"), f"c{next(numbers)}")
            if not content:  # a parent must have a size
                ceph.resize(clone, 0)
            return open_device(ceph.url(clone), writable=True)

        return make
