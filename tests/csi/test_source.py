"""``csi:`` URLs: what they say, and what the commands make of them, over real gRPC and real TLS."""

import json

import pytest

import blockdiff
from blockdiff.cli.main import run as command_line
from blockdiff.csi.address import pair_of, parse
from blockdiff.csi.source import default_kubeconfig, open_source
from blockdiff.errors import InvalidInput, UnsupportedOperation
from blockdiff.locator import parse_locator
from blockdiff.snapshot import Snapshot
from tests.fixtures import k8sobjects
from tests.fixtures.cbt import Scripted, fail, record
from tests.fixtures.kube import FakeKube
from tests.fixtures.tls import Authority

K = 4096
SIZE = 64 * K
CHANGED = [(0, K), (8 * K, 2 * K), (63 * K, K)]


def pair(*urls):
    base, target = urls if len(urls) == 2 else (None, urls[0])
    return pair_of(base and parse_locator(base), parse_locator(target))


def test_names():
    assert pair("csi:app/s")[1] == (None, Snapshot("app", "s"))
    assert pair("csi:app/a", "csi:app/b")[1] == (Snapshot("app", "a"), Snapshot("app", "b"))
    assert pair("csi:x/a", "csi:y/b")[1] == (Snapshot("x", "a"), Snapshot("y", "b"))
    assert pair("csi:app/b?base=a")[1].base == Snapshot("app", "a")
    assert pair("csi:app/b?base=x/a")[1].base == Snapshot("x", "a")
    assert pair("csi:app/b?base-id=0001-%2fa%26b")[1].base == Snapshot("", "0001-/a&b", "0001-/a&b")


def test_handles_of_a_driver():
    service, names = pair("csi:0001-a/b%3F?endpoint=unix:///run/csi.sock&base-id=x")
    assert service.endpoint == "unix:///run/csi.sock"
    assert (names.base.id, names.target.id) == ("x", "0001-a/b?")
    service, names = pair("csi:a?endpoint=/run/csi.sock", "csi:b?endpoint=/run/csi.sock")
    assert (names.base.id, names.target.id) == ("a", "b")


def test_options_of_one_are_those_of_both():
    service, _ = pair("csi:app/a?timeout=7&context=c", "csi:app/b?retries=0&service-account=x/y&context=c")
    assert (service.timeout, service.retries, service.service_account) == (7, 0, ("x", "y"))
    assert parse(parse_locator("csi:app/a?service-account=y")).service.service_account == ("", "y")


WITHOUT = "address=h:1&ca=f&token-file=t"
WRONG = {
    "nothing": (["csi:"], "names no snapshot"),
    "no-namespace": (["csi:snap"], "write csi:NAMESPACE/SNAPSHOT"),
    "no-name": (["csi:app/"], "names no snapshot"),
    "three-parts": (["csi:a/b/c"], "'b/c' in .* is no name of Kubernetes"),
    "capital": (["csi:App/s"], "'App' in .* is no name of Kubernetes"),
    "option": (["csi:app/s?bases=x"], "unknown option 'bases' .*known are base, base-id"),
    "no-value": (["csi:app/s?base="], "the option base .*must have one value"),
    "twice": (["csi:app/s?base=a&base=b"], "must have one value"),
    "two-bases": (["csi:app/s?base=a&base-id=b"], "names two bases"),
    "number": (["csi:app/s?timeout=-1"], "timeout must be a whole number of 1 or more, and is '-1'"),
    "percent": (["csi:app/s?base=%ff"], "'%ff' in .* is no text"),
    "nul": (["csi:app/s?ca=%00"], "holds a NUL"),
    "zero": (["csi:app/s?timeout=0"], "timeout must be"),
    "results": (["csi:app/s?max-results=2147483648"], "max-results must be"),
    "base-of-base": (["csi:app/a?base=x", "csi:app/b"], "names a base itself"),
    "base-of-target": (["csi:app/a", "csi:app/b?base=x"], "names a base itself"),
    "two-services": (["csi:app/a?context=x", "csi:app/b?context=y"], "two services: context is not the same"),
    "two-sockets": (["csi:a?endpoint=/x", "csi:b?endpoint=/y"], "two services"),
    "one-socket": (["csi:app/a", "csi:b?endpoint=/y"], "give the endpoint in both"),
    "driver-and-cluster": (["csi:a?endpoint=/x&context=c"], "context is for Kubernetes"),
    "driver-and-base": (["csi:a?endpoint=/x&base=c"], "base is for Kubernetes"),
    "no-handle": (["csi:?endpoint=/x"], "names no snapshot"),
    "secrets": (["csi:app/s?secrets-file=x"], "secrets-file goes with endpoint"),
    "namespaces": ([f"csi:a/s?{WITHOUT}", f"csi:b/s?{WITHOUT}"], "must be of one namespace"),
}


