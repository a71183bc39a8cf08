"""Names of secrets, from the parameters of a class."""

import pytest

from blockdiff.csi.sidecar.secret import NAME_KEY, NAMESPACE_KEY, secret_of
from blockdiff.errors import InvalidInput


def resolve(name=None, namespace=None):
    parameters = {NAME_KEY: name, NAMESPACE_KEY: namespace, "pool": "x"}
    return secret_of(
        {key: value for key, value in parameters.items() if value is not None},
        content="snapcontent-1",
        namespace="app",
        snapshot="monday",
    )


@pytest.mark.parametrize(
    ("name", "namespace", "wanted"),
    [
        ("key", "vault", ("vault", "key")),
        ("${volumesnapshot.name}-key", "${volumesnapshot.namespace}", ("app", "monday-key")),
        ("a.${volumesnapshotcontent.name}.b", "${volumesnapshotcontent.name}", ("snapcontent-1", "a.snapcontent-1.b")),
        ("${volumesnapshot.namespace}.${volumesnapshot.name}", "vault", ("vault", "app.monday")),
    ],
)
def test_resolved(name, namespace, wanted):
    assert tuple(resolve(name, namespace)) == wanted


def test_none():
    assert resolve() is None


@pytest.mark.parametrize(
    ("name", "namespace", "text"),
    [
        ("key", None, "go together"),
        (None, "vault", "go together"),
        ("", "vault", "empty"),
        ("key", "", "empty"),
        ("${pvc.name}", "vault", "refers to"),
        ("key", "${volumesnapshot.name}", "refers to"),
        ("key", "Vault", "no name of a namespace"),
        ("key", "a/b", "no name of a namespace"),
        ("../x", "vault", "no name of a secret"),
        ("$$", "vault", "no name of a secret"),
        ("${", "vault", "no name of a secret"),
        ("k" * 254, "vault", "no name of a secret"),
        ("key", "v" * 64, "no name of a namespace"),
        ("key\n", "vault", "no name of a secret"),
    ],
)
def test_refused(name, namespace, text):
    with pytest.raises(InvalidInput, match=text):
        resolve(name, namespace)
