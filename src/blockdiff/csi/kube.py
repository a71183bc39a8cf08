"""The Kubernetes API as the iterator needs it: five requests, each with a deadline, each error told clearly."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from blockdiff.csi.args import Clients
from blockdiff.csi.errors import ApiError, ConfigError, LookupFailed, shown
from blockdiff.errors import BackendUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

SNAPSHOTS = ("snapshot.storage.k8s.io", "v1")
SERVICES = ("cbt.storage.k8s.io", "v1beta1")
HINT = "pip install 'blockdiff[csi]'"


class Token(NamedTuple):
    """A token and the time (of ``time.time()``) at which it expires."""

    text: str
    expires: float


class KubeApi:
    """The requests of the iterator; ``timeout`` (seconds) bounds each. Errors are ApiError."""

    def __init__(self, clients: Clients, timeout: float = 30.0) -> None:
        self._clients, self._timeout = clients, timeout
        self._uids: dict[tuple[str, str], object] = {}

    def user_name(self) -> str:
        """Who the API server takes us for: a SelfSubjectReview."""
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        custom = _custom(self._clients.kube_client)
        answer = self._ask(
            "SelfSubjectReviews.Create()",
            lambda **rest: custom.create_cluster_custom_object(
                "authentication.k8s.io", "v1", "selfsubjectreviews", body, **rest
            ),
        )
        return str(part(part(answer, "status"), "userInfo").get("username") or "")

    def create_token(self, namespace: str, name: str, audience: str, seconds: int) -> Token:
        """A token of a service account for an audience: a TokenRequest."""
        from kubernetes import client

        spec = client.V1TokenRequestSpec(audiences=[audience], expiration_seconds=seconds)
        body = client.AuthenticationV1TokenRequest(spec=spec)
        core = client.CoreV1Api(_api_client(self._clients.kube_client))
        request = f"ServiceAccounts.CreateToken({namespace}/{name})"
        answer = self._ask(
            request, lambda **rest: core.create_namespaced_service_account_token(name, namespace, body, **rest)
        )
        status = answer.status
        if status is None or not status.token:
            raise ApiError(request, "the API server's answer has no token", 200)
        until = status.expiration_timestamp
        return Token(status.token, until.timestamp() if until else time.time() + seconds)

    def volume_snapshot(self, namespace: str, name: str) -> dict[str, Any]:
        """A VolumeSnapshot; LookupFailed if it is another one than before, which has got the name."""
        custom = _custom(self._clients.snapshot_client)
        found = self._object(
            f"VolumeSnapshots.Get({namespace}/{name})",
            lambda **rest: custom.get_namespaced_custom_object(*SNAPSHOTS, namespace, "volumesnapshots", name, **rest),
            f"volumesnapshots.{SNAPSHOTS[0]} {name}",
        )
        uid = part(found, "metadata").get("uid")
        if self._uids.setdefault((namespace, name), uid) != uid:
            raise LookupFailed(f"VolumeSnapshot({namespace}/{name}) was replaced by another one of that name")
        return found

    def check_same(self, namespace: str, name: str) -> None:
        """Asks for a VolumeSnapshot again, if it was asked for before: it must be the same one."""
        if (namespace, name) in self._uids:
            self.volume_snapshot(namespace, name)

    def content(self, name: str, request: str) -> dict[str, Any]:
        """A VolumeSnapshotContent; ``request`` is what errors call it."""
        custom = _custom(self._clients.snapshot_client)
        return self._object(
            request,
            lambda **rest: custom.get_cluster_custom_object(*SNAPSHOTS, "volumesnapshotcontents", name, **rest),
            f"volumesnapshotcontents.{SNAPSHOTS[0]} {name}",
        )

    def service(self, driver: str) -> dict[str, Any]:
        """The SnapshotMetadataService of a CSI driver."""
        custom = _custom(self._clients.sms_cr_client)
        return self._object(
            f"SnapshotMetadataServices.Get({driver})",
            lambda **rest: custom.get_cluster_custom_object(*SERVICES, "snapshotmetadataservices", driver, **rest),
            f"snapshotmetadataservices.{SERVICES[0]} {driver}",
        )

    def _object(self, request: str, call: Callable[..., Any], what: str) -> dict[str, Any]:
        answer = self._ask(request, call, what)
        if not isinstance(answer, dict):
            raise ApiError(request, "the API server's answer is no object", 200)
        return answer

    def _ask(self, request: str, call: Callable[..., Any], what: str = "") -> Any:
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        try:
            return call(_request_timeout=self._timeout)
        except ApiException as error:
            raise ApiError(request, shown(refusal(error, what)), error.status or 0) from None
        except (HTTPError, OSError) as error:
            raise ApiError(request, f"cannot reach the API server: {reason_of(error)}") from None
        except (ValueError, TypeError) as error:  # what the client makes of an answer that is none
            first = str(error).partition("\n")[0]
            raise ApiError(request, f"the API server's answer cannot be understood: {first}", 200) from None


def refusal(error: Any, what: str = "") -> str:
    """The message of a Status; of an answer that is none, what the original says, and what that means."""
    body = error.body.decode(errors="replace") if isinstance(error.body, bytes) else str(error.body or "")
    try:
        message = json.loads(body).get("message")
    except (ValueError, AttributeError):
        message = None
    if message:
        return str(message)
    if error.status == 404:
        known = f" (get {what})" if what else ""
        return f"the server could not find the requested resource{known}: is its CRD installed, in this version?"
    text = body.strip().partition("\n")[0][:200] or str(error.reason or "").replace("\n", ": ")
    return f"{text or 'no reason given'} (HTTP {error.status})" if error.status else text


def reason_of(error: BaseException) -> str:
    """The innermost reason of an urllib3 error, without addresses of Python objects."""
    inner: Any = error
    while isinstance(getattr(inner, "reason", None), BaseException):
        inner = inner.reason
    text = str(inner) or type(inner).__name__
    return text.rpartition("object at 0x")[2].partition(": ")[2] if "object at 0x" in text else text


def part(value: Any, name: str) -> dict[str, Any]:
    """A field that holds fields; empty where it is missing or null."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def build_clients(config: Any = None, *, context: str | None = None) -> Clients:
    """The three clients. ``config`` is the path of a kubeconfig, a kubernetes.client.Configuration or ApiClient, or
    None for what a pod has (in-cluster).

    Raises ConfigError, and BackendUnavailable if the kubernetes package is not installed.
    """
    try:
        api = api_client(config, context=context)
    except ConfigError as error:
        raise ConfigError(f"kubernetes.NewForConfig: {error.reason}") from None
    return Clients(api, api, api)


