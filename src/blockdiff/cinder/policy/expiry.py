"""Which snapshots may be deleted, and why each one stays or goes. Pure: nothing is deleted here.

One goes only if all that is said of it agrees: it is managed, complete, its expiry date is readable and has come, and
no policy of its volume keeps it. What cannot be read stays, and is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from blockdiff.cinder.policy.evaluation import GOOD
from blockdiff.cinder.policy.model import KINDS
from blockdiff.cinder.policy.snapshot import SnapshotMetadata, instant, rfc3339
from blockdiff.cinder.policy.value import COUNT, shown
from blockdiff.errors import InvalidInput
from blockdiff.retention import KeepCount, verdict

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from blockdiff.cinder.policy.model import Policy
    from blockdiff.cinder.policy.reading import Reading
    from blockdiff.cinder.policy.snapshot import StoredSnapshot


class Verdict(NamedTuple):
    """What becomes of a snapshot: ``expired`` is true if it may be deleted; ``reason`` is in words.

    ``wrong`` is true if somebody should look at it: it failed, or what is written on it cannot be read.
    """

    id: str
    expired: bool
    reason: str
    wrong: bool = False


class _Candidate(NamedTuple):
    """A snapshot that may go, if no policy keeps it."""

    snapshot: StoredSnapshot
    metadata: SnapshotMetadata


def expire(
    snapshots: Iterable[StoredSnapshot],
    now: dt.datetime,
    volumes: Mapping[str, Reading],
    *,
    gone: Collection[str] = (),
    protected: Mapping[str, str] | None = None,
) -> list[Verdict]:
    """A verdict for each snapshot, in the order given.

    ``volumes`` has for the id of a volume what its metadata says of policies. Snapshots of a volume that is not there
    stay, as nobody knows what keeps them; of those in ``gone``, which exist no more for sure, the dates alone decide.
    ``protected`` ids stay, each with the reason. Raises InvalidInput for an id that is given twice, for a volume that
    is given and gone, and for a protected id that is not there.
    """
    gone = frozenset(gone)
    if both := sorted(gone & volumes.keys()):
        raise InvalidInput(f"the volume {both[0]!r} is said to be gone, but is given")
    every = _by_id(snapshots)
    now = instant(now)
    found: dict[str, Verdict] = {}
    series: dict[tuple[str, str], list[_Candidate]] = {}
    for one in every.values():
        judged = _judged(one, now)
        if isinstance(judged, Verdict):
            found[one.id] = judged
        else:
            series.setdefault((one.volume, judged.metadata.kind), []).append(judged)
    for (volume, kind), members in series.items():
        why = _doubt(kind, volumes.get(volume), gone=volume in gone)
        found |= _held(members, now, why) if why else _series(members, now, kind, volumes.get(volume))
    for name, why in (protected or {}).items():
        if name not in found:
            raise InvalidInput(f"{name!r} is to be protected, but is not among the snapshots")
        found[name] = Verdict(name, False, why, found[name].wrong)
    return [found[name] for name in every]


def _by_id(snapshots: Iterable[StoredSnapshot]) -> dict[str, StoredSnapshot]:
    found: dict[str, StoredSnapshot] = {}
    for one in snapshots:
        if found.setdefault(one.id, one) is not one:
            raise InvalidInput(f"the snapshot {one.id!r} is given twice")
    return found


def _judged(one: StoredSnapshot, now: dt.datetime) -> Verdict | _Candidate:
    """Why it stays whatever policies say, or what policies have to be asked about."""
    try:
        metadata = SnapshotMetadata.parse(one.metadata)
    except InvalidInput as error:
        return Verdict(one.id, False, f"what is written on it cannot be read: {error}", True)
    if not metadata.managed:
        return Verdict(one.id, False, "not managed")
    if one.status.lower() not in GOOD:
        return Verdict(one.id, False, f"its state is {one.status}: it does not count", True)
    if metadata.kind not in KINDS:
        return Verdict(one.id, False, f"its policy type {shown(metadata.kind)} is none of {', '.join(KINDS)}", True)
    if one.created > now:
        return Verdict(one.id, False, "it was created later than now: a clock is wrong", True)
    return _Candidate(one, metadata)


def _doubt(kind: str, reading: Reading | None, *, gone: bool) -> str:
    """Why nobody can say what the policy of a volume keeps; empty if it can be said."""
    if reading is None:
        return "" if gone else "its volume is not among those given: what its policy keeps is not known"
    return f"the {kind} policy of its volume cannot be read" if reading.doubtful(kind) else ""


def _held(members: Sequence[_Candidate], now: dt.datetime, why: str) -> dict[str, Verdict]:
    """All stay; those that would have to be asked about are told."""
    return {one.snapshot.id: _early(one, now) or Verdict(one.snapshot.id, False, why, True) for one in members}


def _early(one: _Candidate, now: dt.datetime) -> Verdict | None:
    """That its date has not come; None if it has, or if there is none."""
    expiry = one.metadata.expiry
    if expiry is None or now >= instant(expiry):
        return None
    return Verdict(one.snapshot.id, False, f"it expires at {rfc3339(expiry)}")


def _series(members: Sequence[_Candidate], now: dt.datetime, kind: str, reading: Reading | None) -> dict[str, Verdict]:
    """The verdicts for all snapshots of one volume and one kind of policy."""
    policy: Policy | None = getattr(reading.policies, kind) if reading else None
    kept = _kept(members, now, policy, active=reading is not None and policy in reading.policies.active)
    return {one.snapshot.id: _verdict(one, now, policy, kept) for one in members}


def _kept(
    members: Sequence[_Candidate], now: dt.datetime, policy: Policy | None, *, active: bool
) -> dict[str, verdict.Verdict]:
    """What the policy says of each: by count of the newest, else of the newest one as long as it is active."""
    if policy is None or not (active or policy.retention_type == COUNT):
        return {}
    keep = policy.keep if isinstance(policy.keep, KeepCount) else KeepCount(1)
    label = f"the {policy.kind} policy, newest {keep.count}"
    points = [verdict.Point(one.snapshot.id, one.snapshot.created) for one in members]
    said = verdict.expired(points, now, [verdict.Policy(keep, label)])
    return {one.name: one for one in said}


def _verdict(one: _Candidate, now: dt.datetime, policy: Policy | None, said: Mapping[str, verdict.Verdict]) -> Verdict:
    name, expiry = one.snapshot.id, one.metadata.expiry
    if early := _early(one, now):
        return early
    if name in said and not said[name].expired:
        return Verdict(name, False, said[name].reason)
    by_count = policy is not None and policy.retention_type == COUNT
    if expiry is None and one.metadata.retention_type != COUNT:
        return Verdict(name, False, "it has no expiry date", True)
    if expiry is None and not by_count:
        return Verdict(name, False, "it is kept by count, and no policy of its volume says how many", True)
    if expiry is None or by_count:
        return Verdict(name, True, said[name].reason)
    return Verdict(name, True, f"it expired at {rfc3339(expiry)}")
