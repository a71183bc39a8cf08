"""A qemu-nbd of our own for one image: read-only, at a socket without a name, ending with us.

The socket is bound in a directory that only we may enter, and both are removed before the server starts: it gets the
listening descriptor, as systemd gives it, and we connect through an own one. So nobody else can connect, and nothing is
left behind however we end. The server ends when the last connection is closed; where none was made, or a worker was
killed in between, by the parent-death signal, which the kernel sends when the *thread* ends that has started it: so
that thread waits for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from typing import TYPE_CHECKING, Any

from blockdiff.errors import BackendUnavailable, DeviceError

if TYPE_CHECKING:
    from collections.abc import Sequence

_PACKAGES = {"qemu-nbd": "qemu-utils", "qemu-img": "qemu-utils", "setpriv": "util-linux", "sh": "dash"}
# $1 is our process: where it is not the parent any more, the signal would never come. Descriptor 3 is what LISTEN_FDS
# says, so the listening socket comes as standard input.
_START = '[ "$PPID" = "$1" ] || exit 125; shift; exec 3<&0 </dev/null; LISTEN_PID=$$ exec "$@"'
_MODES = {False: ("--read-only",), True: ("--discard=unmap",)}
_CLIENTS = 200
_PATIENCE = 10.0  # seconds that it may take to end when it was told to
_FLUSH = 300.0  # the same where it may have much to write
_MAX_WORDS = 1 << 16
_started_event = threading.Event


class ImageServer:
    """A running qemu-nbd. ``path`` is where to connect to, in this process only."""

    def __init__(
        self, node: dict[str, Any], fds: Sequence[int], options: Sequence[str], url: str, *, writable: bool = False
    ) -> None:
        self._url = url
        self._words = b""
        self._process: subprocess.Popen[bytes] | None = None
        self._trouble: OSError | None = None
        self._started = _started_event()
        command = [*_prefix(), "qemu-nbd", *_MODES[writable], "--shared", str(_CLIENTS), *options]
        command.append("json:" + json.dumps(node))
        listener, self._place = _listen(url)
        self._thread = threading.Thread(target=self._run, args=(command, listener, tuple(fds)), daemon=True)
        self._thread.start()
        try:
            self._started.wait()
        except BaseException:  # Ctrl-C: whoever called has nothing yet that could be stopped
            self.stop()
            raise
        self._raise_trouble()

    def _raise_trouble(self) -> None:
        if self._trouble is not None:
            self.stop()
            raise DeviceError(f"qemu-nbd cannot be started: {self._trouble}", url=self._url, action="open")

    @property
    def path(self) -> str:
        """The socket's name for ``connect``."""
        return f"/proc/self/fd/{self._place}"

    def said(self) -> str:
        """What it wrote before it ended; empty while it runs."""
        return self._words.decode("utf-8", "backslashreplace").strip() if self.ended() else ""

    def ended(self, patience: float = 0.0) -> bool:
        """Whether it has ended. It may be just about to, when a connection breaks: ``patience`` (seconds) waits."""
        self._thread.join(patience)
        return not self._thread.is_alive()

    def finish(self) -> str:
        """Ends one that was written to, in good order; what went wrong, or nothing."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        if not self.ended(_FLUSH):
            return f"qemu-nbd did not end within {_FLUSH:g} s"
        return "" if self._process.returncode == 0 else self.said() or f"qemu-nbd ended with {self._process.returncode}"

    def stop(self) -> None:
        """Ends it at once, and lets the socket go. One that is read only has nothing to save."""
        place, self._place = self._place, -1
        if place >= 0:
            os.close(place)
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        self._thread.join(_PATIENCE)

    def _run(self, command: list[str], listener: socket.socket, fds: tuple[int, ...]) -> None:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("LISTEN_")}
        try:
            with listener:
                self._process = process = subprocess.Popen(
                    command,
                    stdin=listener.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    pass_fds=fds,
                    start_new_session=True,  # the terminal's Ctrl-C is ours to answer
                    env={**environment, "LC_ALL": "C", "LISTEN_FDS": "1"},
                )
        except OSError as error:
            self._trouble = error
            return
        finally:
            self._started.set()
        if self._place < 0:  # it was stopped before it had begun
            process.kill()
        assert process.stderr is not None
        with process.stderr:
            while piece := os.read(process.stderr.fileno(), 4096):
                self._words = (self._words + piece)[-_MAX_WORDS:]
        process.wait()


def find_tools(*tools: str) -> None:
    """BackendUnavailable names the package of the first that is missing."""
    for tool in tools:
        if shutil.which(tool) is None:
            raise BackendUnavailable(
                f"images of virtual machines are read by {tool}, which is not installed",
                hint=f"install the package {_PACKAGES[tool]} (apt-get install {_PACKAGES[tool]})",
            )


def _prefix() -> list[str]:
    find_tools("qemu-nbd", "setpriv", "sh")
    return ["setpriv", "--pdeathsig", "KILL", "--", "sh", "-c", _START, "sh", str(os.getpid())]


def _listen(url: str) -> tuple[socket.socket, int]:
    """A listening socket, and a descriptor of its name, which is already gone."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        directory = tempfile.mkdtemp(prefix="blockdiff-")
        try:
            return listener, _bound(listener, directory)
        finally:
            os.rmdir(directory)
    except OSError as error:
        listener.close()
        raise DeviceError(f"no socket can be made: {error}", url=url, action="open") from error


def _bound(listener: socket.socket, directory: str) -> int:
    """Binds it in the directory, whose own name may be longer than a socket's may be, and removes its name."""
    inside = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    path = f"/proc/self/fd/{inside}/nbd"
    try:
        listener.bind(path)
        try:
            listener.listen(_CLIENTS)
            return os.open(path, os.O_PATH | os.O_CLOEXEC)
        finally:
            os.unlink(path)
    finally:
        os.close(inside)
