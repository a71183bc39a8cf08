"""blockdiff snapshot-metadata list: the original's output and flags, our exit codes."""

import io
import json

import pytest
from fixtures.cbt import fail, record

from blockdiff.cli.main import run
from blockdiff.csi.emitters import JSONEmitter, TableEmitter
from tests.cli.snapshot_metadata.conftest import CAPACITY, RECORDS
from tests.fixtures.schemas import obeys

JSON = (
    '[{"block_metadata_type":2,"volume_capacity_bytes":8388608,"block_metadata":[{"size_bytes":4096},'
    '{"byte_offset":8192,"size_bytes":4096}]},{"block_metadata_type":2,"volume_capacity_bytes":8388608,'
    '"block_metadata":[{"byte_offset":1048576,"size_bytes":65536}]}]'
)
TABLE = """\
Record#   VolCapBytes  BlockMetadataType   ByteOffset     SizeBytes
------- -------------- ----------------- -------------- --------------
      1        8388608   VARIABLE_LENGTH              0           4096
      1        8388608   VARIABLE_LENGTH           8192           4096
      2        8388608   VARIABLE_LENGTH        1048576          65536
"""
LIST = ("snapshot-metadata", "list")
WHICH = ("-n", "app", "-s", "new")


def test_what_the_original_prints(cluster):
    assert cluster.run(*LIST, *WHICH) == (0, TABLE, "")
    assert cluster.run(*LIST, *WHICH, "-o", "json") == (0, JSON, "")
    assert cluster.server.calls == ["GetMetadataAllocated"] * 2


@pytest.mark.parametrize(
    "words",
    [
        ("-namespace", "app", "-snapshot", "new", "-previous-snapshot", "old", "-output-format", "json"),
        ("-n=app", "-s=new", "-p=old", "-o=json"),
        ("--namespace=app", "--snapshot=new", "--previous-snapshot=old", "--output-format=json"),
        ("--n=app", "--s", "new", "--p", "old", "--o", "json"),
        ("-ojson", "--namespace", "app", "-s", "new", "-p", "old", "-h=false", "-no-resume=false"),
    ],
    ids=lambda words: words[0],
)
def test_spellings(cluster, words):
    assert cluster.run(*LIST, *words) == (0, JSON, "")
    request = cluster.server.requests[0]
    assert (request.namespace, request.target_snapshot_name, request.base_snapshot_id) == ("app", "new", "handle-old")


def test_numbers_and_names_arrive(cluster):
    cluster.kube.token("other", "robot")
    words = ("-P", "id-7", "-p=old", "-max-results=0x10", "-starting-offset", "8192", "-token-expiry=1200")
    account = ("-service-account", "robot", "-service-account-namespace", "other")
    assert cluster.run(*LIST, *WHICH, *words, *account, "-csi-driver=hostpath.csi.k8s.io")[0] == 0
    request = cluster.server.requests[0]
    assert (request.base_snapshot_id, request.max_results, request.starting_offset) == ("id-7", 16, 8192)
    assert cluster.kube.tokens[request.security_token][0] == "system:serviceaccount:other:robot"
    assert any((body or {}).get("spec", {}).get("expirationSeconds") == 1200 for body in cluster.kube.bodies)
    assert not any("volumesnapshots" in path for _, path in cluster.kube.requests)


def test_without_kubernetes(cluster):
    assert cluster.run(*LIST, *WHICH, "-P=id", *cluster.direct(), KUBECONFIG="") == (0, TABLE, "")
    assert cluster.kube.requests == []
    assert cluster.server.requests[0].security_token == "plain-token"


def test_other_formats(cluster):
    code, out, err = cluster.run(*LIST, *WHICH, "-o", "jsonl")
    assert (code, err) == (0, "")
    assert [len(json.loads(line)["block_metadata"]) for line in out.splitlines()] == [2, 1]
    code, out, err = cluster.run(*LIST, *WHICH, "-o", "human")
    assert (code, err) == (0, "")
    assert out.endswith("allocated: 73,728 bytes (72.0 KiB) in 3 ranges of a volume of 8,388,608 bytes\n")
    assert cluster.run(*LIST, *WHICH, "-o", "human", "-q") == (0, "", "")


