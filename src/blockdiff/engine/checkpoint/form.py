"""The file of a checkpoint: a line that says what it is, a line of JSON, a line of checksums. docs/checkpoint.md."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from blockdiff._fast import xxh64_pair
from blockdiff.errors import InvalidInput

VERSION = 1
MAGIC = b"blockdiff checkpoint "
SEEDS = (0x426C6F636B646966, 0x436865636B70746E)
MAX_SIZE = 64 << 20  # bytes of a file that is read at all


class Part(msgspec.Struct, forbid_unknown_fields=True):
    """What one run, or a stage of it, settled: ``[start, end)``, and when (UTC).

    ``stage``: compare, copy, verify or digest.
    """

    run: int
    stage: str
    start: int
    end: int
    began: str
    saved: str
    seconds: float
    bytes_read: int


class State(msgspec.Struct, forbid_unknown_fields=True):
    """All that another run needs. Units are bytes.

    ``job`` says what of which devices is compared how; ``id`` (hexadecimal) binds the file beside it to this one, whose
    first ``log[0]`` bytes belong to this state and end with the chained checksum ``log[1]``, those of this stage from
    ``stage_log`` on. Everything before ``reached`` is settled in this ``stage``. ``read``: bytes read of each side by
    path; ``facts``: what a digest plan tells; ``extra``: what else the command keeps; ``ended``: the run is done.
    """

    id: str
    program: str
    byte_order: str
    boot: str
    job: dict[str, Any]
    stage: str
    reached: int
    log: tuple[int, int]
    stage_log: int
    read: tuple[dict[str, int], dict[str, int]]
    parts: list[Part]
    warnings: list[str]
    facts: dict[str, Any]
    extra: dict[str, Any]
    ended: bool = False


def encode(state: State) -> bytes:
    """The content of the file."""
    text = MAGIC + b"%d\n%s\n" % (VERSION, msgspec.json.encode(state))
    return text + b"xxh64 %016x %016x\n" % xxh64_pair(text, SEEDS)


def decode(data: bytes, name: str) -> State:
    """The state in a file's content. InvalidInput: it is none, of another version, or damaged."""
    if not data.startswith(MAGIC):
        # what is something else may be a disk: only of an empty file anything is said about removing it
        what = "is not a checkpoint of blockdiff" if data else "is empty"
        advice = "name another file" if data else f"name another file, or remove it ({remove(name)})"
        raise InvalidInput(f"{name} {what}, and was left as it is: {advice}")
    head, _, rest = data.partition(b"\n")
    version = head.removeprefix(MAGIC)
    text, sums = data[: -len(_SUMS)], data[-len(_SUMS) :]
    if len(rest) < len(_SUMS) or sums != b"xxh64 %016x %016x\n" % xxh64_pair(text, SEEDS):
        if version.isdigit() and len(version) < 4 and int(version) > VERSION:
            raise _other_version(name, int(version))
        raise damaged(name, "its checksum is wrong")
    if version != b"%d" % VERSION:
        raise _other_version(name, version.decode("ascii", "replace"))
    try:
        state = msgspec.json.decode(rest[: -len(_SUMS)], type=State)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise damaged(name, str(error)) from None
    if not _is_sound(state):
        raise damaged(name, "it contradicts itself")
    return state


def _is_sound(state: State) -> bool:
    """Whether the numbers can be true."""
    length, value = state.log
    return (
        re.fullmatch("[0-9a-f]{16}", state.id) is not None
        and 0 <= state.stage_log <= length
        and 0 <= value < 1 << 64
        and bool(state.parts)
        and 0 <= state.parts[-1].start <= state.reached == state.parts[-1].end <= _largest(state.job)
    )


def _largest(job: dict[str, Any]) -> int:
    """Bytes of the smaller device of a job."""
    devices = [job[key] for key in ("source", "target") if isinstance(job.get(key), dict)]
    return min((size for one in devices if isinstance(size := one.get("size"), int)), default=-1)


_SUMS = b"xxh64 0123456789abcdef 0123456789abcdef\n"


def _other_version(name: str, version: object) -> InvalidInput:
    return InvalidInput(
        f"{name} is a checkpoint of version {version}, and this blockdiff knows version {VERSION}: go on with the "
        f"blockdiff that wrote it, or begin anew ({remove(name)})"
    )


def damaged(name: str, why: str) -> InvalidInput:
    """The error for a checkpoint that cannot be trusted: nothing of it is used."""
    return InvalidInput(f"the checkpoint {name} is damaged: {why}; nothing of it is used: begin anew ({remove(name)})")


def remove(name: str) -> str:
    """What to type to be rid of a checkpoint."""
    import shlex

    return f"rm {shlex.quote(name)}"
