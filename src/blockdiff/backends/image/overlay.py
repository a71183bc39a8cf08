"""Makes a qcow2 image that holds what differs from a base, as a backup program wants it: a link of a backing chain."""

from __future__ import annotations

import errno
import os
import subprocess
from typing import TYPE_CHECKING

from blockdiff.backends.image.layer import close_layers, layer_of, node_of, open_layers
from blockdiff.backends.image.opening import OwnOpening, failure_of
from blockdiff.backends.image.server import ImageServer, find_tools
from blockdiff.backends.nbd.address import NbdAddress
from blockdiff.backends.nbd.device import ALLOCATION, NbdDevice
from blockdiff.backends.opening import failure, printable, refuse_device_directory
from blockdiff.errors import BlockdiffError, DeviceBusy, DeviceError, InvalidInput, UnsupportedOperation

if TYPE_CHECKING:
    from typing import Self

    from blockdiff.backends.image.layer import Layer
    from blockdiff.locator import Locator

_LIMIT = 60.0  # seconds
_NO_TMPFILE = (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL)


def open_overlay(path: str, base: Locator, size: int) -> OverlayDevice:
    """A new image of ``size`` bytes over ``base``, for writing; it has its name after ``commit``, and is gone without.

    The base is a raw file or block device (``file:``), or an image; it is not changed. Raises InvalidInput (the name is
    taken, or the base is no file), DeviceBusy (the base is in use), DeviceError, BackendUnavailable.
    """
    if os.path.lexists(path):
        raise InvalidInput(f"{printable(path)} is there already: an overlay is made anew")
    refuse_device_directory(path, printable(path))
    find_tools("qemu-img")
    base_path, base_format = _base_of(base)
    layers = open_layers(base_path, base_format)
    new = None
    try:
        new = NewFile(path)
        new.create(_name_for(base_path, path), base_format, size)
        layers.insert(0, layer_of(new.fd, path))
        return OverlayDevice(layers, new)
    except BaseException:
        close_layers(layers)
        if new is not None:
            new.close()
        raise


class NewFile:
    """A file without a name, which ``link`` gives it; where there are none, one with another name until then."""

    def __init__(self, path: str) -> None:
        self.path, self.url, self._part = path, printable(path), ""
        directory = os.path.dirname(path) or "."
        try:
            try:
                self.fd = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666)
            except OSError as error:
                if error.errno not in _NO_TMPFILE:
                    raise
                self._part = os.path.join(directory, f".{os.path.basename(path)}.{os.urandom(4).hex()}.part")
                self.fd = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise failure(error, self.url, "create") from error

    def create(self, base: str, base_format: str, size: int) -> None:
        """An empty overlay. QEMU does not open the base for that."""
        words = ["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F", base_format, "-b", base]
        done = subprocess.run(
            [*words, "--", f"/proc/self/fd/{self.fd}", str(size)],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            check=False,
            pass_fds=(self.fd,),
            env={**os.environ, "LC_ALL": "C"},
        )
        if done.returncode:
            said = done.stderr.decode("utf-8", "backslashreplace").strip().removeprefix("qemu-img: ")
            raise DeviceError(said.replace(f"/proc/self/fd/{self.fd}", self.url), url=self.url, action="create")

    def link(self) -> None:
        """On stable storage, under its name. DeviceBusy if somebody else has taken that."""
        try:
            os.fsync(self.fd)
            directory = os.open(os.path.dirname(self.path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                self._link(directory)
                os.fsync(directory)
            finally:
                os.close(directory)
        except FileExistsError as error:
            raise DeviceBusy(f"{self.url} was made by somebody else meanwhile") from error
        except OSError as error:
            raise failure(error, self.url, "name") from error

    def _link(self, directory: int) -> None:
        source = os.path.basename(self._part) if self._part else f"/proc/self/fd/{self.fd}"
        # only with a directory does Python follow the link that stands for the descriptor
        os.link(source, os.path.basename(self.path), src_dir_fd=directory, dst_dir_fd=directory)

    def close(self) -> None:
        """What has no name by now is gone."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)
        if self._part:
            os.unlink(self._part)
            self._part = ""


class OverlayDevice(NbdDevice):
    """The disk of an overlay that is being made: it reads as its base where nothing was written."""

    def __init__(self, layers: list[Layer], new: NewFile) -> None:
        self._layers, self._new = layers, new
        url = f"qcow2:{new.url}"
        self._server = ImageServer(
            node_of(layers, force_share=False, writable=True), [f.fd for x in layers for f in x.files()], (), url,
            writable=True,
        )  # fmt: skip
        try:
            opening = OwnOpening(NbdAddress(socket=self._server.path, timeout=_LIMIT), [ALLOCATION])
            super().__init__(opening, writable=True)
        except BlockdiffError as error:
            self._server.stop()
            raise failure_of(self._server, layers, url, str(error)) from error
        self.url, self.owner = url, True
        self.file_keys = [file.key for layer in layers for file in layer.files()]
        self.made_of = [f"{new.url} (qcow2)", *(f"{x.url} ({x.format})" for y in layers[1:] for x in y.files())]

    def refuse_if_same(self, source: object) -> None:
        """Nothing: the file is new."""

    def clone(self) -> Self:
        """Another device on the same server, which ends with the first one."""
        twin = super().clone()
        twin.owner = False
        return twin

    def commit(self) -> None:
        """Ends the server in good order and gives the file its name, which nobody else has taken. DeviceError."""
        super().close()
        said = self._server.finish()
        if said:
            raise DeviceError(said, url=self.url, action="write")
        self._new.link()
        self.close()

    def close(self) -> None:
        """Ends the server; without ``commit`` nothing is left behind."""
        super().close()
        if getattr(self, "owner", False):
            self.owner = False
            self._server.stop()
            close_layers(self._layers)
            self._new.close()


def _base_of(base: Locator) -> tuple[str, str]:
    from blockdiff.backends.image.address import parse_address
    from blockdiff.backends.recognise import FORMATS

    if base.scheme == "file":
        return base.rest, "raw"
    if base.scheme not in FORMATS:
        raise UnsupportedOperation(f"{base.text} is no file: an overlay lies over a file, an image or a block device")
    address = parse_address(base)
    if address.snapshot or address.bitmap:
        raise InvalidInput(f"{base.text}: an overlay lies over an image as it is now")
    return address.path, address.format


def _name_for(base: str, overlay: str) -> str:
    """How the overlay names its base: from its own directory, as QEMU looks for it, unless the path is absolute."""
    if base.startswith("/"):
        return base
    name = os.path.relpath(base, os.path.dirname(overlay) or ".")
    return f"./{name}" if ":" in name.split("/", 1)[0] else name  # before a colon QEMU sees a protocol
