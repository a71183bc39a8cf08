import errno
import inspect

import pytest

from blockdiff import errors

CODES = {
    "BlockdiffError": 3,
    "InvalidInput": 2,
    "OutOfOrder": 3,
    "DeviceBusy": 2,
    "UnsupportedOperation": 4,
    "BackendUnavailable": 4,
    "SourceError": 3,
    "SnapshotNotFound": 3,
    "SnapshotNotReady": 3,
    "StreamInterrupted": 3,
    "DeviceError": 3,
    "ShortRead": 3,
    "SizeChanged": 3,
    "FailedToSeek": 3,
    "ContentsDoNotMatch": 3,
    "OutputError": 3,
    "RemoteError": 5,
}
CLASSES = {
    name: value for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Exception)
}


def test_every_error_has_its_exit_code():
    assert {name: value.exit_code for name, value in CLASSES.items()} == CODES


def test_every_error_is_in_the_tree_of_the_docstring():
    for name in CODES:
        assert name in errors.__doc__


@pytest.mark.parametrize("name", CODES)
def test_all_are_ours(name):
    error = CLASSES[name]("because")
    assert isinstance(error, errors.BlockdiffError)
    assert "because" in str(error)
    assert error.retryable == (name in ("SnapshotNotReady", "StreamInterrupted"))


def test_fields_are_kept():
    error = errors.OutOfOrder("wrong", index=7, resume_offset=4096)
    assert (error.index, error.resume_offset, str(error)) == (7, 4096, "wrong")


def test_a_missing_library_says_what_to_install():
    error = errors.BackendUnavailable("rbd: needs librbd", hint="apt install python3-rbd")
    assert str(error) == "rbd: needs librbd; apt install python3-rbd"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"reason": "gone", "url": "x"}, "cannot use x: gone"),
        ({"url": "x", "action": "read", "errno": errno.EIO}, "cannot read x: Input/output error"),
        ({"url": "x", "action": "read", "offset": 0, "reason": "r"}, "cannot read x at offset 0: r"),
        ({"url": "x", "action": "read", "offset": 5, "length": 6}, "cannot read x at offset 5 (length 6): failed"),
    ],
)
def test_device_errors(fields, text):
    error = errors.DeviceError(**fields)
    assert str(error) == text
    assert isinstance(error, OSError)


def test_braces_in_a_reason_are_text():
    assert str(errors.InvalidInput("{not} a {template}")) == "{not} a {template}"
