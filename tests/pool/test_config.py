"""ConfigDiff."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.pool.config import config_diff


@pytest.mark.parametrize(
    ("old", "new", "changed", "user_only"),
    [
        ({}, {}, (), False),
        ({"size": "1GiB"}, {"size": "1GiB"}, (), False),
        ({"size": ""}, {}, (), False),
        ({}, {"size": ""}, (), False),
        ({"size": "1GiB"}, {}, ("size",), False),
        ({}, {"user.b": "1", "user.a": "1"}, ("user.a", "user.b"), True),
        ({"user.a": "1"}, {"user.a": "2", "size": "1"}, ("size", "user.a"), False),
        ({}, {"user": "1"}, ("user",), False),
        ({}, {"users.a": "1"}, ("users.a",), False),
        ({"z": "1", "a": "1"}, {"z": "2", "b": "1"}, ("a", "b", "z"), False),
    ],
)
def test_vectors(old, new, changed, user_only):
    assert config_diff(old, new) == (changed, user_only)


configs = st.dictionaries(st.sampled_from(["a", "b", "user.a", "user.b"]), st.sampled_from(["", "1", "2"]))


@given(configs, configs)
def test_it_is_symmetric_and_exact(old, new):
    found = config_diff(old, new)
    assert found == config_diff(new, old)
    for key in ["a", "b", "user.a", "user.b"]:
        assert (key in found.changed) is (old.get(key, "") != new.get(key, ""))
    assert list(found.changed) == sorted(set(found.changed))