def test_the_default_kubeconfig(cluster):
    (cluster.place / ".kube").mkdir()
    (cluster.place / "config").rename(cluster.place / ".kube/config")
    assert cluster.run(*LIST, *WHICH, KUBECONFIG="")[0] == 0
    assert cluster.run(*LIST, *WHICH, "-kubeconfig", ".kube/config", "-context=c", KUBECONFIG="")[0] == 0
    code, _, err = cluster.run(*LIST, *WHICH, "-kubeconfig", ".kube/config", "-context=d", KUBECONFIG="")
    assert (code, "d" in err) == (2, True)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((), "Missing option '--namespace'"),
        (("-n", "app"), "Missing option '--snapshot'"),
        ((*WHICH, "-snapshots", "x"), "no option -snapshots: is it -snapshot?"),
        ((*WHICH, "-nx"), "no option -nx"),
        ((*WHICH, "-o", "xml"), "'xml' is not one of"),
        ((*WHICH, "-max-results", "x"), "'x' is no number (parse error)"),
        ((*WHICH, "-h=perhaps"), "'perhaps' is neither true nor false"),
        ((*WHICH, "-p"), "--previous-snapshot needs a value"),
        ((*WHICH, "-p", ""), "the previous snapshot's name is empty"),
        ((*WHICH, "-P=", "-p="), "the previous snapshot's name is empty"),
        (("-n", "app", "-s", "a\0b"), "the value of --snapshot is no text"),
        (("-n", "\udcff", "-s", "new"), "the value of --namespace is no text"),
        ((*WHICH, "positional"), "unexpected extra argument (positional)"),
        ((*WHICH, "-kubeconfig", "nowhere"), "there is no kubeconfig nowhere"),
        ((*WHICH, "-ca-cert-file", "nowhere"), "cannot read the CA certificate nowhere: No such file or directory"),
        ((*WHICH, "-token-file", "/dev/null"), "the token file /dev/null is empty"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_bad_input(words, text, capsys, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", "")
    code = run([*LIST, *words])
    out, err = capsys.readouterr()
    assert (code, out) == (2, ""), err
    assert text in err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("-max-results", "2147483648"), "invalid MaxResults"),
        (("-max-results", "4294967301"), "invalid MaxResults"),
        (("-service-account", "x"), "SAName provided but SANamespace missing"),
        (("-starting-offset", "-1"), "StartingOffset must not be negative, and is -1"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_arguments_that_the_iterator_refuses(cluster, words, text, capsys, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", cluster.kubeconfig)
    code = run([*LIST, *WHICH, *words])
    assert (code, capsys.readouterr()) == (2, ("", f"blockdiff: error: invalid argument: {text}\n"))
    assert cluster.server.requests == []


def test_no_cluster_in_sight(cluster):
    code, _, err = cluster.run(*LIST, *WHICH, KUBECONFIG="")
    assert code == 2
    assert "no kubeconfig, and this is no pod" in err


@pytest.mark.parametrize("form", ["table", "json"])
def test_a_service_that_fails(cluster, form):
    def play(request, context, number):
        yield RECORDS[0]
        fail(context, "FAILED_PRECONDITION", "CBT is off")

    cluster.play = play
    code, _, err = cluster.run(*LIST, *WHICH, f"-o={form}")
    assert code == 5
    text = "GetMetadataAllocated(app,new).Recv: rpc error: code = FailedPrecondition desc = CBT is off"
    if form == "json":
        trouble = json.loads(err)
        obeys(trouble, "error")
        assert (trouble["exit_code"], trouble["resume_offset"]) == (5, 12288)
        assert trouble["message"].startswith(text)
    else:
        assert f"blockdiff: error: {text}" in err


def test_a_server_that_breaks_the_rules(cluster):
    cluster.play = lambda request, context, number: iter([RECORDS[1], RECORDS[0]])
    code, _, err = cluster.run(*LIST, *WHICH, "-no-resume")
    assert (code, "begins at 0, before" in err) == (3, True)


def test_a_broken_stream_is_taken_up_again(cluster):
    def play(request, context, number):
        if number == 1:
            yield RECORDS[0]
            fail(context, "UNAVAILABLE", "the connection was reset")
        assert request.starting_offset == 12288
        yield RECORDS[1]

    cluster.play = play
    code, out, err = cluster.run(*LIST, *WHICH)
    assert (code, out) == (0, TABLE)
    assert "going on from byte 12,288" in err
    cluster.server.requests.clear()
    code, out, err = cluster.run(*LIST, *WHICH, "-o", "json", "--progress", "json")
    assert (code, out) == (0, JSON)
    lines = [json.loads(line) for line in err.splitlines()]
    for line in lines:
        obeys(line, "progress")
    assert [line["event"] for line in lines] == ["resumed", "progress"]
    cluster.server.requests.clear()
    assert cluster.run(*LIST, *WHICH, "-no-resume")[0] == 5
    assert len(cluster.server.requests) == 1


def test_output_that_nobody_takes(cluster):
    many = [record(*((at * 8192, 4096) for at in range(600_000)), capacity=8192 * 600_000)]
    cluster.play = lambda request, context, number: iter(many)
    process = cluster.start(*LIST, *WHICH)
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in err) == (3, False)


def test_the_expected_texts_are_those_of_the_emitters():
    for make, text in ((JSONEmitter, JSON), (TableEmitter, TABLE)):
        out = io.StringIO()
        emitter = make(out)
        for number, one in enumerate(RECORDS, 1):
            emitter.record(number, one)
        emitter.done(2)
        assert out.getvalue() == text
    assert RECORDS[0].capacity == CAPACITY