@pytest.mark.parametrize(("urls", "text"), WRONG.values(), ids=WRONG)
def test_wrong_urls(urls, text):
    with pytest.raises(InvalidInput, match=text):
        pair(*urls)


def test_where_a_kubeconfig_is(monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", "/x")
    assert default_kubeconfig() == "/x"
    monkeypatch.delenv("KUBECONFIG")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_kubeconfig() is None
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").touch()
    assert default_kubeconfig() == str(tmp_path / ".kube" / "config")


# -- over the wire


class Cluster:
    def __init__(self, tmp_path):
        authority = Authority(tmp_path / "ca")
        self.files = authority.issue("127.0.0.1")
        self.kube, self.ca = FakeKube(), str(authority.path)
        self.breaks = 0
        self.server = Scripted(self.files, self.play)
        for name in ("monday", "tuesday"):
            k8sobjects.add_snapshot(self.kube, name)
        k8sobjects.add_snapshot(self.kube, "sunday", "old")

    def play(self, request, context, number):
        for at, item in enumerate(CHANGED):
            if sum(item) > request.starting_offset:
                if at == 1 and number <= self.breaks:
                    fail(context, "UNAVAILABLE", "going down")
                yield record(item, capacity=SIZE)


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    made = Cluster(tmp_path)
    with made.kube.serving(made.files), made.server:
        made.kube.add("snapshotmetadataservices", k8sobjects.service(made.server.address, made.files.ca_pem))
        monkeypatch.setenv("KUBECONFIG", made.kube.kubeconfig(tmp_path / "kubeconfig", "app", "backup"))
        yield made


@pytest.fixture
def straight(cluster, tmp_path):
    """Options that need no cluster."""
    (tmp_path / "token").write_text("secret-token")
    return f"address={cluster.server.address}&ca={cluster.ca}&token-file={tmp_path / 'token'}"


@pytest.fixture
def run(capfdbinary):
    def run(*words):
        capfdbinary.readouterr()
        code = command_line(list(words))
        out, err = capfdbinary.readouterr()
        return code, out.decode(), err.decode()

    return run


def tuples(out):
    return [(item["byte_offset"], item["size_bytes"]) for one in json.loads(out) for item in one["block_metadata"]]


def test_diff(cluster, run):
    code, out, err = run("diff", "-o", "json", "csi:app/monday", "csi:app/tuesday")
    assert (code, tuples(out)) == (0, CHANGED)
    assert "method cbt" in err
    request = cluster.server.requests[0]
    assert (request.base_snapshot_id, request.target_snapshot_name, request.namespace) == (
        "handle-monday",
        "tuesday",
        "app",
    )
    assert run("diff", "--exit-code", "--require", "cbt", "csi:app/monday", "csi:app/tuesday")[0] == 1


def test_a_base_in_another_namespace(cluster, run):
    assert run("diff", "-q", "csi:old/sunday", "csi:app/tuesday")[0] == 0
    request = cluster.server.requests[0]
    assert (request.base_snapshot_id, request.namespace) == ("handle-sunday", "app")


def test_map(cluster, run):
    code, out, _ = run("map", "-o", "json", "csi:app/monday")
    assert (code, tuples(out)) == (0, CHANGED)
    assert cluster.server.calls == ["GetMetadataAllocated"]
    code, out, _ = run("map", "csi:app/monday?service-account=backup&max-results=9")
    assert "hole" in out
    assert "method cbt" in out
    assert cluster.server.requests[-1].max_results == 9
    assert ("POST", "/api/v1/namespaces/app/serviceaccounts/backup/token") in cluster.kube.requests


def test_a_window(cluster, run):
    code, out, _ = run("diff", "-o", "json", "--offset", "4K", "--length", "33K", "csi:app/monday", "csi:app/tuesday")
    assert (code, tuples(out)) == (0, [(8 * K, 5 * 1024)])
    assert cluster.server.requests[0].starting_offset == K


def test_a_break_is_told(cluster, run):
    cluster.breaks = 1
    code, out, err = run("diff", "-o", "json", "csi:app/monday", "csi:app/tuesday")
    assert (code, tuples(out)) == (0, CHANGED)
    assert f"warning: the stream broke once and was taken up again, last at offset {K}: GetMetadataDelta(app," in err


def test_a_stream_that_stays_broken(cluster, run):
    cluster.breaks = 99
    code, out, err = run("diff", "-o", "json", "csi:app/monday?retries=1", "csi:app/tuesday")
    assert code == 5
    trouble = json.loads(err.splitlines()[-1])
    assert (trouble["error"], trouble["code"], trouble["resume_offset"]) == ("CallError", "UNAVAILABLE", K)
    with pytest.raises(ValueError, match="Expecting"):
        json.loads(out)


def test_without_a_cluster(cluster, straight, run, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    code, out, _ = run("diff", "-o", "json", f"csi:any/Base@1?{straight}", f"csi:any/Target@2?{straight}")
    assert (code, tuples(out)) == (0, CHANGED)
    request = cluster.server.requests[0]
    assert (request.base_snapshot_id, request.target_snapshot_name) == ("Base@1", "Target@2")
    assert (request.security_token, cluster.kube.requests) == ("secret-token", [])


@pytest.fixture
def images(tmp_path):
    base, target = bytearray(SIZE), bytearray(SIZE)
    for offset, length in CHANGED:
        target[offset : offset + length] = b"x" * length
    paths = [tmp_path / "base.img", tmp_path / "target.img"]
    for path, data in zip(paths, (base, target), strict=True):
        path.write_bytes(data)
    return [str(path) for path in paths]


def test_audit_copy_and_verify(cluster, straight, images, run, tmp_path):
    url = f"csi:app/tuesday?base-id=monday&{straight}"
    code, out, _ = run("audit", *images, "--extents", url)
    assert code == 0, out
    replica = str(tmp_path / "replica.img")
    assert run("copy", "-q", images[0], replica)[0] == 0
    assert run("copy", images[1], replica, "--extents", url, "--verify")[0] == 0
    assert run("verify", images[1], replica)[0] == 0
    assert run("verify", images[1], replica, "--extents", url)[0] == 0


def test_a_break_is_told_with_a_list(cluster, images, run):
    cluster.breaks = 1
    code, _, err = run("audit", *images, "--extents", "csi:app/tuesday?base=monday")
    assert (code, "warning: the stream broke once and was taken up again" in err) == (0, True)


def test_audit_finds_what_the_service_left_out(cluster, images, run):
    with open(images[1], "r+b") as file:
        file.seek(20 * K)
        file.write(b"y" * 100)
    code, out, _ = run("audit", "-o", "json", *images, "--extents", "csi:app/tuesday?base=monday")
    found = json.loads(out)
    assert (code, found["under_reported_bytes"]) == (1, K)
    assert found["under_reported"][0]["offset"] == 20 * K


def test_nothing_is_copied_of_a_broken_list(cluster, straight, images, run):
    cluster.breaks = 99
    code, _, err = run("copy", images[1], images[0], "--extents", f"csi:app/t?base-id=m&retries=0&{straight}")
    assert (code, "going down" in err) == (5, True)
    with open(images[0], "rb") as file:
        assert not any(file.read())


REFUSED = {
    "timeout": (["map", "csi:a?endpoint=/nowhere/x&timeout=2147483647&retries=0"], 5, "GetMetadataAllocated(a): rpc"),
    "verify": (["verify", "csi:app/a", "x.img"], 4, "holds no data"),
    "mixed": (["diff", "csi:app/a", "IMAGE"], 2, "is a device: name two of one kind"),
    "method": (["diff", "--require", "content", "csi:app/a", "csi:app/b"], 4, "the method content cannot be used"),
    "zeroes": (["map", "--zeroes", "csi:app/a"], 4, "--zeroes reads data"),
    "export": (["diff", "-o", "export-diff", "csi:app/a", "csi:app/b"], 4, "holds none"),
    "url": (["map", "csi:a"], 2, "names no snapshot"),
    "ca": (["map", "csi:a/b?address=h:1&token-file=t&ca=/nowhere"], 2, "cannot read a CA certificate from /nowhere"),
    "kubeconfig": (["map", "csi:a/b?kubeconfig=/nowhere"], 2, "kubernetes.NewForConfig: stat /nowhere"),
    "secrets": (["map", "csi:a?endpoint=/x&secrets-file=IMAGE"], 2, "is no JSON object of texts"),
}


@pytest.mark.parametrize(("words", "code", "text"), REFUSED.values(), ids=REFUSED)
def test_refusals(words, code, text, images, run):
    words = [word.replace("IMAGE", images[1]) for word in words]
    found, _, err = run(*words)
    assert (found, text in err) == (code, True), err


def test_a_driver_socket(tmp_path, run):
    play = lambda request, context, number: iter([record(*CHANGED, capacity=SIZE)])  # noqa: E731
    (tmp_path / "secrets").write_text('{"userID": "admin"}')
    with Scripted(None, play, path=str(tmp_path / "csi.sock")) as server:
        endpoint = f"endpoint={server.address}&secrets-file={tmp_path / 'secrets'}"
        code, out, _ = run("diff", "-o", "json", f"csi:a?{endpoint}", f"csi:b?{endpoint}")
        assert (code, tuples(out)) == (0, CHANGED)
        code, out, _ = run("map", "-o", "json", f"csi:vol/b%40snap?{endpoint}")
        assert (code, tuples(out)) == (0, CHANGED)
    assert (server.requests[0].base_snapshot_id, server.requests[0].target_snapshot_id) == ("a", "b")
    assert (server.requests[1].snapshot_id, dict(server.requests[1].secrets)) == ("vol/b@snap", {"userID": "admin"})


def test_a_source_can_be_asked_again(cluster, straight):
    source, names = open_source(None, parse_locator(f"csi:app/b?base-id=a&{straight}"))
    first = source.records(names)
    next(first)
    assert [tuple(item)[:2] for one in source.records(names, start=9 * K) for item in one.extents] == [
        (9 * K, K),
        CHANGED[2],
    ]
    source.close()
    source.close()


def test_reading_data_is_refused():
    from blockdiff import open_device

    with pytest.raises(UnsupportedOperation, match="--extents"):
        open_device("csi:app/a")


def test_python_takes_urls(cluster):
    import blockdiff

    records = blockdiff.diff("csi:app/monday", "csi:app/tuesday")
    assert [tuple(item)[:2] for one in records for item in one.extents] == CHANGED


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "grpc", None)
    source, names = open_source(None, parse_locator("csi:app/b"))
    with pytest.raises(UnsupportedOperation, match=r"pip install 'blockdiff\[csi\]'"):
        next(source.records(names))


@pytest.mark.parametrize("output", ["qemu", "nbd", "human", "json"])
def test_a_map_of_changes_is_none(capsys, output):
    """What did not change would be a hole there, and holes are zero: who applies that loses it."""
    assert command_line(["map", "csi:new?endpoint=unix:///nowhere&base-id=old", "-o", output]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "asks for changes, and a map shows what is allocated" in err
    with pytest.raises(InvalidInput, match="leave out the base"):
        list(blockdiff.map("csi:new?endpoint=unix:///nowhere&base-id=old"))
