"""What a checkpoint is of: the command, its options, the devices; and why another one is not the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blockdiff._fast import xxh64_pair
from blockdiff.engine.checkpoint.boot import this_boot
from blockdiff.engine.checkpoint.form import SEEDS, remove
from blockdiff.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable

    from blockdiff._fast import Extents

NOTHING = "nothing"
_BLOCK = 24 << 15


def describe(device: Any, *, written: bool = False) -> dict[str, Any]:
    """A device as a checkpoint has it, as plain values.

    A device's ``evidence()`` gives ``who`` (tells it from others), ``content`` (changes when its content does),
    ``boot`` (facts that hold until this machine restarts), ``told_by`` in words, and ``sure``: whether no write can
    have been missed: "always", or "running": as long as this machine was not restarted. With ``refusal`` it says why
    there can be no checkpoint of it. ``written``: the run itself writes to it, so only who it is can be told.
    Raises InvalidInput.
    """
    evidence = getattr(device, "evidence", None)
    told = evidence() if evidence is not None else {"who": {"url": device.url}}
    if refusal := told.get("refusal"):
        raise InvalidInput(f"no checkpoint can be kept of {device.url}: {refusal}")
    content = {} if written else dict(told.get("content", {}))
    boot = {"id": this_boot(), **told.get("boot", {})}
    if written:
        boot.pop("written", None)
    return {
        "url": device.url,
        "size": device.size,
        "who": dict(told["who"]),
        "content": content,
        "boot": boot,
        "told_by": "" if written else told.get("told_by") or NOTHING,
        "sure": "" if written else told.get("sure", ""),
    }


def list_digest(only: Iterable[Extents] | None) -> str:
    """A digest of the ranges of a list, empty without one. InvalidInput: it cannot be read twice."""
    if only is None:
        return ""
    if iter(only) is only:
        raise InvalidInput("a checkpoint needs a list of extents that can be read twice: give it as a file")
    value, held, count = SEEDS, bytearray(), 0
    for batch in only:
        count += len(batch)
        held += memoryview(batch.with_kind(0)).cast("B")
        whole = len(held) - len(held) % _BLOCK
        for at in range(0, whole, _BLOCK):  # cut on one grid, however the batches come
            value = xxh64_pair(held[at : at + _BLOCK], value)
        del held[:whole]
    value = xxh64_pair(held, value)
    return f"{count} extents, {value[0]:016x}{value[1]:016x}"


def refuse_other(name: str, then: dict[str, Any], now: dict[str, Any]) -> None:
    """InvalidInput where a checkpoint is of another job, or a device is not what it was."""
    for key in ("source", "target"):
        if key in then and key in now and then[key].keys() == now[key].keys():
            _refuse_device(name, key, then[key], now[key])
    for key in (*then, *(key for key in now if key not in then)):
        known = key in ("source", "target") and key in then and key in now and then[key].keys() == now[key].keys()
        if not known and then.get(key) != now.get(key):
            raise InvalidInput(
                f"{name} is the checkpoint of another run: {_words(key)} was {_value(then.get(key))} and is now "
                f"{_value(now.get(key))}; repeat the command as it was, or begin anew ({remove(name)})"
            )


def _refuse_device(name: str, side: str, then: dict[str, Any], now: dict[str, Any]) -> None:
    anew = f"begin anew ({remove(name)})"
    same_boot = then["boot"].get("id") == now["boot"].get("id")
    if then["who"] != now["who"] or (same_boot and then["boot"].get("number") != now["boot"].get("number")):
        what = f"{then['url']} ({_facts(then['who'])})"
        raise InvalidInput(
            f"{name} is the checkpoint of another {side}: it was {what}, and is now {now['url']} "
            f"({_facts(now['who'])}); name the devices as before, or {anew}"
        )
    if then["size"] != now["size"]:
        raise InvalidInput(
            f"{now['url']} had {then['size']} bytes when {name} was begun, and has {now['size']}: {anew}"
        )
    changed = [key for key in then["content"] if then["content"][key] != now["content"].get(key)]
    if same_boot and then["boot"].get("written") != now["boot"].get("written"):
        changed.append("count of writes")
    if changed or then["content"].keys() != now["content"].keys():
        raise InvalidInput(
            f"{now['url']} was written to since {name} was begun (its {', '.join(changed) or 'kind'} changed): "
            f"what was read before may be different now; {anew}"
        )


def refuse_unsure(name: str, job: dict[str, Any], ended: str, *, restarted: bool) -> None:
    """InvalidInput where a run that has ended would be told again, and a device may have been written to since."""
    for key in ("source", "target"):
        device = job.get(key)
        if device and device["sure"] != "always" and (restarted or device["sure"] != "running"):
            raise InvalidInput(
                f"the run of {name} has ended, at {ended}, and whether {device['url']} was written to since is not "
                f"known for sure: begin anew ({remove(name)})"
            )


def doubts(job: dict[str, Any], since: str, *, restarted: bool) -> list[str]:
    """Warnings about devices of which it is not sure that nobody wrote to them since the checkpoint."""
    found = []
    for key in ("source", "target"):
        device = job.get(key)
        if not device or not device["told_by"] or device["sure"] == "always":
            continue
        told = device["told_by"]
        if device["sure"] == "running" and not restarted:
            continue
        if device["sure"] == "running":
            why = f"this machine was restarted since, before which a write may not have moved the {told}"
        elif told == NOTHING or restarted:
            why = "whether it was written to since cannot be told"
        else:
            why = f"whether it was written to since is told by {told} only"
        found.append(f"{device['url']}: {why}; what was read before {since} was not read again")
    return found


def _facts(who: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in who.items())


def _words(key: str) -> str:
    return "the list of extents" if key == "list" else key.replace("_", " ")


def _value(value: Any) -> str:
    return "not given" if value in (None, "") else repr(value) if isinstance(value, str) else str(value)
