"""Rules about arguments that are missing or name nothing, and about the plugin itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from blockdiff.csi import rpc
from blockdiff.csi._pb import csi
from blockdiff.testing.csi.judge import judges
from blockdiff.testing.csi.result import Broken
from blockdiff.testing.csi.side import NO_SUCH

if TYPE_CHECKING:
    from blockdiff.testing.csi.answer import Answer
    from blockdiff.testing.csi.subject import Subject

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,61}[A-Za-z0-9])?")
_SERVICE = 4  # SNAPSHOT_METADATA_SERVICE


def _wants(answer: Answer, *codes: str) -> str:
    if answer.code not in codes or answer.messages:
        raise Broken(answer.end)
    return answer.end


def _some_base(subject: Subject) -> str:
    return subject.base or subject.handle or NO_SUCH


@judges("missing-snapshot")
def missing_snapshot(subject: Subject) -> str:
    """An empty string is no snapshot."""
    return _wants(subject.allocated(snapshot=""), "INVALID_ARGUMENT")


@judges("missing-base")
def missing_base(subject: Subject) -> str:
    """An empty string is no base, and is not "from the beginning"."""
    return _wants(subject.delta(base=""), "INVALID_ARGUMENT")


@judges("missing-target")
def missing_target(subject: Subject) -> str:
    """An empty string is no target, and is not "now"."""
    return _wants(subject.delta(base=_some_base(subject), snapshot=""), "INVALID_ARGUMENT")


def _not_found(subject: Subject, answer: Answer) -> str:
    # what a sidecar says of VolumeSnapshots that it cannot get is not written anywhere; the original: UNAVAILABLE
    codes = ("NOT_FOUND",) if subject.side.name == "csi" else ("NOT_FOUND", "UNAVAILABLE")
    return _wants(answer, *codes)


@judges("unknown-snapshot")
def unknown_snapshot(subject: Subject) -> str:
    """A name that nobody has."""
    return _not_found(subject, subject.allocated(snapshot=NO_SUCH))


@judges("unknown-base")
def unknown_base(subject: Subject) -> str:
    """A handle that nobody has."""
    return _wants(subject.delta(base=NO_SUCH), "NOT_FOUND")


@judges("unknown-target")
def unknown_target(subject: Subject) -> str:
    """A name that nobody has."""
    return _not_found(subject, subject.delta(base=_some_base(subject), snapshot=NO_SUCH))


@judges("missing-namespace")
def missing_namespace(subject: Subject) -> str:
    """Not "default"."""
    return _wants(subject.allocated(namespace=""), "INVALID_ARGUMENT")


@judges("missing-token")
def missing_token(subject: Subject) -> str:
    """Nobody gets in without."""
    return _wants(subject.allocated(security_token=""), "INVALID_ARGUMENT", "UNAUTHENTICATED")


@judges("wrong-token")
def wrong_token(subject: Subject) -> str:
    """Nobody gets in with another one."""
    return _wants(subject.allocated(security_token="no-token-of-this-cluster"), "UNAUTHENTICATED")  # noqa: S106


@judges("other-namespace")
def other_namespace(subject: Subject) -> str:
    """The right to read one namespace is none to read another, and a name means nothing without it."""
    answer = subject.allocated(namespace=NO_SUCH)
    if answer.ok or answer.messages:
        raise Broken(answer.end)
    return answer.end


def _ask(subject: Subject, method: rpc.Method, request: Any) -> Any:
    import grpc

    try:
        return method.call(subject.side.channel)(request, timeout=subject.timeout)
    except grpc.RpcError as error:
        raise Broken(f"{method.name}: {error.code().name} ({error.details()})") from None


@judges("identity-info")
def identity_info(subject: Subject) -> str:
    """63 characters at most, and no others than in the name of a host."""
    answer = _ask(subject, rpc.PLUGIN_INFO, csi.GetPluginInfoRequest())
    if not _NAME.fullmatch(answer.name):
        raise Broken(f"the name {answer.name!r}")
    return f"{answer.name}, version {answer.vendor_version or 'not told'}"


@judges("identity-capability")
def identity_capability(subject: Subject) -> str:
    """The sidecar does not start without."""
    answer = _ask(subject, rpc.PLUGIN_CAPABILITIES, csi.GetPluginCapabilitiesRequest())
    found = sorted(one.service.type for one in answer.capabilities if one.HasField("service"))
    if _SERVICE not in found:
        raise Broken(f"services {found}, not {_SERVICE}")
    return f"services {found}"


@judges("identity-probe")
def identity_probe(subject: Subject) -> str:
    """Ready where it does not say."""
    answer = _ask(subject, rpc.PROBE, csi.ProbeRequest())
    if answer.HasField("ready") and not answer.ready.value:
        raise Broken("not ready")
    return "ready"
