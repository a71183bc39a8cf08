"""The two programs that stand in for the original's: its messages, its exit codes, nothing else on stdout."""

import signal
import threading

import pytest
from fixtures.cbt import fail, record

from blockdiff.cli.snapshot_metadata import lister, verifier
from blockdiff.cli.snapshot_metadata.dropin import Program
from tests.cli.snapshot_metadata.conftest import CAPACITY, MIB, RECORDS, end
from tests.cli.snapshot_metadata.test_list import JSON, TABLE, WHICH

LISTER, VERIFIER = "snapshot-metadata-lister", "snapshot-metadata-verifier"


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs a program in this process: for what ends before anything is asked. Gives its exit code."""
    codes = []
    monkeypatch.setattr(Program, "main", lambda self, words=None: codes.append(self.run(given)))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    given = []

    def run(module, *words):
        given[:] = words
        module.main()
        return codes.pop()

    return run


BOTH = pytest.mark.parametrize("module", [lister, verifier], ids=["lister", "verifier"])


@BOTH
def test_no_arguments(run, module, capsys):
    assert run(module) == 1
    out, err = capsys.readouterr()
    assert (out, err.splitlines()[0]) == ("", "Missing required arguments")
    assert " -p PREVIOUS" in err
    assert " -P HANDLE" in err


@BOTH
@pytest.mark.parametrize("word", ["-h", "--h", "-h=true", "-help", "--help"])
def test_help(run, module, word, capsys):
    assert run(module, word) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "Usage:" in err
    assert ("-token-expiry int" in err) is ("help" not in word)


@BOTH
@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("-nosuch",), "flag provided but not defined: -nosuch"),
        (("-n",), "flag needs an argument: -n"),
        (("-max-results", "many"), 'invalid value "many" for flag -max-results: parse error'),
        (("-token-expiry=1e3",), 'invalid value "1e3" for flag -token-expiry: parse error'),
        (("-h=maybe",), 'invalid boolean value "maybe" for -h: parse error'),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_flags_that_cannot_be_read(run, module, words, text, capsys):
    assert run(module, *words) == 2
    out, err = capsys.readouterr()
    assert (out, err.splitlines()[0]) == ("", text)
    assert "Usage:" in err


def test_unknown_formats(run, capsys):
    assert run(lister, *WHICH, "-o", "xml") == 1
    out, err = capsys.readouterr()
    assert (out, err.splitlines()[0]) == ("", "Unknown output format: xml")
    assert "Usage:" in err


@pytest.mark.parametrize("words", [("-src", "x"), ("-target-device-path=x",), ("-n", "a", "x", "-src=a", "-tgt=b")])
def test_a_verifier_needs_two_devices(run, words, capsys):
    assert run(verifier, *WHICH, *words) == 1
    assert capsys.readouterr().err.startswith("Missing required arguments\n")


@BOTH
def test_no_kubeconfig(run, module, capsys, tmp_path):
    assert run(module, *WHICH, "-src=a", "-tgt=b") == (2 if module is lister else 1)
    capsys.readouterr()
    words = () if module is lister else ("-src=a", "-tgt=b")
    assert run(module, *WHICH, *words) == 1
    assert capsys.readouterr().err.startswith(
        f"Error loading kubeconfig {tmp_path}/.kube/config: unable to load in-clu"
    )
    (tmp_path / "broken").write_text("a: [")
    assert run(module, *WHICH, *words, "-kubeconfig", str(tmp_path / "broken")) == 1
    assert capsys.readouterr().err.startswith(f"Error loading kubeconfig {tmp_path}/broken: ")


def test_the_lister(cluster):
    flags = (*WHICH, f"-kubeconfig={cluster.kubeconfig}")
    assert cluster.run(LISTER, *flags, KUBECONFIG="") == (0, TABLE, "")
    assert cluster.run(LISTER, *flags, "-output-format", "json", "--p=old", "ignored", "-o=table") == (0, JSON, "")
    assert cluster.server.calls == ["GetMetadataAllocated", "GetMetadataDelta"]
    code, out, err = cluster.run(LISTER, "-s=new", flags[-1])
    assert (code, out, err) == (1, "", "Error: invalid argument: missing Namespace\n")
    code, out, err = cluster.run(LISTER, *flags, "-max-results=2147483648")
    assert (code, out, err) == (1, "", "Error: invalid argument: invalid MaxResults\n")


def test_a_list_that_fails(cluster):
    def play(request, context, number):
        yield RECORDS[0]
        fail(context, "NOT_FOUND", "no such snapshot")

    cluster.play = play
    code, out, err = cluster.run(LISTER, *WHICH, "-o=json", f"-kubeconfig={cluster.kubeconfig}")
    assert code == 1
    assert err.startswith(
        "Error: GetMetadataAllocated(app,new).Recv: rpc error: code = NotFound desc = no such snapshot"
    )
    assert JSON.startswith(out[:-1])
    assert not out.endswith("]")


@pytest.fixture
def devices(cluster):
    """A source, and a target that differs where the list says."""
    content = bytearray(b"\x55" * CAPACITY)
    source, target = cluster.place / "source", cluster.place / "target"
    source.write_bytes(content)
    for one in RECORDS:
        for offset, length, _ in one.extents:
            content[offset : offset + length] = bytes(length)
    target.write_bytes(content)
    return source, target


@pytest.fixture
def flags(cluster, devices):
    source, target = devices
    return (*WHICH, "-p=old", f"-src={source}", "-tgt", str(target), f"-kubeconfig={cluster.kubeconfig}")


def test_the_verifier(cluster, devices, flags):
    source, target = devices
    assert cluster.run(VERIFIER, *flags) == (0, "", "")
    assert source.read_bytes() == target.read_bytes()


def test_a_check_that_proves_nothing(cluster, devices, flags):
    """A list from an offset on is told; equal parts of the volumes are no success."""
    assert cluster.run(VERIFIER, *flags)[0] == 0
    code, out, err = cluster.run(VERIFIER, *flags, "-starting-offset=8192")
    assert (code, out, err) == (0, "", "warning: the list begins at byte 8192: it is not complete\n")
    for path in devices:
        path.write_bytes(bytes(2 * MIB))
    code, out, err = cluster.run(VERIFIER, *flags)
    assert (code, out) == (1, "")
    assert err.endswith("it is not restored from it, or not all of it\n")


def test_a_list_that_misses_something(cluster, devices, flags):
    _, target = devices
    with target.open("r+b") as file:
        file.seek(4 * MIB)
        file.write(bytes(4096))
    code, out, err = cluster.run(VERIFIER, *flags)
    assert (code, out) == (1, "")
    assert err.splitlines() == [
        "Error: source and target device contents do not match",
        "  offset 4194304 length 4096 (dst-zero)",
        "  4,096 bytes differ that the list leaves out",
    ]


def test_devices_that_cannot_be_opened(cluster, devices, flags):
    source, target = devices
    target.unlink()
    code, out, err = cluster.run(VERIFIER, *flags)
    reason = f'"open {target}: no such file or directory"'
    assert (code, out, err) == (1, "", f"failed to open target device {target}: {reason}\n")
    target.symlink_to(source)
    code, _, err = cluster.run(VERIFIER, *flags)
    assert (code, err.startswith(f"failed to open target device {target}: ")) == (1, True)
    source.unlink()
    code, _, err = cluster.run(VERIFIER, *flags)
    reason = f'"open {source}: no such file or directory"'
    assert (code, err) == (1, f"failed to open source device {source}: {reason}\n")
    assert cluster.server.requests == []


@pytest.mark.parametrize("name", [LISTER, VERIFIER])
def test_interrupted(cluster, flags, name):
    asked = threading.Event()

    def play(request, context, number):
        yield RECORDS[0]
        asked.set()
        ended = threading.Event()
        context.add_callback(ended.set)
        ended.wait(60)
        yield record((6 * MIB, 4096), capacity=CAPACITY)

    cluster.play = play
    words = flags if name == VERIFIER else (*WHICH, flags[-1])
    process = cluster.start(name, *words)
    assert asked.wait(60)
    process.send_signal(signal.SIGINT)
    code, _, err = end(process)
    assert (code, err) == (1, "Error: context canceled\n")


@pytest.mark.parametrize("count", [1, 100_000])
def test_output_that_nobody_takes(cluster, count):
    many = [record(*((at * 8192, 4096) for at in range(count)), capacity=8192 * count)]
    cluster.play = lambda request, context, number: iter(many)
    process = cluster.start(LISTER, *WHICH, f"-kubeconfig={cluster.kubeconfig}")
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err.startswith("Error: "), "Traceback" in err) == (1, True, False)
