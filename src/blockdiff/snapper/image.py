"""Names of RBD images that hold the disks of machines: ``one-7-42-0``, ``pool/namespace/one-7``.

Format: snapper's Image and ImageSpec (SoftIron HyperCloud; the names are those of OpenNebula on Ceph).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import msgspec

from blockdiff.errors import InvalidInput
from blockdiff.schedule.words import integer, plain, quoted

_ACCEPTED = "PREFIX-TEMPLATE-VM-DISK or PREFIX-TEMPLATE is wanted"
_SPEC = "IMAGE, POOL/IMAGE or POOL/NAMESPACE/IMAGE is wanted"
PERSISTENT = -1  # instead of the numbers of a machine and its disk


class ImageError(InvalidInput):
    """A name that is none of a disk."""


class _ImageWire(msgspec.Struct):
    """The JSON of an image."""

    prefix: str
    template: int
    vm: int
    disk: int


class _SpecWire(msgspec.Struct):
    """The JSON of a place and an image; the names are capitalised."""

    Image: _ImageWire
    Pool: str = ""
    Namespace: str = ""


@dataclass(frozen=True, slots=True)
class Image:
    """A disk. ``vm`` and ``disk`` are -1 for a persistent one, which no machine's number is in the name of.

    Raises ImageError for parts that a name could not say.
    """

    prefix: str
    template: int
    vm: int = PERSISTENT
    disk: int = PERSISTENT

    def __post_init__(self) -> None:
        persistent = self.vm == self.disk == PERSISTENT
        numbers = (self.template,) if persistent else (self.template, self.vm, self.disk)
        if "-" in self.prefix or "/" in self.prefix or any(not 0 <= number < 1 << 63 for number in numbers):
            raise ImageError(f"no name can say {self.prefix!r}, {self.template}, {self.vm}, {self.disk}: {_ACCEPTED}")

    @property
    def persistent(self) -> bool:
        """Whether the disk outlives its machine."""
        return self.vm == PERSISTENT

    def __str__(self) -> str:
        parts = (self.prefix, self.template) if self.persistent else (self.prefix, self.template, self.vm, self.disk)
        return "-".join(map(str, parts))

    @classmethod
    def parse(cls, text: str) -> Self:
        """The image of a name. Raises ImageError, with the part that is wrong."""
        parts = text.split("-")
        if len(parts) not in (2, 4) or "/" in parts[0]:
            raise ImageError(f"cannot parse image {quoted(text)}: {_ACCEPTED}")
        # in the order of the original, which tells the first fault
        vm, disk = (_number("vm", parts[2], text), _number("disk", parts[3], text)) if len(parts) == 4 else (-1, -1)
        return cls(parts[0], _number("template", parts[1], text), vm, disk)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object."""
        return {"prefix": self.prefix, "template": self.template, "vm": self.vm, "disk": self.disk}

    @classmethod
    def from_dict(cls, value: object) -> Self:
        """An image of its JSON object. Raises ImageError."""
        return cls(*msgspec.structs.astuple(_convert(value, _ImageWire)))


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """Where an image is. Without a ``pool`` it is in the one that its cluster takes then."""

    image: Image
    pool: str = ""
    namespace: str = ""

    def __post_init__(self) -> None:
        if "/" in self.pool + self.namespace:
            raise ImageError(f"no spec can say the pool {self.pool!r} and the namespace {self.namespace!r}: {_SPEC}")

    def __str__(self) -> str:
        if self.namespace:
            return f"{self.pool}/{self.namespace}/{self.image}"
        return f"{self.pool}/{self.image}" if self.pool else str(self.image)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The place of a text. Raises ImageError."""
        *place, image = text.split("/")
        if len(place) > 2:
            raise ImageError(f"malformed image spec {plain(text)}: {_SPEC}")
        return cls(Image.parse(image), *place)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object."""
        return {"Pool": self.pool, "Namespace": self.namespace, "Image": self.image.to_dict()}

    @classmethod
    def from_dict(cls, value: object) -> Self:
        """A place of its JSON object. Raises ImageError."""
        wire = _convert(value, _SpecWire)
        return cls(Image(*msgspec.structs.astuple(wire.Image)), wire.Pool, wire.Namespace)


def _convert(value: object, kind: type[Any]) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ImageError(f"no image: {error}") from None


def _number(name: str, part: str, text: str) -> int:
    """A part that is a number; a sign is read, but -1 cannot occur: the text is split at hyphens."""
    try:
        return integer(part)
    except InvalidInput:
        raise ImageError(f"cannot determine {name} from {quoted(part)} in image {quoted(text)}: {_ACCEPTED}") from None
