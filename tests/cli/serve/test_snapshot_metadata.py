"""blockdiff serve snapshot-metadata as an operator starts and ends it."""

import contextlib
import json
import queue
import re
import resource
import signal
import threading
import urllib.request

import click
import grpc
import pytest

from tests.fixtures.cli import blockdiff, start
from tests.fixtures.scripted import ScriptedDriver, message
from tests.fixtures.sidecar import WAIT, Client, api, driver, files, refused, tuples, until

__all__ = ["api", "driver", "files"]

WORDS = ("serve", "snapshot-metadata")
ORIGINAL = {
    "kubeconfig", "csi-address", "timeout", "port", "tls-cert", "tls-key", "max-streaming-duration-min", "kube-api-qps",
    "kube-api-burst", "http-endpoint", "metrics-path", "disable-metrics", "audience", "version", "tls-min-version",
    "tls-cipher-suites", "tls-curve-preferences", "v", "vmodule", "logtostderr", "alsologtostderr", "stderrthreshold",
    "log_dir", "log_file", "log_file_max_size", "add_dir_header", "skip_headers", "skip_log_headers", "one_output",
    "log_backtrace_at",
}  # fmt: skip


class Running:
    """A server in its own process; its log is read as it comes."""

    def __init__(self, *words):
        self.process = start(*WORDS, *words)
        self.lines, self.log = queue.Queue(), []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stderr:
            self.lines.put(line)
        self.lines.put("")

    def says(self, pattern):
        """Waits for a line of the log."""
        while True:
            line = self.lines.get(timeout=WAIT)
            assert line, "".join(self.log)
            self.log.append(line)
            found = re.search(pattern, line)
            if found:
                return found

    def end(self, number=signal.SIGTERM):
        """Signals, and gives the exit code."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self):
        code = self.process.wait(WAIT)
        self._reader.join(WAIT)
        while not self.lines.empty():
            self.log.extend(filter(None, [self.lines.get()]))
        assert "Traceback" not in "".join(self.log)
        return code


@pytest.fixture
def run():
    with contextlib.ExitStack() as stack:

        def start_one(*words):
            running = Running(*words)
            stack.callback(close, running.process)
            return running

        yield start_one


def close(process):
    process.kill()
    process.wait(WAIT)
    process.stdout.close()
    process.stderr.close()


@pytest.fixture
def connect():
    with contextlib.ExitStack() as stack:

        def make(target, ca=None, token="", key=None, cert=None):
            options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_reconnect_backoff_ms", 200)]
            options.append(("grpc.initial_reconnect_backoff_ms", 100))
            if ca:
                channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(ca, key, cert), options)
            else:
                channel = grpc.insecure_channel(target, options)
            stack.callback(channel.close)
            return Client(channel, token)

        yield make


@pytest.fixture
def plain(run, driver, tmp_path, connect):
    """A server without Kubernetes on a unix socket, and a client of it."""

    def start_one(*words, ready=True):
        where = f"unix://{tmp_path}/cbt.sock"
        server = run("--plain", "--address", where, "--csi-address", driver.endpoint, "--http-endpoint", "", *words)
        if ready:
            server.says("is ready")
        return server, connect(where)

    return start_one


def kubernetes(api, driver, files, tmp_path, *words):
    config = api.kubeconfig(tmp_path / "kubeconfig", "kube-system", "sidecar")
    return [
        f"-kubeconfig={config}", "-csi-address", driver.path, f"--tls-cert={files.cert}", "-tls-key", files.key,
        "-port=0", "--http-endpoint", "127.0.0.1:0", *words,
    ]  # fmt: skip


def test_a_whole_life_in_kubernetes(run, api, driver, files, tmp_path, connect):
    server = run(*kubernetes(api, driver, files, tmp_path, "--log-format=json"))
    port = server.says(r"listening on 127\.0\.0\.1:(\d+)")[1]
    http = server.says(r"http://[\d.:]+")[0]
    server.says("is ready")
    client = connect(f"localhost:{port}", files.ca_pem, api.token("app", "backup", audiences=("backup-client",)))
    assert tuples(client.delta())
    assert refused(client.allocated("nothing"))[0] == "NOT_FOUND"
    assert refused(client.allocated(token="x"))[0] == "UNAUTHENTICATED"
    with urllib.request.urlopen(f"{http}/health", timeout=WAIT) as answer:
        assert answer.read() == b"ok"
    with urllib.request.urlopen(f"{http}/metrics", timeout=WAIT) as answer:
        assert b"snapshot_metadata_controller_operations_seconds_count" in answer.read()
    assert server.end() == 0
    lines = [json.loads(line) for line in server.log]
    (line,) = [line for line in lines if line["message"] == "GetMetadataDelta"]
    assert (line["code"], line["namespace"], line["tuples"], line["level"]) == ("OK", "app", 3, "info")
    assert client.token not in "".join(server.log)


def test_it_may_have_as_many_connections_as_the_administrator_allows(plain):
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, before[1]), before[1]))
    try:
        server, _ = plain()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE) == (before[1], before[1])


@pytest.mark.parametrize("grant", ["app", "*"])
@pytest.mark.parametrize("handle", ["{name}", "{namespace}/{name}"])
def test_a_namespace_that_keeps_nothing_apart_is_told(plain, tmp_path, grant, handle):
    path = tmp_path / "tokens"
    path.write_text(f"0123456789abcdef {grant}\n")
    path.chmod(0o600)
    server, _ = plain("--token-file", path, "--handle", handle)
    assert server.end() == 0
    assert ("namespaces keep nothing apart" in "".join(server.log)) == (grant == "app" and handle == "{name}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM])
def test_it_ends_with_0_when_told(plain, number):
    server, _ = plain()
    assert server.end(number) == 0


def test_a_stream_may_finish(plain, driver):
    go = threading.Event()

    def answer(request, context):
        yield message((0, 4096))
        assert go.wait(WAIT)
        yield message((8192, 4096))

    driver.answer = answer
    server, client = plain()
    stream = client.allocated()
    next(stream)
    server.process.send_signal(signal.SIGTERM)
    server.says("SIGTERM")
    go.set()
    assert tuples(stream) == [(8192, 4096)]
    assert server.wait() == 0


def test_grace_has_an_end(plain, driver):
    driver.answer = lambda request, context: (message((0, 4096)), driver.cancelled.wait(WAIT))[:1]

    def answer(request, context):
        yield message((0, 4096))
        driver.cancelled.wait(WAIT)

    driver.answer = answer
    server, client = plain("--grace", "200ms")
    stream = client.allocated()
    next(stream)
    assert server.end() == 0
    assert refused(stream)[0] in {"UNAVAILABLE", "CANCELLED"}
    assert driver.cancelled.wait(WAIT)


def test_a_second_signal_ends_it_at_once(plain, driver):
    def answer(request, context):
        yield message((0, 4096))
        driver.cancelled.wait(WAIT)

    driver.answer = answer
    server, client = plain()
    stream = client.allocated()
    next(stream)
    server.process.send_signal(signal.SIGTERM)
    server.says("SIGTERM")
    assert server.end() == 128 + signal.SIGTERM
    assert refused(stream)[0] == "UNAVAILABLE"


def test_a_killed_server_ends_no_stream_cleanly_and_can_be_started_again(plain, driver):
    def answer(request, context):
        yield message((0, 4096))
        if request.starting_offset == 0:
            driver.cancelled.wait(WAIT)
        yield message((8192, 4096))

    driver.answer = answer
    server, client = plain()
    stream = client.allocated()
    next(stream)
    server.process.kill()
    assert refused(stream)[0] == "UNAVAILABLE"
    assert driver.cancelled.wait(WAIT)
    plain()
    until(lambda: _answers(client))
    assert tuples(client.allocated(starting_offset=4096)) == [(8192, 4096)]


def _answers(client):
    try:
        return list(client.allocated(starting_offset=4096))
    except grpc.RpcError:
        return False


def test_files_without_a_driver(run, tmp_path, connect):
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "snapshots" / "a.img").write_bytes(bytes(1 << 20) + b"x" * 4096)
    where = f"unix://{tmp_path}/s.sock"
    server = run("--plain", "--source", f"dir:{tmp_path}/snapshots", "--address", where, "--http-endpoint=")
    server.says("is ready")
    assert sum(size for _, size in tuples(connect(where).allocated("a.img"))) >= 4096
    assert refused(connect(where).allocated("../a.img"))[0] in {"NOT_FOUND", "INVALID_ARGUMENT"}
    assert server.end() == 0


@pytest.mark.parametrize("where", ["127.0.0.1:0", "unix:///tmp/never-made.sock"], ids=["tcp", "socket"])
def test_tokens_of_a_cluster_need_tls(api, tmp_path, where):
    config = api.kubeconfig(tmp_path / "config", "csi-driver", "server")
    done = blockdiff(*WORDS, "--kubeconfig", config, f"--address={where}", "--http-endpoint=", expect=2)
    assert "--tls-cert and --tls-key are missing: tokens are not taken without TLS" in done.stderr


def test_a_driver_that_cannot_do_it(run, driver, tmp_path):
    driver.capabilities = [1]
    server = run("--plain", "--address", f"unix://{tmp_path}/s", "--csi-address", driver.endpoint, "--http-endpoint=")
    assert server.wait() == 4
    assert "CSI driver test.csi.example does not support the SNAPSHOT_METADATA_SERVICE" in server.log[-1]


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ([], 2, "cannot load the configuration of this cluster"),
        (["--kubeconfig=/none"], 2, "cannot load kubeconfig /none"),
        (["--plain"], 2, "lets everybody in"),
        (["--plain", "--token-file", "/none"], 2, "cannot read /none"),
        (["--plain", "--kubeconfig=x"], 2, "do not go with --plain"),
        (["--plain", "--audience=x"], 2, "do not go with --plain"),
        (["--plain", "--client-file=x"], 2, "cannot read x"),
        (["--plain", "--client-ca=x"], 2, "--client-ca needs --tls-cert"),
        (["--token-file=x"], 2, "--token-file goes with --plain"),
        *(
            (["--plain", "--address=unix:///tmp/bd-x.sock", f"{name}="], 2, f"{name} is empty")
            for name in ("--token-file", "--client-file", "--client-ca", "--handle")
        ),
        (["--handle=x"], 2, "--handle goes with --plain"),
        (["--tls-cert=x"], 2, "go together"),
        (["--tls-cert=x", "--tls-key=y"], 2, "cannot read x"),
        (["--tls-min-version=VersionTLS11"], 2, "VersionTLS12 or VersionTLS13"),
        (["--tls-cipher-suites=TLS_RSA_WITH_RC4_128_SHA"], 2, "not known or not safe"),
        (["--tls-curve-preferences=X25519"], 4, "cannot be set"),
        (["--timeout=0"], 2, "longer than 0"),
        (["--timeout=1"], 2, "no duration"),
        (["-port=70000"], 2, "70000"),
        (["-grace=" + "9" * 400 + "h"], 2, "longer than anything waits"),
        (["-kube-api-qps=nan"], 2, "is no number"),
        (["-max-streaming-duration-min=0"], 2, "0"),
        (["-disable-metrics=maybe"], 2, "neither true nor false"),
        (["-port"], 2, "needs a value"),
        (["-nonsense"], 2, "-n"),
        (["positional"], 2, "positional"),
        (["--plain", "--address", "x", "--http-endpoint="], 2, "no address"),
        (["--plain", "--address=unix:///dev/null", "--http-endpoint="], 2, "is no socket"),
        (["--csi-address="], 2, "--csi-address is empty"),
        (["--plain", "--address=unix:///tmp/bd-x.sock", "--source=nothing:x"], 2, "nothing"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_cannot_be_served(words, code, text):
    done = blockdiff(*WORDS, *words, expect=code)
    assert text in done.stderr


def test_a_socket_that_is_taken(plain, driver, tmp_path):
    plain()
    done = blockdiff(
        *WORDS,
        "--plain",
        f"--address=unix://{tmp_path}/cbt.sock",
        f"--csi-address={driver.path}",
        "--http-endpoint=",
        expect=2,
    )
    assert "another process does" in done.stderr


def test_checks_of_the_base_that_cannot_be_made(run, api, driver, files, tmp_path):
    from tests.fixtures.sidecar import SIDECAR

    api.deny.add((SIDECAR, "list", "volumesnapshotcontents", ""))
    done = blockdiff(*WORDS, *kubernetes(api, driver, files, tmp_path, "--check-base-ownership=known"), expect=5)
    assert "--check-base-ownership=known needs to list VolumeSnapshotContents" in done.stderr
    run(*kubernetes(api, driver, files, tmp_path)).says("WARNING base handles are NOT checked")


def params(*words):
    from blockdiff.cli.serve.snapshot_metadata import command

    return command.make_context("x", list(words)).params


def test_every_flag_of_the_original_is_taken():
    from blockdiff.cli.serve.snapshot_metadata import command

    names = {name for param in command.params for name in param.opts}
    assert {f"--{name}" for name in ORIGINAL} <= names


def test_defaults_are_those_of_the_original_where_they_are_safe(monkeypatch):
    monkeypatch.delenv("TLS_CERT_PATH", raising=False)
    found = params()
    assert found["csi_address"] == "/run/csi/socket"
    assert found["timeout"] == 60
    assert found["port"] == 50051
    assert (found["max_streaming_duration_min"], found["kube_api_qps"], found["kube_api_burst"]) == (10, 5.0, 10)
    assert (found["metrics_path"], found["audience"], found["disable_metrics"]) == ("/metrics", "", False)
    assert (found["bind"], found["http_endpoint"]) == ("127.0.0.1", "127.0.0.1:8080")


def test_spellings_of_go(monkeypatch):
    monkeypatch.setenv("TLS_CERT_PATH", "/from/the/environment")
    found = params(
        "-port", "1", "-bind=-x", "--timeout", "1h2m3.5s", "-v", "5", "-disable-metrics=true", "-plain=false",
        "-logtostderr", "--log_dir=/x", "-grace=500ms", "-metrics-path", "-m",
    )  # fmt: skip
    assert (found["port"], found["bind"], found["timeout"], found["v"]) == (1, "-x", 3723.5, 5)
    assert (found["disable_metrics"], found["plain"], found["grace"], found["metrics_path"]) == (True, False, 0.5, "-m")
    assert found["tls_cert"] == "/from/the/environment"


@pytest.mark.parametrize("text", ["1", "m", "1x", "1m x", "-1m", "1m-1s", "", " 1m", "1e3s"])
def test_what_is_no_duration(text):
    with pytest.raises(click.UsageError, match="no duration"):
        params("-timeout", text)


@pytest.mark.parametrize("words", [["-version"], ["--version"], ["-version=true"]])
def test_version(words):
    assert re.fullmatch(r"Version: \S+\n", blockdiff(*WORDS, *words, expect=0).stdout)


@pytest.mark.parametrize("word", ["-h", "-help", "--help"])
def test_help(word):
    assert "drop-in" in blockdiff(*WORDS, word, expect=0).stdout
    assert "snapshot-metadata" in blockdiff("serve", "--help", expect=0).stdout


def test_an_unknown_server():
    assert "no server 'ftp'" in blockdiff("serve", "ftp", expect=2).stderr


def test_a_driver_that_never_comes_leaves_a_server_that_can_be_ended(run, tmp_path):
    server = run(
        "--plain", "--address", f"unix://{tmp_path}/s", "--csi-address", f"{tmp_path}/none", "--http-endpoint="
    )
    server.says("does not answer")
    assert server.end() == 0


def test_a_driver_that_is_lost(run, tmp_path):
    lost = ScriptedDriver(tmp_path / "lost.sock").start()
    server = run(
        "--plain", "--address", f"unix://{tmp_path}/s", "--csi-address", lost.path, "--http-endpoint=",
        "--exit-on-driver-loss", "--probe-interval", "50ms",
    )  # fmt: skip
    server.says("is ready")
    lost.stop()
    assert server.wait() == 5
