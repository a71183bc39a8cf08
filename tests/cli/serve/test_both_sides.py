"""Both servers, each in a process of its own, as they stand in a cluster; and either of them killed."""

import random
import signal

import pytest

from blockdiff.csi import wire
from tests.cli.serve.test_snapshot_metadata import Running, close, connect
from tests.fixtures.cli import start
from tests.fixtures.sidecar import WAIT, refused, tuples, until

__all__ = ["connect"]

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
        assert "serving" in process.stderr.readline()
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
