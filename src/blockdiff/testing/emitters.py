"""The tests that every emitter that writes must pass.

class TestMyEmitter(EmitterConformance):
    @pytest.fixture
    def make(self):
        return MyEmitter            # called with a binary file
"""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, BinaryIO

import pytest

from blockdiff._fast import Extents
from blockdiff.engine.source import Emitter, emit
from blockdiff.errors import OutputError, SourceError
from blockdiff.record import BlockMetadataType, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Make = Callable[[BinaryIO], Emitter]

TIB = 1 << 40


def records(*sizes: int, kinds: tuple[int, ...] = (0,)) -> Iterator[Record]:
    """Records with so many extents each, kinds in turn, beyond 4 GiB from the second on."""
    offset = 0
    for size in sizes:
        items = [(offset + i * 8192, 4096, kinds[i % len(kinds)]) for i in range(size)]
        yield Record(BlockMetadataType.VARIABLE_LENGTH, 16 * TIB, Extents(items))
        offset += size * 8192 + (5 << 30)


class Trickle(io.RawIOBase):
    """Takes three bytes a write, as a raw pipe may."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = bytearray()

    def writable(self) -> bool:
        """It can be written."""
        return True

    def write(self, data: object) -> int:
        """Takes a part, or fails."""
        part = bytes(memoryview(data)[:3])  # type: ignore[arg-type]
        self.taken += part
        return len(part)


class Failing(io.RawIOBase):
    """Fails with an error number at a write or at the flush."""

    def __init__(self, number: int, *, at: str = "write") -> None:
        super().__init__()
        self.number, self.at = number, at

    def writable(self) -> bool:
        """It can be written."""
        return True

    def write(self, data: object) -> int:
        """Takes a part, or fails."""
        if self.at == "write":
            raise OSError(self.number, os.strerror(self.number))
        return len(memoryview(data))  # type: ignore[arg-type]

    def flush(self) -> None:
        """Fails if asked to."""
        if self.at == "flush" and not self.closed:
            self.at = "nothing"
            raise OSError(self.number, os.strerror(self.number))


class EmitterConformance:
    """Inherit it and give the fixture ``make``: a callable from a binary file to an emitter."""

    def written(self, make: Make, *sizes: int, **options: tuple[int, ...]) -> bytes:
        """What the emitter writes for such records."""
        out = io.BytesIO()
        assert emit(records(*sizes, **options), make(out)) == len(sizes)
        return out.getvalue()

    @pytest.mark.parametrize("sizes", [(), (0,), (1,), (0, 2, 0, 1), (5000,)], ids=str)
    def test_partial_writes_lose_nothing(self, make: Make, sizes: tuple[int, ...]) -> None:
        """A raw file may take a part of a write."""
        out = Trickle()
        emit(records(*sizes), make(out))  # type: ignore[arg-type]
        assert bytes(out.taken) == self.written(make, *sizes)

    @pytest.mark.parametrize("sizes", [(0,), (1,), (0, 2, 0, 1)], ids=str)
    def test_ends_with_a_newline(self, make: Make, sizes: tuple[int, ...]) -> None:
        """A text file ends with one."""
        text = self.written(make, *sizes)
        assert not text or text.endswith(b"\n")

    def test_the_file_stays_open(self, make: Make) -> None:
        """It belongs to the caller."""
        out = io.BytesIO()
        emit(records(1), make(out))
        assert not out.closed

    @pytest.mark.parametrize("at", ["write", "flush"])
    def test_a_full_disk_is_told(self, make: Make, at: str) -> None:
        """ENOSPC at a write, or only at the flush."""
        with pytest.raises(OutputError, match="No space left on device"):
            emit(records(2, 1), make(Failing(28, at=at)))  # type: ignore[arg-type]

    def test_a_real_full_device(self, make: Make) -> None:
        """/dev/full answers ENOSPC."""
        with pytest.raises(OutputError, match="No space left on device"), open("/dev/full", "wb", buffering=0) as out:
            emit(records(1), make(out))

    @pytest.mark.parametrize("at", ["write", "flush"])
    def test_a_broken_pipe_passes(self, make: Make, at: str) -> None:
        """The caller ends quietly on BrokenPipeError."""
        with pytest.raises(BrokenPipeError):
            emit(records(2, 1), make(Failing(32, at=at)))  # type: ignore[arg-type]

    def test_a_closed_file_is_told(self, make: Make) -> None:
        """A closed file is an error like any other."""
        out = io.BytesIO()
        emitter = make(out)
        out.close()
        with pytest.raises(OutputError, match="closed file"):
            emit(records(1), emitter)

    def test_a_failing_source_is_not_hidden(self, make: Make) -> None:
        """The source's own error comes through."""

        def failing() -> Iterator[Record]:
            yield from records(1)
            raise SourceError("lost")

        with pytest.raises(SourceError, match="lost"):
            emit(failing(), make(io.BytesIO()))
