"""``csi:`` URLs: parsed without touching anything.

csi:NAMESPACE/SNAPSHOT[?option=value&...]      a VolumeSnapshot, by way of Kubernetes, or by address, ca and token-file
csi:SNAPSHOT-ID?endpoint=unix:///run/csi.sock  a snapshot of a CSI driver, by its handle
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from blockdiff.csi.args import DEFAULT_RETRIES, DEFAULT_TIMEOUT
from blockdiff.errors import InvalidInput
from blockdiff.snapshot import Snapshot, SnapshotPair

if TYPE_CHECKING:
    from blockdiff.locator import Locator

BASES = ("base", "base-id")
NUMBERS = ("timeout", "retries", "max-results", "token-expiry")
KUBE_OPTIONS = (
    "kubeconfig",
    "context",
    "service-account",
    "driver",
    "audience",
    "token-expiry",
    "address",
    "token-file",
)
DRIVER_OPTIONS = ("endpoint", "secrets-file")
TLS_OPTIONS = ("ca", "server-name", "cert", "key")
OPTIONS = (*BASES, *KUBE_OPTIONS, *TLS_OPTIONS, *DRIVER_OPTIONS, "timeout", "retries", "max-results")
_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")


@dataclass(frozen=True)
class Service:
    """Where to ask: the options of a URL, without those that name snapshots."""

    options: dict[str, str] = field(default_factory=dict)

    def get(self, name: str) -> str:
        """An option's text, empty where it is not given."""
        return self.options.get(name, "")

    @property
    def endpoint(self) -> str:
        """The socket of a CSI driver, empty where Kubernetes' side is asked."""
        return self.get("endpoint")

    @property
    def without_cluster(self) -> bool:
        """True when everything is said that the API server would be asked for."""
        if self.get("address").startswith(("unix:", "/")):
            return True
        known = self.get("token-file") or self.get("cert")
        return bool(self.get("address") and self.get("ca") and known)

    @property
    def timeout(self) -> float:
        """Seconds of one attempt of a stream."""
        return _number("timeout", self.get("timeout"), 1, 1 << 31) if self.get("timeout") else DEFAULT_TIMEOUT

    @property
    def retries(self) -> int:
        """Attempts in a row that may bring nothing new."""
        return _number("retries", self.get("retries"), 0, 1 << 31) if self.get("retries") else DEFAULT_RETRIES

    @property
    def max_results(self) -> int:
        """Tuples of one message at most; 0: the server decides."""
        return _number("max-results", self.get("max-results") or "0", 0, 1 << 31)

    @property
    def token_expiry(self) -> int:
        """Seconds that a token is asked for; 0 is the default."""
        return _number("token-expiry", self.get("token-expiry") or "0", 0, 1 << 63)

    @property
    def service_account(self) -> tuple[str, str]:
        """Namespace (empty: the snapshot's) and name of the account whose token is sent; both empty if not given."""
        namespace, _, name = self.get("service-account").rpartition("/")
        return namespace, name


class Named(NamedTuple):
    """One URL: what it calls the snapshot, and the options that name its base."""

    text: str
    path: str
    bases: dict[str, str]
    service: Service


def parse(locator: Locator) -> Named:
    """Raises InvalidInput for what is no ``csi:`` URL."""
    path, mark, query = locator.rest.partition("?")
    options: dict[str, str] = {}
    for item in query.split("&") if mark else ():
        name, equals, value = item.partition("=")
        if name not in OPTIONS:
            raise InvalidInput(f"unknown option {name!r} in {locator.text!r}: known are {', '.join(OPTIONS)}")
        if name in options or not equals or not value:
            raise InvalidInput(f"the option {name} in {locator.text!r} must have one value")
        options[name] = _plain(value, locator.text)
    bases = {name: options.pop(name) for name in BASES if name in options}
    service, name = Service(options), _plain(path, locator.text)
    _check(locator.text, name, bases, service)
    return Named(locator.text, name, bases, service)


