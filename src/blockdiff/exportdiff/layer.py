"""What a stream changes, in columns: where, and where its data stands in the file. No Python object per record."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blockdiff.exportdiff.form import Header, Piece
    from blockdiff.exportdiff.reader import Diff

    Columns = tuple[Any, Any, Any, Any, Any]
    """offset, length, kind (0 data, 1 zero), number of the file, position of the data in it: NumPy arrays."""


class Layer:
    """One diff: its header, and its pieces in ascending order at 25 bytes each."""

    def __init__(self, header: Header) -> None:
        self.header = header
        self._offsets, self._lengths, self._positions = array("q"), array("q"), array("q")
        self._zero = array("B")
        self.data_bytes = self.zero_bytes = 0

    def __len__(self) -> int:
        return len(self._offsets)

    def add(self, piece: Piece) -> None:
        """Notes a piece that follows those before it."""
        self._offsets.append(piece.offset)
        self._lengths.append(piece.length)
        self._positions.append(piece.position)
        self._zero.append(piece.zero)
        if piece.zero:
            self.zero_bytes += piece.length
        else:
            self.data_bytes += piece.length

    def columns(self, file: int) -> Columns:
        """The pieces as arrays; ``file`` is the number of the file that they stand in."""
        import numpy as np

        if not len(self):
            return no_columns()
        offsets, lengths, positions = (
            np.frombuffer(column, np.int64) for column in (self._offsets, self._lengths, self._positions)
        )
        zero = np.frombuffer(self._zero, np.uint8)
        return offsets, lengths, zero, np.full(len(self), file, np.int32), positions


def read_layer(diff: Diff) -> Layer:
    """All pieces of a diff; its data is passed over."""
    layer = Layer(diff.header)
    for piece in diff.pieces():
        layer.add(piece)
    return layer


def no_columns() -> Columns:
    """Nothing."""
    import numpy as np

    empty = np.empty(0, np.int64)
    return empty, empty, np.empty(0, np.uint8), np.empty(0, np.int32), empty


def paint(under: Columns, over: Columns) -> Columns:
    """Both, sorted by offset; where they overlap ``over`` wins."""
    import numpy as np

    if not len(over[0]) or not len(under[0]):
        return over if len(over[0]) else under
    left = _left_over(under, over[0], over[0] + over[1])
    order = np.argsort(np.concatenate([left[0], over[0]]), kind="stable")
    return tuple(np.concatenate(pair)[order] for pair in zip(left, over, strict=True))  # type: ignore[return-value]


def zero_columns(start: int, end: int) -> Columns:
    """One piece of zeroes."""
    import numpy as np

    one = [np.array([value], np.int64) for value in (start, end - start, 0)]
    return one[0], one[1], np.ones(1, np.uint8), np.full(1, -1, np.int32), one[2]


def _left_over(under: Columns, starts: Any, ends: Any) -> Columns:
    """What of ``under`` none of the ranges covers, cut where they begin and end."""
    import numpy as np

    offsets, stops = under[0], under[0] + under[1]
    first: Any = np.searchsorted(ends, offsets, "right")
    count = np.maximum(np.searchsorted(starts, stops, "left") - first, 0)
    # n ranges leave n + 1 parts of what they lie in, some of them empty
    index = np.repeat(np.arange(len(offsets)), count + 1)
    part = np.arange(len(index)) - np.repeat(np.cumsum(count + 1) - (count + 1), count + 1)
    before, after = first[index] + part - 1, first[index] + part
    begin = np.where(part == 0, offsets[index], ends[np.maximum(before, 0)])
    end = np.where(part == count[index], stops[index], starts[np.minimum(after, len(starts) - 1)])
    index, begin, end = (column[begin < end] for column in (index, begin, end))
    moved = begin - offsets[index]
    return begin, end - begin, under[2][index], under[3][index], under[4][index] + moved


def flatten(layers: list[tuple[int, Layer]], size: int | None) -> Columns:
    """All layers, each with the number of its file, as one: later ones win, and what growing brings is zero.

    ``size`` is that of what they are laid on; None when it is not known. Cutting takes effect by this rule too: what
    was cut off is zero when it comes back, and what does not come back is cut at the end.
    """
    painted = no_columns()
    for file, layer in layers:
        if size is not None and layer.header.size > size:
            painted = paint(painted, zero_columns(size, layer.header.size))
        painted = paint(painted, layer.columns(file))
        size = layer.header.size
    return _clipped(painted, size or 0)


def _clipped(columns: Columns, size: int) -> Columns:
    import numpy as np

    kept = np.searchsorted(columns[0], size, "left")
    offsets, lengths, *rest = (column[:kept] for column in columns)
    zero, files, positions = rest
    return offsets, np.minimum(lengths, size - offsets), zero, files, positions
