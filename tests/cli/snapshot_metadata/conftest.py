"""An API server and a SnapshotMetadata server behind TLS, and programs in processes of their own that ask them."""

import os
import subprocess
import sys

import pytest
from fixtures import k8sobjects
from fixtures.cbt import Scripted, record
from fixtures.kube import FakeKube
from fixtures.tls import Authority

from tests.fixtures.cli import COMMAND, polite

MIB = 1 << 20
CAPACITY = 8 * MIB
RECORDS = [record((0, 4096), (8192, 4096), capacity=CAPACITY), record((MIB, 65536), capacity=CAPACITY)]


class Cluster:
    """``play`` is what the server answers; ``run`` and ``start`` begin programs that know the cluster."""

    def __init__(self, place, kube, authority):
        self.place, self.kube, self.authority, self.server = place, kube, authority, None
        self.kubeconfig = kube.kubeconfig(place / "config", "app", "backup")
        self.play = lambda request, context, number: iter(RECORDS)

    def environment(self, **changes):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("KUBE", "BLOCKDIFF"))}
        return {**kept, "HOME": str(self.place), "KUBECONFIG": self.kubeconfig, **changes}

    def start(self, *words, **environment):
        """A running ``blockdiff``, or the program that the first word names."""
        programs = {
            "snapshot-metadata-lister": ("-m", "blockdiff.cli.snapshot_metadata.lister"),
            "snapshot-metadata-verifier": ("-m", "blockdiff.cli.snapshot_metadata.verifier"),
        }
        command = [sys.executable, *programs[words[0]]] if words[0] in programs else [*COMMAND, words[0]]
        return subprocess.Popen(
            [*command, *map(str, words[1:])],
            cwd=self.place,
            env=self.environment(**environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words, **environment):
        """(exit code, stdout, stderr) of a finished one."""
        return end(self.start(*words, **environment))

    def direct(self):
        """Flags that need no Kubernetes."""
        token = self.place / "token"
        token.write_text("plain-token\n")
        return f"-address={self.server.address}", f"-ca-cert-file={self.authority.path}", f"-token-file={token}"


def end(process, timeout=60):
    try:
        out, err = process.communicate(timeout=timeout)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    polite(process.returncode, err)
    return process.returncode, out, err


@pytest.fixture(scope="package")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="package")
def files(authority):
    return authority.issue("127.0.0.1", "localhost")


@pytest.fixture
def cluster(files, authority, tmp_path):
    kube = FakeKube()
    for name in ("old", "new"):
        k8sobjects.add_snapshot(kube, name)
    with kube.serving(files):
        made = Cluster(tmp_path, kube, authority)
        with Scripted(files, lambda *call: made.play(*call)) as server:  # noqa: PLW0108  # tests change it
            made.server = server
            kube.add("snapshotmetadataservices", k8sobjects.service(server.address, authority.pem))
            yield made
