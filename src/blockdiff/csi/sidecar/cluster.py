"""The API server: the few requests that the sidecar makes, limited in number and in time."""

from __future__ import annotations

import base64
import binascii
import json
import threading
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import quote, urlencode

from blockdiff.csi.errors import ConfigError
from blockdiff.csi.kube import load_config
from blockdiff.csi.sidecar.limiter import Limiter
from blockdiff.errors import BackendUnavailable, InvalidInput, RemoteError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SNAPSHOTS = "/apis/snapshot.storage.k8s.io/v1"
SERVICES = "/apis/cbt.storage.k8s.io/v1beta1/snapshotmetadataservices"
PATIENCE = 30.0  # seconds for one request
PAGE = 500  # objects of a list in one answer


class ClusterError(RemoteError):
    """The API server refused or did not answer. ``status`` is the HTTP status, 0 without an answer."""

    status = 0

    @property
    def permanent(self) -> bool:
        """True when asking again does not help."""
        return 400 <= self.status < 500 and self.status not in (408, 409, 410, 429)


class Caller(Protocol):
    """Who waits for an answer: ``remaining`` seconds, and no longer once ``cancelled`` is set."""

    @property
    def remaining(self) -> float:
        """Seconds that are left."""

    @property
    def cancelled(self) -> threading.Event:
        """Set when nobody waits any more."""


class Patience(NamedTuple):
    """A caller that waits ``remaining`` seconds, whatever happens."""

    remaining: float
    cancelled: threading.Event


class Cluster:
    """Requests to the API server of a kubeconfig, or of the cluster that this runs in.

    Each group of the API has a limit of its own, ``qps`` a second and ``burst`` at once. Raises ClusterError.
    """

    def __init__(self, kubeconfig: str = "", *, qps: float = 5.0, burst: int = 10) -> None:
        self._client = _client(kubeconfig)
        self._limits: dict[str, Limiter] = {}
        self._lock = threading.Lock()
        self._qps, self._burst = qps, burst

    def review_token(self, token: str, audience: str, caller: Caller) -> dict[str, Any]:
        """The status of a TokenReview."""
        spec = {"token": token, "audiences": [audience]}
        return self._create("/apis/authentication.k8s.io/v1/tokenreviews", "TokenReview", spec, caller)

    def review_access(self, user: dict[str, Any], namespace: str, caller: Caller) -> dict[str, Any]:
        """The status of a SubjectAccessReview: may the user get VolumeSnapshots of the namespace."""
        spec: dict[str, Any] = {
            "user": user.get("username") or "",
            "uid": user.get("uid") or "",
            "groups": user.get("groups") or [],
            "extra": user.get("extra") or {},
            "resourceAttributes": {
                "group": "snapshot.storage.k8s.io",
                "version": "v1",
                "resource": "volumesnapshots",
                "verb": "get",
                "namespace": namespace,
            },
        }
        return self._create("/apis/authorization.k8s.io/v1/subjectaccessreviews", "SubjectAccessReview", spec, caller)

    def service(self, driver: str, caller: Caller) -> dict[str, Any]:
        """The SnapshotMetadataService of a driver."""
        return self._get(f"{SERVICES}/{_segment(driver)}", caller)

    def snapshot(self, namespace: str, name: str, caller: Caller) -> dict[str, Any]:
        """A VolumeSnapshot."""
        return self._get(f"{SNAPSHOTS}/namespaces/{_segment(namespace)}/volumesnapshots/{_segment(name)}", caller)

    def content(self, name: str, caller: Caller) -> dict[str, Any]:
        """A VolumeSnapshotContent."""
        return self._get(f"{SNAPSHOTS}/volumesnapshotcontents/{_segment(name)}", caller)

    def contents(self, caller: Caller, page: int = PAGE) -> Iterator[dict[str, Any]]:
        """All VolumeSnapshotContents, asked for in pages."""
        return self._list(f"{SNAPSHOTS}/volumesnapshotcontents", caller, page)

    def snapshot_class(self, name: str, caller: Caller) -> dict[str, Any]:
        """A VolumeSnapshotClass."""
        return self._get(f"{SNAPSHOTS}/volumesnapshotclasses/{_segment(name)}", caller)

    def snapshot_classes(self, caller: Caller) -> list[dict[str, Any]]:
        """All VolumeSnapshotClasses."""
        return list(self._list(f"{SNAPSHOTS}/volumesnapshotclasses", caller, PAGE))

    def secret(self, namespace: str, name: str, caller: Caller) -> dict[str, str]:
        """The data of a Secret, decoded."""
        found = self._get(f"/api/v1/namespaces/{_segment(namespace)}/secrets/{_segment(name)}", caller)
        try:
            return {
                key: base64.b64decode(value, validate=True).decode() for key, value in (found.get("data") or {}).items()
            }
        except (binascii.Error, UnicodeDecodeError):  # which say a part of it
            raise ClusterError(f"secret {namespace}/{name} holds no text", status=422) from None

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def _create(self, path: str, kind: str, spec: dict[str, Any], caller: Caller) -> dict[str, Any]:
        group = path.removeprefix("/apis/").rsplit("/", 1)[0]
        body = {"apiVersion": group, "kind": kind, "metadata": {}, "spec": spec}
        return dict(part(self._ask("POST", path, caller, body=body), "status"))

    def _get(self, path: str, caller: Caller) -> dict[str, Any]:
        return self._ask("GET", path, caller)

    def _list(self, path: str, caller: Caller, page: int) -> Iterator[dict[str, Any]]:
        token = ""
        while True:
            query = [("limit", str(page)), *([("continue", token)] if token else [])]
            answer = self._ask("GET", path, caller, query=query)
            yield from answer.get("items") or []
            token = (answer.get("metadata") or {}).get("continue") or ""
            if not token:
                return

    def _ask(
        self, method: str, path: str, caller: Caller, *, body: Any = None, query: list[tuple[str, str]] | None = None
    ) -> dict[str, Any]:
        from urllib3.exceptions import HTTPError

        if not self._limit(path).wait(caller.remaining, caller.cancelled):
            if caller.cancelled.is_set():
                raise ClusterError("nobody waits for the answer any more")
            raise ClusterError("too many requests to the API server: raise --kube-api-qps and --kube-api-burst")
        try:
            response = self._send(method, path + (f"?{urlencode(query)}" if query else ""), body, caller.remaining)
        except (HTTPError, OSError) as error:
            raise ClusterError(f"{method} {path}: {_cause(error)}") from None
        if response.status >= 300:
            raise ClusterError(_message(response.status, response.data), status=response.status)
        try:
            answer = json.loads(response.data)
        except ValueError as error:
            raise ClusterError(f"{method} {path}: the answer is no JSON: {error}") from None
        if not isinstance(answer, dict):
            raise ClusterError(f"{method} {path}: the answer is no object")
        return answer

    def _send(self, method: str, path: str, body: Any, remaining: float) -> Any:
        """The client's connections and credentials; its own methods differ from version to version."""
        import urllib3

        headers = {"Accept": "application/json", "Content-Type": "application/json", "User-Agent": "blockdiff"}
        for setting in self._client.configuration.auth_settings().values():
            if setting.get("value"):
                headers[setting["key"]] = setting["value"]
        return self._client.rest_client.pool_manager.request(
            method,
            self._client.configuration.host.rstrip("/") + path,
            body=None if body is None else json.dumps(body),
            headers=headers,
            timeout=urllib3.Timeout(total=max(min(remaining, PATIENCE), 0.01)),
            retries=urllib3.Retry(1, redirect=False, status=0, allowed_methods=None),  # an old connection may be dead
        )

    def _limit(self, path: str) -> Limiter:
        """As client-go, which has one client for each of these groups."""
        group = next((g for g in ("snapshot.storage.k8s.io", "cbt.storage.k8s.io") if f"/{g}/" in path), "")
        with self._lock:
            return self._limits.setdefault(group, Limiter(self._qps, self._burst))


