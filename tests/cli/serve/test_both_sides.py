"""Both servers, each in a process of its own, as they stand in a cluster; and either of them killed."""

import base64
import json
import random
import signal

import pytest

from blockdiff.csi import wire
from tests.cli.serve.test_snapshot_metadata import Running, close, connect
from tests.fixtures.cli import blockdiff, start
from tests.fixtures.sidecar import DRIVER, WAIT, api, content, files, refused, snapshot, tuples, until

__all__ = ["api", "connect", "files"]

BLOCK, COUNT = 4096, 60_000
CHANGED = set(random.Random(1).sample(range(0, COUNT, 2), 300))


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory):
    """Two snapshots of a sparse volume: every second block has data, some of it changed."""
    place = tmp_path_factory.mktemp("snapshots")
    for name in ("monday.img", "tuesday.img"):
        with open(place / name, "wb") as file:
            for number in range(0, COUNT, 2):
                file.seek(number * BLOCK)
                file.write(bytes([1 + (name == "tuesday.img" and number in CHANGED)]) * BLOCK)
            file.truncate(COUNT * BLOCK)
    return place


@pytest.fixture
def both(tmp_path, snapshots, connect):
    """Starts them; gives a function that starts the driver again, and a client."""
    processes = []

    def driver():
        process = start("serve", "csi", "--source", f"dir:{snapshots}", "--endpoint", f"unix://{tmp_path}/csi.sock")
        processes.append(process)
        assert "listening on" in process.stderr.readline()
        return process

    def sidecar():
        where = f"unix://{tmp_path}/cbt.sock"
        words = ("--plain", "--address", where, "--csi-address", f"{tmp_path}/csi.sock", "--http-endpoint=")
        running = Running(*words, "--probe-interval=100ms")
        processes.append(running.process)
        running.says("is ready")
        return running, connect(where)

    yield driver, sidecar
    for process in processes:
        close(process)


def covered(found, block):
    return any(offset <= block * BLOCK and (block + 1) * BLOCK <= offset + size for offset, size in found)


def test_what_changed(both, snapshots):
    driver, sidecar = both
    driver()
    _, client = sidecar()
    found = tuples(client.delta("monday.img", "tuesday.img"))
    assert all(covered(found, block) for block in CHANGED)
    assert sum(size for _, size in found) == len(CHANGED) * BLOCK
    assert refused(client.delta("monday.img", "wednesday.img"))[0] == "NOT_FOUND"


@pytest.mark.parametrize("victim", ["driver", "sidecar"])
def test_one_is_killed_in_the_middle(both, snapshots, victim):
    driver, sidecar = both
    process = driver()
    server, client = sidecar()
    whole = tuples(client.allocated("monday.img"))
    stream = client.allocated("monday.img", max_results=1)
    got = [wire.decode(next(stream)) for _ in range(10)]
    (process if victim == "driver" else server.process).send_signal(signal.SIGKILL)
    rest = []

    def drain():
        for message in stream:
            rest.append(wire.decode(message))
            yield message

    assert refused(drain())[0] in {"UNAVAILABLE", "CANCELLED"}
    end = (got + rest)[-1].extents.end
    assert end < whole[-1][0]
    if victim == "driver":
        server.says("does not answer")
        driver()
        server.says("is ready")
    else:
        sidecar()
    first = [tuple(extent)[:2] for record in got + rest for extent in record.extents]
    until(lambda: _answers(client), WAIT)
    assert first + tuples(client.allocated("monday.img", starting_offset=end)) == whole


def _answers(client):
    import grpc

    try:
        return list(client.allocated("monday.img", starting_offset=COUNT * BLOCK))
    except grpc.RpcError:
        return False


def test_the_whole_way_in_a_cluster(tmp_path, snapshots, api, files):
    """From a VolumeSnapshot's name on the command line to the blocks of a file, and the same list without any of it."""
    for name in ("monday", "tuesday"):
        api.add("volumesnapshots", snapshot(name))
        api.add("volumesnapshotcontents", content(name, handle=f"{name}.img"))
    server = Running(
        f"--kubeconfig={api.kubeconfig(tmp_path / 'sidecar', 'kube-system', 'sidecar')}", "--kube-api-qps=1000",
        "--source", f"dir:{snapshots}", "--driver-name", DRIVER, "--port=0", "--http-endpoint=",
        f"--tls-cert={files.cert}", f"--tls-key={files.key}", "--check-base-ownership=strict",
    )  # fmt: skip
    try:
        port = server.says(r"listening on 127\.0\.0\.1:(\d+)")[1]
        server.says("is ready")
        service = api.objects["snapshotmetadataservices", "", DRIVER]["spec"]
        service |= {"address": f"localhost:{port}", "caCert": base64.b64encode(files.ca_pem).decode()}
        user = api.kubeconfig(tmp_path / "user", "app", "backup")
        words = ("-kubeconfig", user, "-n", "app", "-s", "tuesday", "-p", "monday", "-o", "json")
        listed = json.loads(blockdiff("snapshot-metadata", "list", *words, expect=0).stdout)
    finally:
        close(server.process)
    found = [(one.get("byte_offset", 0), one["size_bytes"]) for record in listed for one in record["block_metadata"]]
    assert sum(size for _, size in found) == len(CHANGED) * BLOCK
    assert all(covered(found, block) for block in CHANGED)
