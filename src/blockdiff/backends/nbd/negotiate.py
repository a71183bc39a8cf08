"""NBD's handshake (doc/proto.md of NetworkBlockDevice/nbd, fixed newstyle), up to the transmission phase."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OPT_EXPORT_NAME, OPT_ABORT, OPT_LIST, OPT_STARTTLS, OPT_GO = 1, 2, 3, 5, 7
OPT_INFO, OPT_STRUCTURED, OPT_LIST_META, OPT_SET_META, OPT_EXTENDED = 6, 8, 9, 10, 11
REP_ACK, REP_SERVER, REP_INFO, REP_META = 1, 2, 3, 4
ERROR = 1 << 31
UNSUPPORTED, POLICY, TLS_REQUIRED, UNKNOWN = ERROR + 1, ERROR + 2, ERROR + 5, ERROR + 6
READ_ONLY, FLUSH, FUA, TRIM, WRITE_ZEROES, MULTI_CONN = 1 << 1, 1 << 2, 1 << 3, 1 << 5, 1 << 6, 1 << 8
INFO_EXPORT, INFO_DESCRIPTION, INFO_BLOCK_SIZE = 0, 2, 3
MAX_REPLY = 1 << 17  # bytes: names and descriptions have 4096 at most
MAX_REPLIES = 100_000
MAX_REPLIES_BYTES = 32 << 20  # of all replies to one option
MAX_PAYLOAD = 32 << 20  # what servers take that do not say
DEFAULT_BLOCK = 512  # of servers that do not say

_ERRORS = {
    1: "it does not know that",
    2: "its policy does not allow it",
    3: "it calls the request malformed",
    4: "its platform cannot do that",
    5: "it wants TLS",
    6: "it has no such export",
    7: "it is shutting down",
    8: "it wants its block sizes to be kept",
    9: "the request is too big for it",
    10: "it wants extended headers",
}


class Stream(Protocol):
    """What the handshake needs of a connection."""

    def send(self, data: bytes) -> None: ...
    def recv(self, length: int) -> bytes: ...


class Broken(Exception):
    """The server did what the protocol does not allow, in words."""


class Refused(Exception):
    """The server refused an option: ``code`` is its answer; the text is in words."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(said)
        self.code = code


class Export(NamedTuple):
    """What was agreed on. ``contexts`` are the ids of metadata contexts; sizes are bytes."""

    size: int
    flags: int
    structured: bool
    extended: bool
    contexts: dict[str, int]
    min_block: int = DEFAULT_BLOCK
    preferred_block: int = 4096
    max_payload: int = MAX_PAYLOAD
    description: str = ""

    @property
    def read_only(self) -> bool:
        return bool(self.flags & READ_ONLY)

    @property
    def multi_conn(self) -> bool:
        return bool(self.flags & MULTI_CONN)


