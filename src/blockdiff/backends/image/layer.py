"""The files that an image is made of: itself, and below it the backing files that its header names.

blockdiff opens them all, by the rules below, and QEMU gets their descriptors: it opens nothing else, whatever a header
says, and a name that changes its meaning meanwhile changes nothing. A backing file is a local file or block device by a
plain name, its format is written in the image that names it, and all of them are told. Formats are never guessed.
"""

from __future__ import annotations

import fcntl
import os
import stat
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from blockdiff.backends.image.qcow2 import Header, parse_header
from blockdiff.backends.image.single import refuse_other_files
from blockdiff.backends.inuse import identity
from blockdiff.backends.opening import failure, open_checked, printable
from blockdiff.errors import DeviceError, InvalidInput, UnsupportedOperation

if TYPE_CHECKING:
    from collections.abc import Iterable

KNOWN = ("qcow2", "raw", "vmdk", "vhdx", "vdi", "vpc")
_FIRST_FD = 10  # below are those that the server has for itself
_MAX_LAYERS = 256
_WITH_BACKING = ("qcow2", "vmdk")  # drivers that would open one by themselves


@dataclass(slots=True)
class Layer:
    """An open file of an image. ``size`` is of the disk in it, 0 where only QEMU can tell (not qcow2 and raw).

    ``key`` is equal for two names of one file.
    """

    path: str
    format: str
    fd: int
    key: tuple[str, int, int]
    is_block: bool
    size: int
    header: Header | None = None
    data: Layer | None = None
    then: os.stat_result = field(repr=False, default_factory=lambda: os.stat("/"))

    @property
    def url(self) -> str:
        """The name for messages."""
        return printable(self.path)

    def read(self, offset: int, length: int) -> bytes:
        """What is there; less at the end of the file. Raises DeviceError."""
        if offset + length > sys.maxsize:  # a broken header says so: no file goes that far
            return b""
        try:
            return os.pread(self.fd, length, offset)
        except OSError as error:
            raise failure(error, self.url, "read", offset, length) from error

    def node(self, *, force_share: bool, writable: bool = False) -> dict[str, Any]:
        """The file as QEMU opens it: by its descriptor."""
        driver = "host_device" if self.is_block else "file"
        return {
            "driver": driver,
            "filename": f"/proc/self/fd/{self.fd}",
            "read-only": not writable,
            "force-share": force_share,
        }

    def files(self) -> list[Layer]:
        """The layer and its data file."""
        return [self] if self.data is None else [self, self.data]

    def close(self) -> None:
        """Closes the descriptors."""
        for layer in self.files():
            fd, layer.fd = layer.fd, -1
            if fd >= 0:
                os.close(fd)


def open_layers(path: str, image_format: str) -> list[Layer]:
    """The image and its backing files, the image first. Raises InvalidInput, DeviceError, UnsupportedOperation."""
    layers: list[Layer] = []
    following: tuple[str, str] | None = (path, image_format)
    try:
        while following is not None:
            layer = _open(*following, above=layers[-1] if layers else None)
            layers.append(layer)
            if layer.key in {other.key for other in layers[:-1]} or len(layers) > _MAX_LAYERS:
                raise InvalidInput(f"{layers[0].url} is broken: its backing files form a circle at {layer.url}")
            following = _examine(layer)
    except BaseException:
        close_layers(layers)
        raise
    return layers


def close_layers(layers: Iterable[Layer]) -> None:
    """Closes them all."""
    for layer in layers:
        layer.close()


def layer_of(fd: int, path: str) -> Layer:
    """A new qcow2 file that is open for writing, by a descriptor of its own."""
    high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FIRST_FD)
    status = os.fstat(high)
    return Layer(path, "qcow2", high, identity(status), is_block=False, size=0, then=status)


def node_of(layers: list[Layer], *, force_share: bool, writable: bool = False) -> dict[str, Any]:
    """The whole image as QEMU is to open it; it looks for nothing by itself. ``writable`` is about the first file."""
    node: dict[str, Any] | None = None
    for layer in reversed(layers):
        write = writable and layer is layers[0]
        options = {"driver": layer.format, "read-only": not write, "force-share": force_share}
        options["file"] = layer.node(force_share=force_share, writable=write)
        if layer.data is not None:
            options["data-file"] = layer.data.node(force_share=force_share)
        if layer.format in _WITH_BACKING:
            options["backing"] = node
        node = options
    assert node is not None
    return node


def _open(path: str, image_format: str, above: Layer | None) -> Layer:
    url = printable(path)
    try:
        fd = open_checked(path, os.O_RDONLY, url)
    except (DeviceError, InvalidInput) as error:
        if above is None:
            raise
        raise DeviceError(f"its backing file cannot be used: {error}", url=above.url, action="open") from error
    try:
        high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FIRST_FD)
    finally:
        os.close(fd)
    status = os.fstat(high)
    is_block = stat.S_ISBLK(status.st_mode)
    size = 0
    if image_format == "raw":
        size = os.lseek(high, 0, os.SEEK_END) if is_block else status.st_size
    return Layer(path, image_format, high, identity(status), is_block, size, then=status)


def _examine(layer: Layer) -> tuple[str, str] | None:
    """Reads what the layer says of itself; the name and format of its backing file, if it has one."""
    if layer.format == "raw":
        return None
    if layer.format != "qcow2":
        refuse_other_files(layer.format, layer.read, layer.then.st_size, layer.url)
        return None
    header = layer.header = parse_header(layer.read, layer.url)
    layer.size = header.size
    if header.encrypted:
        raise UnsupportedOperation(f"{layer.url} is encrypted, and blockdiff has no way to ask for its key")
    if header.has_data_file:
        if not header.data_file:
            raise UnsupportedOperation(f"{layer.url} has its data in another file and does not name it")
        layer.data = _open(_plain(header.data_file, layer, "data file"), "raw", layer)
    if not header.backing:
        return None
    name = _plain(header.backing, layer, "backing file")
    if not header.backing_format:
        raise InvalidInput(
            f"{layer.url} does not say of which format its backing file {printable(name)} is, and to guess that is not "
            "safe: write it into the image with qemu-img rebase -u -F FORMAT -b FILE IMAGE"
        )
    if header.backing_format not in KNOWN:
        known = ", ".join(KNOWN)
        raise UnsupportedOperation(
            f"{layer.url} has a backing file of format {printable(header.backing_format)}; known are {known}"
        )
    return name, header.backing_format


def _plain(name: bytes, layer: Layer, what: str) -> str:
    """The path of a file that an image names, seen from the image's own directory, as QEMU does it."""
    text = os.fsdecode(name)
    head = text.split("/", 1)[0]
    if head.startswith("file:"):
        text = text.removeprefix("file:")
    elif ":" in head:
        raise UnsupportedOperation(
            f"the {what} of {layer.url} is {printable(text)!r}, and blockdiff follows names of local files only: "
            "export the image with qemu-nbd --read-only and name its nbd+unix: URL"
        )
    if "\0" in text or not text:
        raise InvalidInput(f"{layer.url} is broken: the name of its {what} is {text!r}")
    return os.path.join(os.path.dirname(layer.path), text)
