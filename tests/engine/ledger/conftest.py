import pytest

from blockdiff.engine.ledger import file


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    """Nobody cuts the power while these tests run."""
    monkeypatch.setattr(file, "SYNCHRONOUS", "OFF")
