"""Where a server listens, as people write it."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import stat
from typing import NamedTuple

from blockdiff.errors import DeviceBusy, InvalidInput

_TCP = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.%\w]*)\]|(?P<host>[^:\[\]/\s]*)):(?P<port>[0-9]{1,5})")


class Address(NamedTuple):
    """A unix socket at ``path``, or ``host`` and ``port``."""

    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def target(self) -> str:
        """As gRPC takes it, to listen and to connect."""
        if self.path:
            return f"unix://{self.path}" if self.path.startswith("/") else f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """True when nobody from outside the machine gets here."""
        if self.path or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse(text: str) -> Address:
    """``unix:///run/x.sock``, ``/run/x.sock``, ``127.0.0.1:50051``, ``[::1]:0``; ``:50051`` is every interface.

    Raises InvalidInput.
    """
    if text.startswith(("unix:", "/")):
        path = text.removeprefix("unix:")
        path = "/" + path.lstrip("/") if path.startswith("//") else path
        if not path.strip("/") or "\0" in path or len(os.fsencode(path)) > 107:
            raise InvalidInput(f"{text!r} is no path for a unix socket: it has 1 to 107 bytes")
        return Address(path=path)
    match = _TCP.fullmatch(text.removeprefix("tcp://"))
    if match is None or int(match["port"]) > 65535:
        raise InvalidInput(f"{text!r} is no address: write HOST:PORT, [IPV6]:PORT or unix:///PATH")
    return Address(match["six"] or match["host"] or "::", int(match["port"]))


def free_socket(path: str) -> None:
    """Removes a socket that nobody listens on any more; gRPC would take a living one away, too.

    Raises DeviceBusy if somebody does, InvalidInput if something else is there.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise InvalidInput(f"cannot listen on {path}: {error.strerror}") from None
    if not stat.S_ISSOCK(found.st_mode):
        raise InvalidInput(f"cannot listen on {path}: it exists and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(5)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            os.unlink(path)
        except OSError as error:
            raise DeviceBusy(f"cannot listen on {path}: {error.strerror or error}") from None
        else:
            raise DeviceBusy(f"cannot listen on {path}: another process does")
