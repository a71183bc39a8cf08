"""One stream for several emitters."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blockdiff.engine.source import Emitter
    from blockdiff.record import Record


class TeeEmitter:
    """Gives every record to each emitter in turn; the first that raises stops the stream for all."""

    def __init__(self, *emitters: Emitter) -> None:
        self._emitters = emitters

    def record(self, number: int, record: Record) -> None:
        """Gives a record on."""
        for emitter in self._emitters:
            emitter.record(number, record)

    def done(self, count: int) -> None:
        """Ends the stream for each."""
        for emitter in self._emitters:
            emitter.done(count)
