"""What is judged: a server, two of its snapshots, and what it was seen to answer."""

from __future__ import annotations

import itertools
import random
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from blockdiff.errors import InvalidInput, RemoteError
from blockdiff.testing.csi.answer import MOST, Answer, decode
from blockdiff.testing.csi.result import Skipped
from blockdiff.testing.csi.shape import Stream, Violations

if TYPE_CHECKING:
    from collections.abc import Callable

    from blockdiff.testing.csi.answer import Message
    from blockdiff.testing.csi.side import Side

T = TypeVar("T")
OFFSETS = 24  # starting offsets that are tried


class Subject:
    """A server and what to ask it about.

    ``snapshot`` is the one that is listed, ``base`` an earlier one of the same volume; on the Kubernetes side the
    snapshot is a name, and the base a handle. ``handle`` is the handle of ``snapshot``, where that is another thing
    than its name. ``snapshot_device`` and ``base_device`` (paths or URLs) have their content. ``timeout`` (seconds) is
    for each call, ``clients`` how many ask at once.
    """

    def __init__(
        self,
        side: Side,
        *,
        snapshot: str,
        base: str = "",
        handle: str = "",
        snapshot_device: str = "",
        base_device: str = "",
        timeout: float = 60.0,
        clients: int = 32,
    ) -> None:
        if not snapshot:
            raise InvalidInput("the suite needs a snapshot to ask about")
        self.side, self.snapshot, self.base = side, snapshot, base
        self.handle = handle or (snapshot if side.name == "csi" else "")
        self.snapshot_device, self.base_device = snapshot_device, base_device
        self.timeout, self.clients = timeout, clients
        self.violations = Violations()
        self._known: dict[str, Any] = {}
        self._reached = False

    def once(self, name: str, function: Callable[[], T]) -> T:
        """What a function gives, asked only the first time."""
        if name not in self._known:
            self._known[name] = function()
        result: T = self._known[name]
        return result

    # ---- asking ----

    @property
    def whole(self) -> Answer:
        """What is allocated, from the start."""
        return self.once("allocated", self.allocated)

    @property
    def changes(self) -> Answer:
        """What changed, from the start. Skipped without a base, or where the server does not track changes."""
        answer = self.once("delta", self.delta)
        if answer.code == "FAILED_PRECONDITION":
            raise Skipped(f"the server does not track changes of this volume: {answer.details}")
        return answer

    def ways(self) -> list[tuple[Answer, Callable[..., Answer]]]:
        """The answers from the start, and how to ask again: allocated, and changed where that can be asked."""
        found: list[tuple[Answer, Callable[..., Answer]]] = [(self.whole, self.allocated)]
        try:
            found.append((self.changes, self.delta))
        except Skipped:
            return found
        return found

    def allocated(self, start: int = 0, limit: int = 0, *, snapshot: str | None = None, **override: str) -> Answer:
        """What is allocated; ``override`` replaces fields of the request that the side fills in."""
        name = self.snapshot if snapshot is None else snapshot
        question = f"allocated({name!r}, starting_offset {start}, max_results {limit})"
        return self.collect(question, *self.side.allocated(name, start, limit, **override), limit=limit)

    def delta(
        self,
        start: int = 0,
        limit: int = 0,
        *,
        base: str | None = None,
        snapshot: str | None = None,
        **override: str,
    ) -> Answer:
        """What changed. Skipped without a base."""
        if base is None and not self.base:
            raise Skipped("no base snapshot was given")
        first, name = self.base if base is None else base, self.snapshot if snapshot is None else snapshot
        question = f"delta({first!r}, {name!r}, starting_offset {start}, max_results {limit})"
        return self.collect(question, *self.side.delta(first, name, start, limit, **override), limit=limit)

    def call(
        self, method: Any, request: Any, *, channel: Any = None, metadata: Any = None, timeout: float | None = None
    ) -> Any:
        """The call itself; a ``timeout`` of 0 is none."""
        limit = self.timeout if timeout is None else timeout
        response = self.side.responses["Delta" in method.name]
        stream = (channel or self.side.channel).unary_stream(
            method.path, request_serializer=method.request.SerializeToString, response_deserializer=response.FromString
        )
        return stream(request, timeout=limit if limit > 0 else None, metadata=metadata)

    def collect(
        self,
        question: str,
        method: Any,
        request: Any,
        *,
        limit: int = 0,
        each: Callable[[], object] = bool,
        **options: Any,
    ) -> Answer:
        """Reads a stream to its end, whatever that is, ``each`` called after each message. RemoteError if there is no
        server, InvalidInput if there is too much of it.
        """
        import grpc

        messages: list[Message] = []
        stream, count = Stream(self.violations, question, limit), 0
        call = self.call(method, request, **options)
        guard = threading.Timer(3 * self.timeout, call.cancel)  # also where the call has no limit of its own
        guard.daemon = True
        guard.start()
        try:
            for response in call:
                messages.append(decode(response))
                stream.see(messages[-1])
                count += len(messages[-1].offsets)
                if count > MOST:
                    raise InvalidInput(f"{question}: more than {MOST} tuples: give the suite smaller snapshots")
                each()
        except grpc.RpcError as error:
            return self._ended(Answer(question, messages, error.code().name, str(error.details() or "")))
        finally:
            guard.cancel()
            call.cancel()
        return self._ended(Answer(question, messages, "OK", ""))

    def _ended(self, answer: Answer) -> Answer:
        if answer.code == "UNAVAILABLE" and not answer.messages and not self._reached:
            raise RemoteError(f"cannot ask {self.side.target}: {answer.details}")
        self._reached = True
        return answer

    # ---- what is known ----

    def capacity(self) -> int:
        """What the server says of the volume's size; Skipped if it says nothing."""
        for answer, _ in self.ways():
            for message in answer.messages:
                return message.capacity
        raise Skipped("the server sent no message, so the size of the volume is not known")

    def offsets(self, answer: Answer) -> list[int]:
        """Offsets to start from: around the edges of tuples, inside of them, and around the ends of the volume."""
        capacity = self.capacity()
        edges = list(itertools.islice(answer.tuples(), 4096))
        rng = random.Random(len(edges))
        chosen = edges if len(edges) <= 6 else [edges[0], edges[-1], *rng.sample(edges, 4)]
        found = {1, capacity // 2, capacity - 1, *(rng.randrange(capacity) for _ in range(3) if capacity > 0)}
        for at, length in chosen:
            found |= {at, at + length, at + length - 1, at + length // 2}
        inside = sorted(offset for offset in found if 0 < offset < capacity)
        return inside if len(inside) <= OFFSETS else sorted(rng.sample(inside, OFFSETS))
