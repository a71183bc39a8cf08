"""Without Kubernetes: tokens of a file, names in certificates, and handles that keep namespaces apart."""

import logging
import subprocess
import sys

import grpc
import pytest

from blockdiff.csi.errors import StatusError
from blockdiff.csi.server.tls import ServerTls
from blockdiff.csi.sidecar.grants import Grants
from blockdiff.csi.sidecar.plaingate import PlainGate
from blockdiff.errors import InvalidInput
from tests.fixtures.sidecar import Client, refused, tuples
from tests.fixtures.tls import Authority

TOKEN, OTHER = "0123456789abcdef", "fedcba9876543210"
DENIED = (
    "PERMISSION_DENIED",
    "user does not have permissions to perform the operation: the namespace 'x' was not granted",
)


@pytest.fixture
def grants(tmp_path):
    """Writes a file of grants, as a careful administrator does."""

    def write(text, mode=0o600, name="tokens", secret=True):
        path = tmp_path / name
        new = tmp_path / "new"
        new.write_text(text)
        new.chmod(mode)
        new.replace(path)
        return Grants(str(path), secret=secret)

    return write


class TestGrants:
    def test_what_a_file_grants(self, grants):
        found = grants(f"# who\n\n{TOKEN} app web # backup of both\n  {OTHER}\t*\n")
        assert found.namespaces(TOKEN) == {"app", "web"}
        assert found.namespaces(OTHER) == {"*"}
        for wrong in ("", "#", TOKEN[:-1], TOKEN + "0", "app", "\udcff"):
            assert found.namespaces(wrong) is None

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("", "nothing"),
            ("# only words\n", "nothing"),
            ("0123456789abcdef\n", "line 1: no namespace"),
            ("short app\n", "line 1: a token has 16"),
            ("\n0123456789abcdef a\n0123456789abcdef b\n", "line 3: the same name again"),
            ("x" * (1 << 20) + "y", "larger"),
        ],
        ids=["empty", "comments", "no namespace", "short", "twice", "large"],
    )
    def test_what_is_refused(self, grants, text, why):
        with pytest.raises(InvalidInput, match=why) as caught:
            grants(text)
        assert TOKEN not in str(caught.value)

    def test_no_text(self, tmp_path):
        path = tmp_path / "tokens"
        path.write_bytes(b"\xff\xfe\n")
        path.chmod(0o600)
        with pytest.raises(InvalidInput, match="no text"):
            Grants(str(path), secret=True)
        with pytest.raises(InvalidInput, match="cannot read"):
            Grants(str(tmp_path / "none"), secret=True)

    @pytest.mark.parametrize("mode", [0o604, 0o644, 0o620, 0o666, 0o601])
    def test_tokens_must_not_be_for_others(self, grants, mode):
        with pytest.raises(InvalidInput, match=f"has the mode {mode:04o}"):
            grants(f"{TOKEN} app\n", mode)

    @pytest.mark.parametrize("mode", [0o600, 0o400, 0o440, 0o640])
    def test_modes_that_will_do(self, grants, mode):
        assert grants(f"{TOKEN} app\n", mode).namespaces(TOKEN) == {"app"}

    def test_names_of_certificates_are_no_secret(self, grants):
        found = grants("backup.example app\n", 0o644, secret=False)
        assert found.namespaces("backup.example") == {"app"}
        with pytest.raises(InvalidInput, match="everybody"):
            grants("backup.example app\n", 0o646, secret=False)

    def test_a_changed_file_counts_at_once(self, grants, caplog):
        found = grants(f"{TOKEN} app\n")
        grants(f"{OTHER} app web\n")
        assert (found.namespaces(TOKEN), found.namespaces(OTHER)) == (None, {"app", "web"})

    def test_a_broken_file_changes_nothing(self, grants, tmp_path, caplog):
        found = grants(f"{TOKEN} app\n")
        path = tmp_path / "tokens"
        path.write_text("short x\n")
        assert found.namespaces(TOKEN) == {"app"}
        assert "stays as it was" in caplog.text
        path.unlink()
        assert found.namespaces(TOKEN) == {"app"}
        grants(f"{TOKEN} web\n")
        assert found.namespaces(TOKEN) == {"web"}