def _plain(value: str, text: str) -> str:
    """Without percent-encoding."""
    try:
        plain = unquote(value, errors="strict")
    except UnicodeDecodeError:
        raise InvalidInput(f"{value!r} in {text!r} is no text (UTF-8)") from None
    if "\0" in plain:
        raise InvalidInput(f"{value!r} in {text!r} holds a NUL character")
    return plain


def _check(text: str, path: str, bases: dict[str, str], service: Service) -> None:
    if service.endpoint:
        wrong = [name for name in (*KUBE_OPTIONS, "base") if name in service.options or name in bases]
        if wrong:
            raise InvalidInput(f"{text!r} asks a CSI driver: {wrong[0]} is for Kubernetes")
        if not path:
            raise InvalidInput(f"{text!r} names no snapshot: write csi:SNAPSHOT-ID?endpoint=...")
    else:
        if "secrets-file" in service.options:
            raise InvalidInput(f"{text!r}: secrets-file goes with endpoint")
        split(text, path, service)
    if len(bases) > 1:
        raise InvalidInput(f"{text!r} names two bases: give base or base-id")
    _ = service.timeout, service.retries, service.max_results, service.token_expiry  # numbers are checked now


def split(text: str, path: str, service: Service) -> tuple[str, str]:
    """Namespace and name. A server without Kubernetes may know snapshots by other names than it allows."""
    namespace, slash, name = path.partition("/")
    if not slash or not namespace or not name:
        raise InvalidInput(f"{text!r} names no snapshot: write csi:NAMESPACE/SNAPSHOT, or csi:ID?endpoint=unix:///PATH")
    if not service.without_cluster:
        for part in (namespace, name):
            if not _NAME.fullmatch(part):
                raise InvalidInput(f"{part!r} in {text!r} is no name of Kubernetes: those have a-z, 0-9, - and .")
    return namespace, name


def pair_of(base: Locator | None, target: Locator) -> tuple[Service, SnapshotPair]:
    """Whom to ask about which snapshots. InvalidInput if the URLs do not go together."""
    to = parse(target)
    if base is None:
        return to.service, SnapshotPair(_own_base(to), _snapshot(to, to.path))
    since = parse(base)
    for named in (since, to):
        if named.bases:
            raise InvalidInput(f"{named.text!r} names a base itself: leave it out, or name one snapshot only")
    service = _joined(since, to)
    if service.without_cluster and not service.endpoint:
        namespaces = [split(named.text, named.path, service)[0] for named in (since, to)]
        if namespaces[0] != namespaces[1]:
            raise InvalidInput("without Kubernetes two snapshots must be of one namespace")
    return service, SnapshotPair(_snapshot(since, since.path), _snapshot(to, to.path))


def _joined(since: Named, to: Named) -> Service:
    one, other = since.service.options, to.service.options
    for name in one.keys() & other.keys():
        if one[name] != other[name]:
            raise InvalidInput(f"{since.text!r} and {to.text!r} are of two services: {name} is not the same")
    joined = Service({**one, **other})
    if bool(since.service.endpoint) != bool(to.service.endpoint):
        raise InvalidInput(f"{since.text!r} and {to.text!r}: give the endpoint in both, or in neither")
    return joined


def _snapshot(named: Named, path: str) -> Snapshot:
    if named.service.endpoint:
        return Snapshot("", path, path)
    return Snapshot(*split(named.text, path, named.service))


def _own_base(named: Named) -> Snapshot | None:
    if "base-id" in named.bases:
        return Snapshot("", named.bases["base-id"], named.bases["base-id"])
    name = named.bases.get("base")
    if name is None:
        return None
    namespace = split(named.text, named.path, named.service)[0]
    path = name if "/" in name and not named.service.without_cluster else f"{namespace}/{name}"
    return _snapshot(named, path)


def _number(name: str, text: str, least: int, limit: int) -> int:
    if not text.isascii() or not text.isdecimal() or not least <= int(text[:20]) < limit:
        raise InvalidInput(f"{name} must be a whole number of {least} or more, and is {text!r}")
    return int(text)
