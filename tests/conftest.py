"""Fixtures for everybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

pytest.register_assert_rewrite("blockdiff.testing.conformance", "blockdiff.testing.emitters")

pytest_plugins = ["tests.fixtures.storage"]

STORAGE = {"mounts", "make_loop"}


def pytest_collection_modifyitems(items: Iterable[pytest.Item]) -> None:
    """Whatever uses real storage needs root."""
    for item in items:
        if STORAGE & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.root)
