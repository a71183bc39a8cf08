"""A receipt is refused where what it calls identical cannot be, whoever signed it."""

import pytest

from blockdiff.errors import InvalidInput
from blockdiff.receipt.check import check
from blockdiff.receipt.issue import issue
from blockdiff.receipt.key import PrivateKey
from tests.fixtures.receipts import SIZE, predicate

KEY = PrivateKey.generate("key.pub")
ROOT = {"algorithm": "blake3", "block_size": 65536, "digest": "ab" * 32}


@pytest.mark.parametrize(
    ("other", "holds"),
    [(ROOT, True), ({**ROOT, "digest": "cd" * 32}, False), ({**ROOT, "algorithm": "xxh3-128"}, False)],
    ids=["equal", "other digest", "other algorithm"],
)
def test_roots_of_what_is_called_identical_are_equal(other, holds):
    sides = {name: {**predicate()[name], "root": ROOT, "no_root": ""} for name in ("source", "target")}
    sides["target"]["root"] = other
    data = issue(predicate(**sides), KEY)
    if holds:
        assert check(data, "r", [KEY.public]).receipt.predicate.says_identical
        return
    with pytest.raises(InvalidInput, match="it calls identical what has two different roots"):
        check(data, "r", [KEY.public])


@pytest.mark.parametrize(("policy", "holds"), [("min", True), ("strict", False)])
def test_sizes_that_differ(policy, holds):
    made = predicate()
    made["target"]["size"] = made["report"]["target"]["size"] = SIZE + 1
    made["report"]["size_policy"] = policy
    data = issue(made, KEY)
    if holds:
        assert not check(data, "r", [KEY.public]).receipt.predicate.says_identical
        return
    with pytest.raises(InvalidInput, match="what has different sizes"):
        check(data, "r", [KEY.public])
