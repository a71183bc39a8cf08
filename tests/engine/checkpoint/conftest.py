"""Small tasks, so that small devices have many of them; and nothing waits for a disk."""

import os

import pytest

from blockdiff.engine import workers

TASK = 64 << 10


@pytest.fixture(autouse=True)
def no_flushing(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(os, "fdatasync", lambda _: None)


@pytest.fixture
def small_tasks(monkeypatch):
    monkeypatch.setattr(workers, "TASK", TASK)
