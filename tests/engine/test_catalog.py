"""What was listed is known again, and nothing else is taken for it."""

from types import SimpleNamespace

import pytest

from blockdiff.engine.catalog import SnapshotReplaced, check_identity, identity_of
from blockdiff.errors import UnsupportedOperation


def device(**facts):
    return SimpleNamespace(**{"url": "x:a@s", "size": 4096, "identity": ("pool", 1, 7), "snapshot_id": "7", **facts})


LISTED = {"identity": "pool/1/7", "handle": "7", "size": 4096}
UNKNOWN = {"identity": "", "handle": "", "size": None}


def test_the_same_is_taken():
    check_identity(device(), **LISTED)
    assert identity_of(device()) == "pool/1/7"


@pytest.mark.parametrize("key", LISTED)
def test_what_was_not_listed_is_not_checked(key):
    other = device(identity=("pool", 1, 8), snapshot_id="8", size=1)
    check_identity(other, **UNKNOWN)
    with pytest.raises(SnapshotReplaced, match="make a new plan"):
        check_identity(other, **{**UNKNOWN, key: LISTED[key]})


@pytest.mark.parametrize(
    "facts", [{"identity": ("pool", 1, 8)}, {"snapshot_id": "8"}, {"size": 8192}], ids=["identity", "id", "size"]
)
def test_another_one_is_refused(facts):
    with pytest.raises(SnapshotReplaced, match="x:a@s is not what the plan names"):
        check_identity(device(**facts), **LISTED)


def test_a_device_that_cannot_be_told_from_others_is_refused():
    with pytest.raises(UnsupportedOperation, match="has no identity"):
        check_identity(device(identity=None), **LISTED)


def test_a_device_that_knows_no_snapshots_is_known_by_the_rest():
    check_identity(device(snapshot_id=""), **LISTED)
