"""Looks at every message of every stream as it comes, and keeps the first violation of each rule."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdiff.testing.csi.answer import Message

SHAPE_RULES = (
    "type-known",
    "type-constant",
    "capacity-positive",
    "capacity-constant",
    "size-positive",
    "offset-not-negative",
    "ascending",
    "no-overlap",
    "within-capacity",
    "fixed-size",
    "message-size",
    "empty-list",
)
_FIXED, _VARIABLE = 1, 2
_LARGEST = 4 << 20  # bytes


class Violations:
    """The first violation of each rule, of all streams; streams may come from several threads."""

    def __init__(self) -> None:
        self.first: dict[str, str] = {}
        self.streams = self.messages = self.tuples = 0
        self._lock = threading.Lock()

    def add(self, rule_id: str, evidence: str) -> None:
        """Keeps the evidence if it is the first."""
        with self._lock:
            self.first.setdefault(rule_id, evidence)

    def count(self, streams: int = 0, messages: int = 0, tuples: int = 0) -> None:
        """Counts what was looked at."""
        with self._lock:
            self.streams += streams
            self.messages += messages
            self.tuples += tuples

    def __str__(self) -> str:
        return f"{self.streams} streams, {self.messages} messages, {self.tuples} tuples"


class Stream:
    """One stream. ``limit`` is the max_results that it was asked with."""

    def __init__(self, violations: Violations, question: str, limit: int) -> None:
        self._violations, self._question, self._limit = violations, question, limit
        self._first: Message | None = None
        self._number = 0
        self._last: tuple[int, int] | None = None
        self._length = 0
        violations.count(streams=1)

    def see(self, message: Message) -> None:
        """Looks at the next message."""
        self._number += 1
        self._violations.count(messages=1, tuples=len(message.offsets))
        for rule_id, what in (*self._head(message), *self._tuples(message)):
            self._violations.add(rule_id, f"{self._question}, message {self._number}: {what}")
        self._first = self._first or message

    def _head(self, message: Message) -> Iterator[tuple[str, str]]:
        first = self._first or message
        if message.type not in (_FIXED, _VARIABLE):
            yield "type-known", f"type {message.type}"
        if message.type != first.type:
            yield "type-constant", f"type {message.type}, after {first.type}"
        if message.capacity <= 0:
            yield "capacity-positive", f"capacity {message.capacity}"
        if message.capacity != first.capacity:
            yield "capacity-constant", f"capacity {message.capacity}, after {first.capacity}"
        if not message.offsets and (message.type not in (_FIXED, _VARIABLE) or message.capacity <= 0):
            yield "empty-list", f"no tuples, type {message.type}, capacity {message.capacity}"
        if message.size > _LARGEST:
            yield "message-size", f"{message.size} bytes"
        if 0 < self._limit < len(message.offsets):
            yield "max-results", f"{len(message.offsets)} tuples where {self._limit} were asked for"

    def _tuples(self, message: Message) -> Iterator[tuple[str, str]]:
        for index, (offset, length) in enumerate(message.tuples()):
            what = f"tuple {index}, byte_offset {offset}, size_bytes {length}"
            if length <= 0:
                yield "size-positive", what
            if offset < 0:
                yield "offset-not-negative", what
            if 0 < message.capacity < offset + length:
                yield "within-capacity", f"{what}, capacity {message.capacity}"
            if self._last is not None:
                yield from self._neighbours(self._last, offset, what)
            if message.type == _FIXED:
                self._length = self._length or length
                if length != self._length:
                    yield "fixed-size", f"{what}, where the first one has {self._length}"
            self._last = (offset, length)

    def _neighbours(self, last: tuple[int, int], offset: int, what: str) -> Iterator[tuple[str, str]]:
        before = f"{what}, after {last[0]}, {last[1]}"
        if offset <= last[0]:
            yield "ascending", before
        if last[0] < offset < last[0] + last[1]:
            yield "no-overlap", before
