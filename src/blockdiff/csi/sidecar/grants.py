"""Who may read which namespaces, from a file that may change while the server runs."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import stat
import threading

from blockdiff.errors import InvalidInput

_log = logging.getLogger("blockdiff.csi.plain")
SHORTEST = 16  # characters of a token; it is all that stands between a stranger and the data
_LARGEST = 1 << 20  # bytes of a file


class Grants:
    """Lines of ``NAME NAMESPACE...``; ``*`` is every namespace; ``#`` begins a comment.

    ``secret`` says that names are tokens: they are compared in constant time, and the file must not be for others. The
    file is read again when it changed; one that is wrong then is not taken, and the log says so. Raises InvalidInput.
    """

    def __init__(self, path: str, *, secret: bool) -> None:
        self._path, self._secret = path, secret
        self._lock = threading.Lock()
        self._seen = self._stamp()
        self._entries = self._read()

    def namespaces(self, name: str) -> frozenset[str] | None:
        """What a name was granted, None if it is not in the file."""
        self._refresh()
        wanted, found = _digest(name), None
        for digest, granted in self._entries:  # all of them, always
            if hmac.compare_digest(digest, wanted):
                found = granted
        return found

    @property
    def narrow(self) -> bool:
        """True when somebody was granted less than every namespace."""
        return any("*" not in granted for _, granted in self._entries)

    def _refresh(self) -> None:
        with self._lock:
            stamp = self._stamp()
            if stamp == self._seen:
                return
            self._seen = stamp
            try:
                self._entries = self._read()
            except InvalidInput as error:
                _log.error("what was granted stays as it was: %s", error)

    def _stamp(self) -> tuple[int, ...]:
        try:
            found = os.stat(self._path)
        except OSError:
            return ()
        return found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode

    def _read(self) -> list[tuple[bytes, frozenset[str]]]:
        try:
            with open(self._path, "rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                content = file.read(_LARGEST + 1)
        except OSError as error:
            raise InvalidInput(f"cannot read {self._path}: {error.strerror or error}") from None
        if self._secret and mode & (stat.S_IRWXO | stat.S_IWGRP):
            raise InvalidInput(
                f"{self._path} has the mode {stat.S_IMODE(mode):04o}: tokens must not be for others (0600)"
            )
        if not self._secret and mode & stat.S_IWOTH:
            raise InvalidInput(f"{self._path} can be written by everybody")
        if len(content) > _LARGEST:
            raise InvalidInput(f"{self._path} is larger than {_LARGEST} bytes")
        return self._entries_of(content)

    def _entries_of(self, content: bytes) -> list[tuple[bytes, frozenset[str]]]:
        try:
            lines = content.decode().splitlines()
        except UnicodeDecodeError:
            raise InvalidInput(f"{self._path} is no text") from None
        entries: dict[bytes, frozenset[str]] = {}
        for number, line in enumerate(lines, 1):
            name, *namespaces = line.split("#", 1)[0].split() or [""]
            if not name:
                continue
            if not namespaces:
                raise InvalidInput(f"{self._path}, line {number}: no namespace is named")
            if self._secret and len(name) < SHORTEST:
                raise InvalidInput(f"{self._path}, line {number}: a token has {SHORTEST} characters or more")
            if _digest(name) in entries:
                raise InvalidInput(f"{self._path}, line {number}: the same name again")
            entries[_digest(name)] = frozenset(namespaces)
        if not entries:
            raise InvalidInput(f"{self._path} grants nothing to anybody")
        return list(entries.items())


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
