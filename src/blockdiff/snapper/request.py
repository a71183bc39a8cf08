"""One snapshot that snapper is asked for: of a machine by its schedule, or of an image by a person.

Formats: the daemon's requests (SoftIron HyperCloud), and the items of its REST call ``GET snapper/status``.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, Self

import msgspec

from blockdiff.errors import InvalidInput
from blockdiff.schedule import Schedule, Schedules, Type, parse_schedules
from blockdiff.schedule.words import quoted
from blockdiff.snapper.image import ImageSpec
from blockdiff.tag import Tag

NO_VM = -1
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_SECOND, _THIRD = 2, 3  # versions of tags
_TOP = 1 << 63
_NEVER = Schedule()


class Request(Protocol):
    """What both kinds have. Times are None until they are known; the ``with_`` methods give a changed copy."""

    type: ClassVar[Type]

    @property
    def id(self) -> int: ...
    @property
    def scheduled(self) -> dt.datetime | None: ...
    @property
    def started(self) -> dt.datetime | None: ...
    @property
    def finished(self) -> dt.datetime | None: ...
    @property
    def schedule(self) -> Schedule: ...
    @property
    def tag(self) -> Tag: ...
    @property
    def vm_id(self) -> int: ...
    def with_id(self, number: int) -> Self: ...
    def with_scheduled(self, time: dt.datetime | None) -> Self: ...
    def with_started(self, time: dt.datetime | None) -> Self: ...
    def with_finished(self, time: dt.datetime | None) -> Self: ...
    def with_schedule(self, schedule: Schedule) -> Self: ...


class _Time(msgspec.Struct):
    """A moment as protobuf writes it; Go leaves out what is 0."""

    seconds: int = 0
    nanos: int = 0


class _Status(msgspec.Struct):
    """An item of the status. Keys that are not known are ignored: later versions may have more."""

    type: str
    id: int = 0
    instance: int = NO_VM
    hypervisor: str = ""
    rbd: str = ""
    scheduled: _Time | None = None
    started: _Time | None = None
    finished: _Time | None = None
    schedule: str = ""
    progress: list[int] | None = None
    images: list[Any] | None = None  # not of the status: see to_dict


@dataclass(frozen=True, slots=True)
class _Base:
    """``id`` is a number of 64 bits. Times have a zone; parts of a microsecond are not kept."""

    id: int = 0
    scheduled: dt.datetime | None = None
    started: dt.datetime | None = None
    finished: dt.datetime | None = None
    schedule: Schedule = _NEVER

    def __post_init__(self) -> None:
        if not 0 <= self.id < 1 << 64:
            raise InvalidInput(f"invalid id {self.id}: accepted are 0 to 2^64 - 1")
        for name in ("scheduled", "started", "finished"):
            time = getattr(self, name)
            if time is not None and time.tzinfo is None:
                raise InvalidInput(f"the time {name} has no time zone: {time.isoformat()}")

    def with_id(self, number: int) -> Self:
        return replace(self, id=number)

    def with_scheduled(self, time: dt.datetime | None) -> Self:
        return replace(self, scheduled=time)

    def with_started(self, time: dt.datetime | None) -> Self:
        return replace(self, started=time)

    def with_finished(self, time: dt.datetime | None) -> Self:
        return replace(self, finished=time)

    def with_schedule(self, schedule: Schedule) -> Self:
        return replace(self, schedule=schedule)


@dataclass(frozen=True, slots=True)
class AutoRequest(_Base):
    """A snapshot of all disks of a machine. ``progress`` is in percent, one number for each image."""

    vm: int | None = None
    hypervisor: str = ""
    images: tuple[ImageSpec, ...] = ()
    progress: tuple[int, ...] = ()

    type: ClassVar[Type] = Type.AUTO

    @property
    def vm_id(self) -> int:
        """The machine's number, -1 if there is none."""
        return NO_VM if self.vm is None else self.vm

    @property
    def tag(self) -> Tag:
        """The name of the snapshot."""
        return Tag(self.schedule.period, self.scheduled, vm=self.vm_id, version=_SECOND)

    def to_status(self) -> dict[str, Any]:
        """The item of the status; it does not say the images."""
        return _status(self, hypervisor=self.hypervisor, rbd="", progress=self.progress)

    def to_dict(self) -> dict[str, Any]:
        """The item of the status, and ``images``: nothing is left out."""
        return self.to_status() | {"images": [image.to_dict() for image in self.images]}

    def __post_init__(self) -> None:
        _Base.__post_init__(self)
        if self.vm is not None:
            _number("machine", self.vm, 0)
        for percent in self.progress:
            _number("progress", percent, -_TOP)


