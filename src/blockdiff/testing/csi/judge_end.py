"""Rules about streams that are cut short, and about many of them at once."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from blockdiff.testing.csi.answer import missing, shown
from blockdiff.testing.csi.judge import judges
from blockdiff.testing.csi.result import Broken, Skipped

if TYPE_CHECKING:
    from collections.abc import Callable

    from blockdiff.testing.csi.answer import Answer
    from blockdiff.testing.csi.subject import Subject

    Ask = Callable[[int], tuple[Any, Any]]

DEADLINES = (1, 10, 50, 200)  # milliseconds
BUSY = ("RESOURCE_EXHAUSTED", "UNAVAILABLE")


@judges("deadline")
def deadline(subject: Subject) -> str:
    """The server is told of a deadline that this client does not keep: what the server says then is seen.

    A handler that returns when its context ends, as if all were said, is found out so.
    """
    said = []
    for whole, name, ask in _questions(subject):
        for milliseconds in DEADLINES:
            answer = _cut(subject, name, ask, milliseconds)
            lost = missing(whole.ranges(), answer.ranges())
            if answer.ok and lost:
                raise Broken(f"{answer.end}, and not listed: {shown(lost)}")
            if not answer.ok:
                said.append(answer.end)
    if not said:
        raise Skipped("all streams were complete before their deadline: give the suite a snapshot with more tuples")
    return said[0]


def _questions(subject: Subject) -> list[tuple[Answer, str, Ask]]:
    """The whole answers, their names, and the same questions again, with a limit; Skipped without an answer."""
    side = subject.side
    names = ("allocated", "delta")
    asks: tuple[Ask, ...] = (
        lambda limit: side.allocated(subject.snapshot, 0, limit),
        lambda limit: side.delta(subject.base, subject.snapshot, 0, limit),
    )
    answers = [whole for whole, _ in subject.ways()]
    found = [one for one in zip(answers, names, asks, strict=False) if one[0].ok]
    if not found:
        raise Skipped(subject.whole.end)
    return found


def _cut(subject: Subject, name: str, ask: Ask, milliseconds: int) -> Answer:
    """One tuple a message, read slowly at first, so that the deadline comes first."""
    waits = iter([milliseconds / 1000 + 0.05])
    return subject.collect(
        f"{name} with a deadline of {milliseconds} ms",
        *ask(1),
        limit=1,
        each=lambda: time.sleep(next(waits, 0)),
        timeout=0.0,
        metadata=(("grpc-timeout", f"{milliseconds}m"),),
    )


@judges("cancelled")
def cancelled(subject: Subject) -> str:
    """Ten clients leave after the first message; then somebody asks for all."""
    import grpc

    for whole, name, ask in _questions(subject):
        for _ in range(10):
            call = subject.call(*ask(1))
            try:
                next(call, None)
            except grpc.RpcError as error:
                raise Broken(f"before it was cancelled: {error.code().name} ({error.details()})") from None
            call.cancel()
        after = subject.collect(f"{name}, afterwards", *ask(0))
        if not after.ok or missing(whole.ranges(), after.ranges()):
            raise Broken(after.end)
    return "10 clients left"


@judges("concurrent")
def concurrent(subject: Subject) -> str:
    """Each on a connection of its own."""
    questions = _questions(subject)
    wholes = {name: whole for whole, name, _ in questions}
    turns = itertools.cycle(questions)
    answers: list[Answer] = []
    _at_once(subject.clients, lambda: answers.append(_alone(subject, *next(turns)[1:])))
    wrong = [answer for answer in answers if not answer.ok and answer.code not in BUSY]
    if wrong or len(answers) < subject.clients:
        raise Broken(wrong[0].end if wrong else f"{subject.clients - len(answers)} clients got no answer")
    for answer in answers:
        if answer.ok and answer.ranges() != wholes[answer.question].ranges():
            raise Broken(f"{answer.end}, which is not the list that one client alone gets")
    if not any(answer.ok for answer in answers):
        raise Broken(f"none of {subject.clients} clients was served: {answers[0].end}")
    ends = Counter(answer.code for answer in answers)
    return ", ".join(f"{count} {code}" for code, count in ends.most_common())


def _alone(subject: Subject, name: str, ask: Ask) -> Answer:
    channel: Any = subject.side.connect()
    try:
        return subject.collect(name, *ask(0), channel=channel)
    finally:
        channel.close()


def _at_once(count: int, function: Callable[[], object]) -> None:
    threads = [threading.Thread(target=function, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