class Handshake:
    """The option haggling over a stream. Raises Broken, Refused, and what the stream raises."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.structured = self.extended = False
        magic = stream.recv(8)
        if magic != b"NBDMAGIC":
            raise Broken("it is no NBD server")
        if stream.recv(8) != b"IHAVEOPT":
            raise Broken("it speaks the old handshake of NBD, before 2011, which is not supported")
        (flags,) = struct.unpack(">H", stream.recv(2))
        self._fixed, self._no_zeroes = bool(flags & 1), bool(flags & 2)
        stream.send(struct.pack(">I", flags & 3))

    def start_tls(self, encrypt: Callable[[], None]) -> None:
        """Agrees on TLS; ``encrypt`` begins it. Refused where the server has none: there is no way back."""
        self._need_fixed("TLS")
        self._ask(OPT_STARTTLS)
        encrypt()

    def agree_on_replies(self) -> None:
        """The best form of replies that the server has."""
        if not self._fixed:
            return
        self.extended = self._try(OPT_EXTENDED)
        self.structured = self.extended or self._try(OPT_STRUCTURED)

    def set_contexts(self, export: str, names: list[str]) -> dict[str, int]:
        """The ids of those contexts that the server has."""
        if not self.structured:
            return {}
        try:
            return {name: number for number, name in self._contexts(OPT_SET_META, export, names) if name in names}
        except Refused:
            return {}

    def list_contexts(self, export: str) -> list[str]:
        """The names of all contexts of an export; needs structured replies."""
        return [name for _, name in self._contexts(OPT_LIST_META, export, [])] if self.structured else []

    def list_exports(self) -> list[tuple[str, str]]:
        """Names and descriptions. Refused where the server does not tell."""
        self._need_fixed("a list of exports")
        found = []
        for kind, data in self._replies(OPT_LIST, b""):
            if kind != REP_SERVER:
                raise Broken(f"it answered with {kind} to a request for its exports")
            name, rest = _counted(data)
            found.append((name.decode("utf-8", "replace"), _text(rest)))
        return found

    def go(self, export: str, contexts: dict[str, int]) -> Export:
        """Enters the transmission phase. Refused names why not."""
        if not self._fixed:
            return self._by_name(export.encode(), {})
        try:
            return self.facts(export, contexts, OPT_GO)
        except Refused as error:
            if error.code == UNSUPPORTED:
                return self._by_name(export.encode(), contexts)
            raise

    def facts(self, export: str, contexts: dict[str, int] | None = None, option: int = OPT_INFO) -> Export:
        """What there is to know about an export. Refused where there is none of that name."""
        name = export.encode()
        wanted = struct.pack(">I", len(name)) + name + struct.pack(">HHH", 2, INFO_BLOCK_SIZE, INFO_DESCRIPTION)
        infos = dict(self._infos(option, wanted))
        if INFO_EXPORT not in infos or len(infos[INFO_EXPORT]) != 10:
            raise Broken("it told no size of the export")
        size, flags = struct.unpack(">QH", infos[INFO_EXPORT])
        block = _block_sizes(infos.get(INFO_BLOCK_SIZE))
        description = _text(infos.get(INFO_DESCRIPTION, b""))
        return _checked(Export(size, flags, self.structured, self.extended, contexts or {}, *block, description))

    def abort(self) -> None:
        """Ends the handshake in the orderly way."""
        self._send(OPT_ABORT, b"")

    def _infos(self, option: int, wanted: bytes) -> Iterator[tuple[int, bytes]]:
        for kind, data in self._replies(option, wanted):
            if kind != REP_INFO or len(data) < 2:
                raise Broken(f"it answered with {kind} to a request for an export")
            yield struct.unpack(">H", data[:2])[0], data[2:]

    def _by_name(self, name: bytes, contexts: dict[str, int]) -> Export:
        """The older way, which knows no errors: who has no such export hangs up."""
        self._send(OPT_EXPORT_NAME, name)
        size, flags = struct.unpack(">QH", self._stream.recv(10))
        if not self._no_zeroes:
            self._stream.recv(124)
        return _checked(Export(size, flags, self.structured, self.extended, contexts))

    def _need_fixed(self, what: str) -> None:
        if not self._fixed:
            raise Refused(UNSUPPORTED, f"it is too old for {what}")

    def _try(self, option: int) -> bool:
        try:
            self._ask(option)
        except Refused as error:
            if error.code == TLS_REQUIRED:
                raise
            return False
        return True

    def _ask(self, option: int) -> None:
        for kind, _ in self._replies(option, b""):
            raise Broken(f"it answered with {kind} to the option {option}")

    def _contexts(self, option: int, export: str, names: list[str]) -> Iterator[tuple[int, str]]:
        name = export.encode()
        queries = b"".join(struct.pack(">I", len(query.encode())) + query.encode() for query in names)
        data = struct.pack(">I", len(name)) + name + struct.pack(">I", len(names)) + queries
        for kind, reply in self._replies(option, data):
            if kind != REP_META or len(reply) < 5:
                raise Broken(f"it answered with {kind} to a request for metadata contexts")
            yield struct.unpack(">I", reply[:4])[0], reply[4:].decode("utf-8", "replace")

    def _send(self, option: int, data: bytes) -> None:
        self._stream.send(b"IHAVEOPT" + struct.pack(">II", option, len(data)) + data)

    def _replies(self, option: int, data: bytes) -> Iterator[tuple[int, bytes]]:
        """All replies before the last, which must be well: else Refused."""
        self._send(option, data)
        total = 0
        for _ in range(MAX_REPLIES):
            magic, about, kind, length = struct.unpack(">QIII", self._stream.recv(20))
            if magic != 0x3E889045565A9 or about != option or length > MAX_REPLY:
                raise Broken(f"its reply to the option {option} is malformed")
            total += length
            if total > MAX_REPLIES_BYTES:
                break
            reply = self._stream.recv(length) if length else b""
            if kind & ERROR:
                said = _text(reply)
                raise Refused(kind, _ERRORS.get(kind - ERROR, f"error {kind - ERROR}") + (f" ({said})" if said else ""))
            if kind == REP_ACK:
                return
            yield kind, reply
        raise Broken(f"its replies to the option {option} have no end")


def _counted(data: bytes) -> tuple[bytes, bytes]:
    if len(data) < 4 or (length := struct.unpack(">I", data[:4])[0]) > len(data) - 4:
        raise Broken("the name of an export is cut off")
    return data[4 : 4 + length], data[4 + length :]


def _text(data: bytes) -> str:
    text = data.decode("utf-8", "replace")
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _block_sizes(info: bytes | None) -> tuple[int, int, int]:
    """Least, preferred, and the largest payload."""
    if info is None:
        return DEFAULT_BLOCK, 4096, MAX_PAYLOAD
    if len(info) != 12:
        raise Broken("its block sizes are malformed")
    least, preferred, most = struct.unpack(">III", info)
    if not 0 < least <= 1 << 20 or least & (least - 1) or preferred < least or most < least:
        raise Broken(f"its block sizes make no sense: {least}, {preferred}, {most}")
    return least, preferred, most - most % least


def _checked(export: Export) -> Export:
    if export.size >= 1 << 63:
        raise Broken(f"it says that the export has {export.size} bytes")
    return export
