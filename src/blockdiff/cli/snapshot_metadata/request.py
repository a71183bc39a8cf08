"""From the values of flags to the arguments of the iterator."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from blockdiff.cli.snapshot_metadata.flags import default_kubeconfig
from blockdiff.errors import BackendUnavailable, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from blockdiff.csi.args import Args, Clients

HINT = "pip install 'blockdiff[csi]'"
_NAMES = {
    "snapshot": "snapshot_name",
    "previous_snapshot_id": "prev_snapshot_id",
    "previous_snapshot": "prev_snapshot_name",
    "service_account": "sa_name",
    "service_account_namespace": "sa_namespace",
    "token_expiry": "token_expiry_secs",
}
_TAKEN = (
    "namespace",
    *_NAMES,
    "starting_offset",
    "max_results",
    "address",
    "audience",
    "server_name",
    "csi_driver",
    "timeout",
)


def need_libraries() -> None:
    """Raises BackendUnavailable unless gRPC can be imported: said before anything else is done."""
    try:
        import google.protobuf  # noqa: F401 - is it there?
        import grpc  # noqa: F401 - as above
    except ImportError as error:
        raise BackendUnavailable(f"snapshot metadata cannot be asked for here: {error}", hint=HINT) from None


def make_args(values: Mapping[str, Any], **hooks: Any) -> Args:
    """The arguments, without clients, from flags by their names (with underscores); None is the default.

    ``hooks`` are further arguments, such as ``emitter``. Raises InvalidInput for files that cannot be read.
    """
    from blockdiff.csi.args import Args

    given = {_NAMES.get(name, name): _text(values[name], name) for name in _TAKEN if values.get(name) is not None}
    if values.get("ca_cert_file"):
        given["ca_cert"] = _read(values["ca_cert_file"], "the CA certificate")
    for name in ("client_cert", "client_key"):
        if values.get(f"{name}_file"):
            given[name] = _read(values[f"{name}_file"], f"the {name.replace('_', ' ')}")
    if values.get("token_file"):
        _token(values["token_file"])
        given["token"] = lambda: _token(values["token_file"])
    given["retries"] = 0 if values.get("no_resume") else values["retries"]
    return Args(**given, **hooks)


def is_delta(values: Mapping[str, Any]) -> bool:
    """True when a previous snapshot is named. InvalidInput if its name is empty, as of a variable that was never set:
    allocated blocks must not pass for what changed.
    """
    named = values["previous_snapshot_id"], values["previous_snapshot"]
    if "" in named and not any(named):
        raise InvalidInput("the previous snapshot's name is empty: leave -p and -P out to ask for allocated blocks")
    return any(named)


def _text(value: Any, name: str) -> Any:
    """The value, unless it is a text that no API takes."""
    if isinstance(value, str) and ("\0" in value or value.encode("utf-8", "replace").decode() != value):
        raise InvalidInput(f"the value of --{name.replace('_', '-')} is no text")
    return value


def needs_cluster(args: Args) -> bool:
    """True unless the address, the CA certificate, the token and the previous snapshot's handle are all known."""
    return args.needs_cluster


def kubeconfig(given: str | None, environment: Mapping[str, str]) -> str | None:
    """The kubeconfig: the given one, which must exist, that of KUBECONFIG, or ``~/.kube/config``; None: a pod's."""
    if given:
        if not os.path.exists(given):
            raise InvalidInput(f"there is no kubeconfig {given}")
        return given
    named = environment.get("KUBECONFIG", "")
    if any(os.path.exists(path) for path in named.split(os.pathsep) if path):
        return named
    if named:
        raise InvalidInput(f"there is no kubeconfig {named}, which KUBECONFIG names")
    return default_kubeconfig() if os.path.exists(default_kubeconfig()) else None


def clients(values: Mapping[str, Any], environment: Mapping[str, str]) -> Clients:
    """The clients of the API server, of what the flags and the environment say."""
    from blockdiff.csi import build_clients

    path = kubeconfig(values["kubeconfig"], environment)
    try:
        return build_clients(path, context=values["context"] or None)
    except InvalidInput as error:
        where = path or "no kubeconfig, and this is no pod"
        by_name = values.get("token_file") and values.get("previous_snapshot") and not values["previous_snapshot_id"]
        hint = "; without a cluster, name the previous snapshot by its handle (-P)" if by_name else ""
        raise type(error)(f"{where}: {error}{hint}") from None


def _read(path: str, what: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise InvalidInput(f"cannot read {what} {path}: {os.strerror(error.errno or 0)}") from error


def _token(path: str) -> str:
    text = _read(path, "the token").decode("utf-8", "surrogateescape").strip()
    if not text:
        raise InvalidInput(f"the token file {path} is empty")
    return text


def resumed(say: Callable[[str], None]) -> Callable[[Exception, int, int], None]:
    """Tells of a broken stream that is taken up again."""

    def tell(error: Exception, offset: int, attempt: int) -> None:
        if offset:
            say(f"the stream broke ({error}); going on from byte {offset:,}, attempt {attempt}")
        else:
            say(f"nothing was listed yet ({error}); trying again, attempt {attempt}")

    return tell
