"""An API server and a SnapshotMetadata server behind TLS, and programs in processes of their own that ask them."""

import os
import subprocess
import sys

import pytest
from fixtures import k8sobjects
from fixtures.cbt import Scripted, record
from fixtures.kube import FakeKube
from fixtures.tls import Authority

from blockdiff.cli.main import run
from blockdiff.cli.snapshot_metadata import lister, verifier
from blockdiff.cli.snapshot_metadata.dropin import Program
from tests.fixtures.cli import COMMAND, polite

MIB = 1 << 20
CAPACITY = 8 * MIB
RECORDS = [record((0, 4096), (8192, 4096), capacity=CAPACITY), record((MIB, 65536), capacity=CAPACITY)]


PROGRAMS = {"snapshot-metadata-lister": lister, "snapshot-metadata-verifier": verifier}


def run_program(patch, words):
    """Runs one of the two programs; gives its exit code."""
    codes = []
    patch.setattr(Program, "main", lambda self: codes.append(self.run(list(map(str, words[1:])))))
    PROGRAMS[words[0]].main()
    return codes[0]


class Cluster:
    """``play`` is what the server answers; ``run`` and ``start`` begin programs that know the cluster."""

    def __init__(self, place, kube, authority, capsys):
        self.place, self.kube, self.authority, self.server = place, kube, authority, None
        self.capsys = capsys
        self.kubeconfig = kube.kubeconfig(place / "config", "app", "backup")
        self.play = lambda request, context, number: iter(RECORDS)

    def environment(self, **changes):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("KUBE", "BLOCKDIFF"))}
        return {**kept, "HOME": str(self.place), "KUBECONFIG": self.kubeconfig, **changes}

    def start(self, *words, **environment):
        """A running ``blockdiff``, or the program that the first word names."""
        module = PROGRAMS.get(words[0])
        command = [sys.executable, "-m", module.__name__] if module else [*COMMAND, words[0]]
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
        """(exit code, stdout, stderr) of the same, in this process: starting one takes longer than most tests."""
        with pytest.MonkeyPatch.context() as patch:
            for name in os.environ:
                if name not in (wanted := self.environment(**environment)):
                    patch.delenv(name)
            for name, value in wanted.items():
                patch.setenv(name, value)
            patch.chdir(self.place)
            self.capsys.readouterr()
            code = run_program(patch, words) if words[0] in PROGRAMS else run(list(map(str, words)))
        return (code, *self.capsys.readouterr())

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
def cluster(files, authority, tmp_path, capsys):
    kube = FakeKube()
    for name in ("old", "new"):
        k8sobjects.add_snapshot(kube, name)
    with kube.serving(files):
        made = Cluster(tmp_path, kube, authority, capsys)
        with Scripted(files, lambda *call: made.play(*call)) as server:  # noqa: PLW0108  # tests change it
            made.server = server
            kube.add("snapshotmetadataservices", k8sobjects.service(server.address, authority.pem))
            yield made