def part(value: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """An object inside an object; empty where one is missing, or is something else."""
    for key in keys:
        inner = value.get(key)
        value = inner if isinstance(inner, dict) else {}
    return value


def _client(kubeconfig: str) -> Any:
    try:
        import kubernetes
    except ImportError as error:
        raise BackendUnavailable(
            f"this needs the kubernetes client: {error}", hint="pip install 'blockdiff[csi]'"
        ) from None
    try:
        configuration = load_config(kubeconfig or None)
    except ConfigError as error:
        where = f"kubeconfig {kubeconfig}" if kubeconfig else "the configuration of this cluster"
        raise InvalidInput(f"cannot load {where}: {error.reason}") from None
    configuration.connection_pool_maxsize = 64
    return kubernetes.client.ApiClient(configuration)


def _segment(name: str) -> str:
    """A name as one part of a path: what is no name of an object cannot lead elsewhere."""
    # what is quoted here may be taken for a separator by who stands between us and the API server
    if name in ("", ".", "..") or "/" in name or "%" in name:
        raise ClusterError(f"{name!r} is no name of an object", status=404)
    return quote(name, safe="")


def _message(status: int, body: bytes) -> str:
    """What the API server says, without what surrounds it."""
    try:
        found = json.loads(body)["message"]
    except (ValueError, KeyError, TypeError):
        found = ""
    if found:
        return str(found)
    return "the server could not find the requested resource" if status == 404 else f"HTTP status {status}"


def _cause(error: BaseException) -> str:
    """The reason at the bottom of what urllib3 raises."""
    reason = getattr(error, "reason", None)
    return str(reason if isinstance(reason, BaseException) else error)
