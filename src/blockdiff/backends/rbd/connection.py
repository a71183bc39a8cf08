"""One connection to each cluster that a command names, configured as Ceph's own programs would be."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any

from blockdiff.backends.rbd.call import library, patiently, reason
from blockdiff.errors import InvalidInput, RemoteError

if TYPE_CHECKING:
    from blockdiff._rbd import CephError, Cluster
    from blockdiff.backends.rbd.address import RbdAddress

# Ceph's own limits are five minutes for the monitors and none for OSDs: a command would hang with no word.
MOUNT_TIMEOUT = 15
MON_TIMEOUT = 30
OSD_TIMEOUT = 60

# rbd_cache: reads must come from the cluster, and a write that is done must be done.
_SETTINGS = {"rbd_cache": "false", "err_to_stderr": "false", "log_to_stderr": "false"}

_lock = threading.Lock()
_connections: weakref.WeakValueDictionary[tuple[str, ...], Connection] = weakref.WeakValueDictionary()
_begun: dict[tuple[str, ...], Connection | BaseException] = {}


class Connection:
    """A connected cluster: ``cluster`` is the native object, ``fsid`` its identity, ``name`` the user ("client.admin").

    ``timeout`` is how many seconds a request to the OSDs may take.
    """

    def __init__(self, address: RbdAddress) -> None:
        native = library()
        arguments = _ceph_args()
        conf = address.conf or arguments.get("conf") or None
        if conf and not os.path.isfile(conf):
            raise InvalidInput(f"there is no Ceph configuration {conf}")
        cluster = address.cluster or arguments.get("cluster") or "ceph"
        self.name = f"client.{address.user}" if address.user else arguments.get("name", "client.admin")
        self.conf = conf or os.environ.get("CEPH_CONF") or f"/etc/ceph/{cluster}.conf"
        try:
            self.cluster: Cluster = native.Cluster(self.name, cluster, conf)
            self._configure(address)
        except native.CephError as error:
            hint = "" if conf or "CEPH_CONF" in os.environ else "; name another with ?conf=FILE or CEPH_CONF"
            raise InvalidInput(f"the Ceph configuration {self.conf} cannot be used: {_words(error)}{hint}") from error
        try:
            patiently(self.cluster.connect)
        except native.CephError as error:
            raise self._refused(error) from error
        self.fsid: str = self.cluster.fsid()

    def _configure(self, address: RbdAddress) -> None:
        cluster = self.cluster
        with_args = os.environ.get("CEPH_ARGS")
        if with_args:
            cluster.parse_env("CEPH_ARGS")
        if address.keyring:
            if not os.path.isfile(address.keyring):
                raise InvalidInput(f"there is no keyring {address.keyring}")
            cluster.conf_set("keyring", address.keyring)
        for key, value in _SETTINGS.items():
            cluster.conf_set(key, value)
        if float(cluster.conf_get("client_mount_timeout")) > MOUNT_TIMEOUT:
            cluster.conf_set("client_mount_timeout", str(MOUNT_TIMEOUT))
        self._limit("rados_mon_op_timeout", MON_TIMEOUT, 0)
        self.timeout = self._limit("rados_osd_op_timeout", OSD_TIMEOUT, address.timeout)

    def _limit(self, key: str, default: float, asked: float) -> float:
        """The timeout that was asked for, else the configured one, else ours: never none."""
        value = asked or float(self.cluster.conf_get(key)) or default
        value = math.ceil(value)  # librados takes whole seconds
        self.cluster.conf_set(key, str(value))
        return value

    def _refused(self, error: CephError) -> RemoteError:
        monitors = self.cluster.conf_get("mon_host") or "named nowhere"
        if error.errno == errno.ETIMEDOUT:
            waited = self.cluster.conf_get("client_mount_timeout")
            return RemoteError(f"no monitor of the cluster answered within {waited} s (mon_host {monitors})")
        if error.errno in (errno.EACCES, errno.EPERM):
            keyring = self.cluster.conf_get("keyring")
            return RemoteError(f"the cluster refused {self.name}: unknown there, or a wrong key in {keyring}")
        if error.errno == errno.ENOENT:
            return RemoteError(
                f"no key for {self.name} in {self.cluster.conf_get('keyring')}, or no mon_host in {self.conf}: "
                "name the user with ?id= and the file with ?keyring="
            )
        return RemoteError(f"cannot connect to the cluster of {self.conf} (mon_host {monitors}): {_words(error)}")

    def default_pool(self) -> str:
        """The pool of URLs that name none."""
        return self.cluster.conf_get("rbd_default_pool") or "rbd"

    def health(self) -> list[str]:
        """The names of the cluster's health checks that are raised now, such as OSD_FULL; empty if it does not say."""
        import json

        native = library()
        with contextlib.suppress(native.CephError, ValueError):
            answer = self.cluster.mon_command(b'{"prefix": "health", "format": "json"}')
            return sorted(json.loads(answer).get("checks", {}))
        return []

    def explain(self, code: int) -> str:
        """What an errno means here; empty where the system's words are right."""
        text = reason(code)
        if code in (errno.ETIMEDOUT, errno.ENOSPC):
            text += f" ({self.timeout:g} s)" if code == errno.ETIMEDOUT else ""
            checks = self.health()
            text += f"; the cluster says: {', '.join(checks)}" if checks else ""
        return text


def connect(address: RbdAddress) -> Connection:
    """A connection to the cluster of this address, shared by all who name it alike.

    Raises InvalidInput (configuration), BackendUnavailable (no librbd), RemoteError (no answer, or refused).
    """
    key = _key(address)
    with _lock:
        begun = _begun.pop(key, None)
        if isinstance(begun, BaseException):
            raise begun
        found = begun or _connections.get(key)
        if found is None:
            found = _connections[key] = Connection(address)
        return found


def begin(address: RbdAddress) -> None:
    """Connects behind the caller's back, who has modules to load; ``connect`` waits for it, and says how it ended."""
    key = _key(address)
    if not _lock.acquire(blocking=False):
        return
    if key in _connections or key in _begun:
        _lock.release()
        return

    def run() -> None:
        try:
            _begun[key] = _connections[key] = Connection(address)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that connects, which raises it
            _begun[key] = error
        finally:
            _lock.release()

    threading.Thread(target=run, name="rbd-connect", daemon=True).start()


def _key(address: RbdAddress) -> tuple[str, ...]:
    environment = (os.environ.get("CEPH_CONF", ""), os.environ.get("CEPH_ARGS", ""))
    return (address.conf, address.user, address.keyring, address.cluster, str(address.timeout), *environment)


def _ceph_args() -> dict[str, str]:
    """What CEPH_ARGS says about who and where: librados itself reads only the rest of it."""
    text = os.environ.get("CEPH_ARGS", "")
    if not text:
        return {}
    import shlex

    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InvalidInput(f"CEPH_ARGS cannot be understood: {error}") from error
    known = {"--id": "id", "--user": "id", "--name": "name", "-n": "name", "--conf": "conf", "-c": "conf"}
    known["--cluster"] = "cluster"
    found: dict[str, Any] = {}
    for index, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option in known:
            found[known[option]] = value if equals else "".join(words[index + 1 : index + 2])
    if "id" in found:
        found["name"] = f"client.{found['id']}"
    return found


def _words(error: CephError) -> str:
    return os.strerror(error.errno)
