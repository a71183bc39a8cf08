"""Fixtures for everybody."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from blockdiff._fast import statfs_type

if TYPE_CHECKING:
    from collections.abc import Iterable

_TMPFS = 0x01021994

settings.register_profile("steady", deadline=None, print_blob=True)  # a slow machine is no failure
settings.load_profile("steady")


def _keep_images_on_a_disk() -> None:
    """Images in memory cannot be read by O_DIRECT, and much of what is tested is just that."""
    place = os.open(tempfile.gettempdir(), os.O_RDONLY)
    try:
        if statfs_type(place) == _TMPFS:
            os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", "/var/tmp")
    finally:
        os.close(place)


_keep_images_on_a_disk()
pytest.register_assert_rewrite("blockdiff.testing.conformance", "blockdiff.testing.emitters")

pytest_plugins = ["tests.fixtures.storage", "tests.fixtures.ceph", "tests.fixtures.nbd", "tests.fixtures.browser"]

STORAGE = {"mounts", "make_loop"}
CEPH = {"ceph_clusters"}


def pytest_collection_modifyitems(items: Iterable[pytest.Item]) -> None:
    """Whatever uses real storage needs root; whatever uses a cluster needs Ceph."""
    for item in items:
        used = set(getattr(item, "fixturenames", ()))
        if STORAGE & used:
            item.add_marker(pytest.mark.root)
        if CEPH & used:
            item.add_marker(pytest.mark.ceph)
