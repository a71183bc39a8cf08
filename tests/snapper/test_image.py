"""Images and where they are: the original's vectors and errors."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdiff.errors import InvalidInput
from blockdiff.snapper.image import Image, ImageError, ImageSpec

NUMBER = st.integers(0, (1 << 63) - 1)
PREFIX = st.text().filter(lambda text: not {"-", "/"} & set(text))
PLACE = st.text().filter(lambda text: "/" not in text)
IMAGES = st.one_of(st.builds(Image, PREFIX, NUMBER), st.builds(Image, PREFIX, NUMBER, NUMBER, NUMBER))
SPECS = st.builds(ImageSpec, IMAGES, PLACE, PLACE)


@pytest.mark.parametrize(
    ("text", "image"),
    [
        ("one-7-42-0", Image("one", 7, 42, 0)),
        ("one-7", Image("one", 7, -1, -1)),
        ("one-0-0-0", Image("one", 0, 0, 0)),
        ("two words-1", Image("two words", 1)),
        ("-1", Image("", 1)),
    ],
)
def test_images(text, image):
    assert Image.parse(text) == image
    assert str(image) == text
    assert image.persistent is (text.count("-") == 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 'cannot parse image ""'),
        ("one", 'cannot parse image "one"'),
        ("one-1-2", 'cannot parse image "one-1-2"'),
        ("one-1-2-3-4", 'cannot parse image "one-1-2-3-4"'),
        ("one--1", 'cannot parse image "one--1"'),
        ("one-x", 'cannot determine template from "x" in image "one-x"'),
        ("one-x-y-z", 'cannot determine vm from "y" in image "one-x-y-z"'),
        ("one-x-2-z", 'cannot determine disk from "z" in image "one-x-2-z"'),
        ("one-x-2-3", 'cannot determine template from "x" in image "one-x-2-3"'),
        ("one-1@snap", 'cannot determine template from "1@snap" in image "one-1@snap"'),
        ("one-٣", "cannot determine template"),
        ("one-1_0", "cannot determine template"),
        ("one-99999999999999999999", "cannot determine template"),
    ],
)
def test_bad_images(text, words):
    with pytest.raises(ImageError) as caught:
        Image.parse(text)
    assert str(caught.value).startswith(words)
    assert str(caught.value).endswith("PREFIX-TEMPLATE-VM-DISK or PREFIX-TEMPLATE is wanted")


@pytest.mark.parametrize(
    ("text", "spec", "again"),
    [
        ("one-7", ImageSpec(Image("one", 7)), "one-7"),
        ("pool/one-7-1-2", ImageSpec(Image("one", 7, 1, 2), "pool"), "pool/one-7-1-2"),
        ("pool-1/name-space/one-7", ImageSpec(Image("one", 7), "pool-1", "name-space"), "pool-1/name-space/one-7"),
        ("pool//one-7", ImageSpec(Image("one", 7), "pool"), "pool/one-7"),
        ("/one-7", ImageSpec(Image("one", 7)), "one-7"),
    ],
)
def test_specs(text, spec, again):
    assert ImageSpec.parse(text) == spec
    assert str(spec) == again


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a/b/c/one-7", "malformed image spec a/b/c/one-7"),
        ("pool/", 'cannot parse image ""'),
        ("pool/one-x", 'cannot determine template from "x" in image "one-x"'),
    ],
)
def test_bad_specs(text, words):
    with pytest.raises(ImageError) as caught:
        ImageSpec.parse(text)
    assert str(caught.value).startswith(words)
    assert "is wanted" in str(caught.value)


@pytest.mark.parametrize(
    "parts",
    [("a-b", 1), ("a/b", 1), ("one", -1), ("one", 1, 2, -1), ("one", 1, -1, 2), ("one", 1, -2, -2), ("one", 1 << 63)],
)
def test_what_no_name_says_is_refused(parts):
    with pytest.raises(ImageError, match="no name can say"):
        Image(*parts)


def test_what_no_spec_says_is_refused():
    with pytest.raises(ImageError, match="no spec can say"):
        ImageSpec(Image("one", 1), "pool/more")


def test_json():
    spec = ImageSpec.parse("pool/one-7")
    assert spec.to_dict() == {
        "Pool": "pool",
        "Namespace": "",
        "Image": {"prefix": "one", "template": 7, "vm": -1, "disk": -1},
    }


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"prefix": "one", "template": "7", "vm": 1, "disk": 1},
        {"prefix": "one", "template": 7, "vm": 1},
        {"prefix": "one", "template": 7, "vm": 1, "disk": -1},
        {"prefix": "a-b", "template": 7, "vm": 1, "disk": 1},
    ],
)
def test_bad_json(value):
    with pytest.raises(ImageError):
        Image.from_dict(value)
    with pytest.raises(ImageError):
        ImageSpec.from_dict({"Pool": "pool", "Namespace": "", "Image": value})


@given(SPECS)
def test_round_trips(spec):
    assert ImageSpec.parse(str(spec)) == spec
    assert ImageSpec.from_dict(spec.to_dict()) == spec
    assert Image.parse(str(spec.image)) == spec.image
    assert Image.from_dict(spec.image.to_dict()) == spec.image


@given(st.text(alphabet="one-/0123456789+@ \x00٣", max_size=30))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(InvalidInput):
        spec = ImageSpec.parse(text)
        assert ImageSpec.parse(str(spec)) == spec
