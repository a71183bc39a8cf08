import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.engine.listed import listed_catalog
from blockdiff.errors import InvalidInput
from tests.fixtures.schemas import validate


def listed(value):
    return listed_catalog(json.dumps(value).encode(), "list.json")


def names(catalog):
    return [[entry.snapshot.name for entry in volume.entries] for volume in catalog.volumes()]


def test_a_list():
    given_ = [
        {"name": "s1", "id": 4, "created": "2026-01-01T05:00:00+02:00", "content": "x", "size": 5, "url": "a.img"},
        {"name": "s2"},
    ]
    validate(given_, "snapshots")
    (volume,) = listed(given_).volumes()
    first, second = volume.entries
    assert (first.snapshot.id, first.snapshot.created.isoformat(), first.size) == ("4", "2026-01-01T05:00:00+02:00", 5)
    assert (second.snapshot.id, second.snapshot.created, second.size) == ("", None, None)


def test_what_rbd_prints():
    """By id; what belongs to mirroring and groups is left out."""
    given_ = [
        {"id": 9, "name": "b", "size": 8, "protected": "false", "timestamp": "Sat Nov 21 16:41:18 2026"},
        {"id": 4, "name": "a", "size": 8, "protected": "false", "timestamp": "", "namespace": {"type": "user"}},
        {"id": 5, "name": ".mirror.x", "size": 8, "protected": "false", "namespace": {"type": "mirror"}},
    ]
    (volume,) = listed(given_).volumes()
    assert [(entry.snapshot.name, entry.snapshot.id, entry.snapshot.created) for entry in volume.entries] == [
        ("a", "4", None),
        ("b", "9", None),
    ]


def test_volumes():
    catalog = listed([{"name": "s", "volume": "b"}, {"name": "s", "volume": "a"}, {"name": "t", "volume": "b"}])
    assert [volume.name for volume in catalog.volumes()] == ["b", "a"]
    assert names(catalog) == [["s", "t"], ["s"]]
    assert not catalog.single
    assert listed([]).single
    assert names(listed([])) == [[]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "no JSON", id="empty"),
        pytest.param("[", "no JSON", id="cut"),
        pytest.param("{}", "a list of objects is wanted", id="object"),
        pytest.param("[1]", "a list of objects is wanted", id="number"),
        pytest.param('[{"name":"a"},{"id":"1"}]', "missing required field `name` - at `$[1]`", id="no-name"),
        pytest.param('[{"name":""}]', "$[0] has no name", id="empty-name"),
        pytest.param('[{"name":"a","craeted":null}]', "unknown field `craeted`", id="misspelt"),
        pytest.param('[{"name":"a","created":"2026-01-01T00:00:00"}]', "timezone", id="no-zone"),
        pytest.param('[{"name":"a","created":"yesterday"}]', "RFC3339", id="no-time"),
        pytest.param('[{"name":"a","size":-1}]', ">= 0", id="size"),
        pytest.param('[{"name":"a","volume":"v"},{"name":"b"}]', "of 'b' not", id="volume-of-some"),
        pytest.param(
            '[{"name":"new","created":"2026-01-02T00:00:00Z"},{"name":"old","created":"2026-01-01T00:00:00Z"}]',
            "the oldest comes first",
            id="newest-first",
        ),
        pytest.param('[{"id":1,"protected":"false"}]', "missing required field", id="rbd-without-name"),
        *(
            pytest.param(
                '[{"id":1,"name":"a","size":1,"protected":"false","%s":"x"}]' % key,  # noqa: UP031
                f"which has no '{key}'",
                id=f"rbd-with-{key}",
            )
            for key in ("volume", "created", "content", "url", "identity")
        ),
        pytest.param(
            '[{"name":"a","url":"x"},{"name":"b"},{"name":"c","url":"x"}]',
            "$[0] and $[2] have one url, x",
            id="one-url",
        ),
    ],
)
def test_what_is_no_list(text, said):
    with pytest.raises(InvalidInput) as caught:
        listed_catalog(text.encode(), "list.json")
    assert said in str(caught.value)
    assert "list.json" in str(caught.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "id", "created", "size", "protected", "namespace", "volume"]), inner)
    ),
)


@given(st.lists(json_values, max_size=3) | json_values)
def test_anything_is_taken_or_refused(value):
    try:
        found = names(listed(value))
    except InvalidInput:
        return
    assert isinstance(value, list)
    assert all(all(one) for one in found)


@given(st.binary(max_size=40))
def test_any_bytes(data):
    try:
        listed_catalog(data, "list.json")
    except InvalidInput:
        return