@dataclass(frozen=True, slots=True)
class ManualRequest(_Base):
    """A snapshot of one image, which need not be of a machine. ``rbd_name`` is the image's name."""

    vm: int = NO_VM
    rbd_name: str = ""

    type: ClassVar[Type] = Type.MANUAL

    def __post_init__(self) -> None:
        _Base.__post_init__(self)
        _number("machine", self.vm, NO_VM)

    @property
    def vm_id(self) -> int:
        """The machine's number, -1 if there is none."""
        return self.vm

    @property
    def tag(self) -> Tag:
        """The name of the snapshot. Raises InvalidInput without an image: it would be that of machine 0."""
        if not self.rbd_name:
            raise InvalidInput(f"request {self.id} names no image, so its snapshot has no name")
        return Tag(self.schedule.period, self.scheduled, rbd=self.rbd_name, version=_THIRD)

    def to_status(self) -> dict[str, Any]:
        """The item of the status."""
        return _status(self, hypervisor="", rbd=self.rbd_name, progress=())

    def to_dict(self) -> dict[str, Any]:
        """The item of the status, which says all."""
        return self.to_status()


def _number(name: str, value: int, least: int) -> None:
    if not least <= value < _TOP:
        raise InvalidInput(f"invalid {name} {value}: accepted are {least} to 2^63 - 1")


def from_dict(value: object) -> AutoRequest | ManualRequest:
    """A request of an item of the status, or of ``to_dict``. Raises InvalidInput."""
    try:
        wire = msgspec.convert(value, _Status)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"no request: {error}") from None
    common: dict[str, Any] = {name: _time(name, getattr(wire, name)) for name in ("scheduled", "started", "finished")}
    common |= {"id": wire.id, "schedule": _schedule(wire.schedule)}
    if Type.parse(wire.type) is Type.AUTO:
        return _auto(wire, common)
    if wire.hypervisor or wire.progress or wire.images:
        raise InvalidInput("no request: a manual one has no hypervisor, no progress and no images")
    return ManualRequest(**common, vm=wire.instance, rbd_name=wire.rbd)


def from_json(text: str | bytes) -> AutoRequest | ManualRequest:
    """A request of the JSON of ``from_dict``'s value. Raises InvalidInput."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidInput(f"no JSON: {error}") from None
    return from_dict(value)


def to_json(request: AutoRequest | ManualRequest) -> bytes:
    """The JSON of ``to_dict``."""
    return msgspec.json.encode(request.to_dict())


def _auto(wire: _Status, common: dict[str, Any]) -> AutoRequest:
    if wire.rbd:
        raise InvalidInput(f"no request: a machine's has no rbd, this one says {quoted(wire.rbd)}")
    images = tuple(ImageSpec.from_dict(image) for image in wire.images or ())
    vm = None if wire.instance == NO_VM else wire.instance
    return AutoRequest(**common, vm=vm, hypervisor=wire.hypervisor, images=images, progress=tuple(wire.progress or ()))


def _status(
    request: AutoRequest | ManualRequest, *, hypervisor: str, rbd: str, progress: tuple[int, ...]
) -> dict[str, Any]:
    return {
        "type": request.type.text,
        "id": request.id,
        "instance": request.vm_id,
        "hypervisor": hypervisor,
        "rbd": rbd,
        "scheduled": _stamp(request.scheduled),
        "started": _stamp(request.started),
        "finished": _stamp(request.finished),
        "schedule": _schedule_text(request.schedule),
        "progress": list(progress),
    }


def _schedule_text(schedule: Schedule) -> str:
    if schedule.period is None and schedule != _NEVER:
        raise InvalidInput("a schedule that is never due has no text")
    return str(Schedules([schedule]))


def _schedule(text: str) -> Schedule:
    found = parse_schedules(text)
    if len(found) > 1:
        raise InvalidInput(f"no request: its schedule has {len(found)} entries, and one is wanted: {quoted(text)}")
    return found[0] if found else _NEVER


def _stamp(time: dt.datetime | None) -> dict[str, int] | None:
    if time is None:
        return None
    past = time - _EPOCH
    return {"seconds": past.days * 86400 + past.seconds, "nanos": past.microseconds * 1000}


def _time(name: str, stamp: _Time | None) -> dt.datetime | None:
    if stamp is None:
        return None
    try:
        if not 0 <= stamp.nanos < 1_000_000_000:
            raise OverflowError
        return _EPOCH + dt.timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)
    except OverflowError:
        raise InvalidInput(
            f"invalid time {name}, {stamp.seconds} s and {stamp.nanos} ns: accepted are the years 1 to 9999"
        ) from None