def api_client(config: Any = None, *, context: str | None = None) -> Any:
    """One ApiClient of what ``build_clients`` takes."""
    try:
        from kubernetes import client
    except ImportError as error:
        raise BackendUnavailable(f"the kubernetes package cannot be used ({error})", hint=HINT) from None
    if isinstance(config, client.ApiClient):
        return config
    if config is None or isinstance(config, (str, os.PathLike)):
        config = load_config(config, context=context)
    if not isinstance(config, client.Configuration):
        raise ConfigError(f"{type(config).__name__} is no configuration of a Kubernetes client")
    return client.ApiClient(config)


def load_config(path: str | os.PathLike[str] | None, *, context: str | None = None) -> Any:
    """A kubernetes.client.Configuration of a kubeconfig, or of the pod where ``path`` is None. Raises ConfigError."""
    from kubernetes import client, config

    made: Any = client.Configuration()
    if path is not None and os.pathsep not in os.fspath(path) and not os.path.exists(path):
        raise ConfigError(f"stat {os.fspath(path)}: no such file or directory")
    made.retries = False  # a slow or dead server is told at once; waiting four times helps nobody
    try:
        if path is None:
            config.load_incluster_config(client_configuration=made)
        else:
            config.load_kube_config(os.fspath(path), context=context, client_configuration=made, persist_config=False)
    except Exception as error:  # noqa: BLE001  # the loader raises its own, yaml's, and KeyError, TypeError, ... on odd files
        raise ConfigError(_config_reason(error, path)) from None
    return made


def _config_reason(error: Exception, path: object) -> str:
    if path is None:
        return f"unable to load in-cluster configuration: {error}"
    text = str(error).partition("\n")[0] or type(error).__name__
    return text if type(error).__module__.startswith("kubernetes") else f"{type(error).__name__}: {text}"


def _api_client(given: Any) -> Any:
    """The ApiClient of what stands in ``Clients``."""
    return getattr(given, "api_client", given)


def _custom(given: Any) -> Any:
    from kubernetes import client

    return client.CustomObjectsApi(_api_client(given))