class TestHandles:
    @pytest.mark.parametrize(
        "template", ["", "x", "{name}{name}", "{namespace}{name}", "{name}/{namespace}", "{other}/{name}", "{0}"]
    )
    def test_templates_that_are_refused(self, template):
        with pytest.raises(InvalidInput, match="no template"):
            PlainGate(handle=template)

    def test_a_name_is_a_handle(self):
        gate = PlainGate()
        assert gate.target("app", "pool/img@1", "d", None).handle == "pool/img@1"
        gate.check_base("anything", "app", None, None, "d", None)

    def test_namespaces_are_kept_apart(self):
        gate = PlainGate(handle="tenants/{namespace}/{name}.img")
        assert gate.target("app", "day/monday", "d", None).handle == "tenants/app/day/monday.img"
        gate.check_base("tenants/app/sunday.img", "app", None, None, "d", None)
        for base in ("tenants/web/sunday.img", "sunday", "tenants/app/.img", "tenants/application/x.img", ""):
            with pytest.raises(StatusError, match="NOT_FOUND"):
                gate.check_base(base, "app", None, None, "d", None)
        with pytest.raises(StatusError, match="INVALID_ARGUMENT"):
            gate.check_base("tenants/app/../web/x.img", "app", None, None, "d", None)
        for namespace, name in (("..", "x"), ("a/b", "x"), ("app", "../web/x"), ("app", "/x"), ("app", "a\0b")):
            with pytest.raises(StatusError, match="INVALID_ARGUMENT"):
                gate.target(namespace, name, "d", None)


class TestServer:
    def test_tokens(self, sidecar, grants, driver):
        client = sidecar(gate=PlainGate(tokens=grants(f"{TOKEN} app\n{OTHER} *\n"))).client
        assert tuples(client.allocated("a/b@c", token=TOKEN))
        assert driver.requests[0].snapshot_id == "a/b@c"
        assert refused(client.delta(token=TOKEN, namespace="x")) == DENIED
        assert tuples(client.delta(token=OTHER, namespace="x"))
        assert refused(client.allocated(token="wrong")) == ("UNAUTHENTICATED", "unauthenticated user")
        assert refused(client.allocated(token="")) == ("INVALID_ARGUMENT", "securityToken is missing")

    def test_certificates(self, sidecar, grants, files, driver, tmp_path):
        authority = Authority(tmp_path / "clients")
        gate = PlainGate(clients=grants("backup.example app\nadmin.example *\n", 0o644, secret=False))
        started = sidecar(gate=gate, tls=ServerTls(str(files.cert), str(files.key), str(authority.path)), wait=True)

        def client(name):
            issued = authority.issue(name, name=name)
            credentials = grpc.ssl_channel_credentials(files.ca_pem, issued.key.read_bytes(), issued.cert.read_bytes())
            options = [("grpc.use_local_subchannel_pool", 1)]
            return Client(grpc.secure_channel(f"localhost:{started.server.listener.port}", credentials, options), "")

        backup, admin, stranger = client("backup.example"), client("admin.example"), client("stranger.example")
        assert tuples(backup.allocated())
        assert refused(backup.allocated(namespace="x")) == DENIED
        assert tuples(admin.allocated(namespace="x"))
        assert refused(stranger.allocated()) == ("UNAUTHENTICATED", "unauthenticated user")
        assert refused(started.client.allocated(timeout=5))[0] == "UNAVAILABLE"
        for one in (backup, admin, stranger):
            one.channel.close()

    def test_tokens_do_not_reach_the_log(self, sidecar, grants, caplog):
        caplog.set_level(logging.DEBUG)
        client = sidecar(gate=PlainGate(tokens=grants(f"{TOKEN} app\n"))).client
        assert tuples(client.allocated(token=TOKEN))
        assert refused(client.allocated(token=OTHER))[0] == "UNAUTHENTICATED"
        assert TOKEN not in caplog.text
        assert OTHER not in caplog.text


def test_no_kubernetes_is_imported():
    code = """
import sys
sys.modules["kubernetes"] = None
import blockdiff.cli.serve.building as building
from blockdiff.cli.main import cli
import click
command = cli.get_command(click.Context(cli), "serve").get_command(click.Context(cli), "snapshot-metadata")
words = ["-plain", "-address=unix:///tmp/x.sock", "-http-endpoint=", "-csi-address=/nowhere"]
context = command.make_context("x", words)
building.build(context.params)
assert not [name for name in sys.modules if name.startswith("kubernetes.")]
"""
    subprocess.run([sys.executable, "-c", code], check=True)
