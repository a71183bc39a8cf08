"""The benchmarks of this room on tiny data, so that they cannot rot into a wrong answer."""

import grpc
import pytest

pytest.importorskip("bench", reason="the benchmarks are in the source tree, not in a wheel")
from bench import csi_client, data, runner
from bench.test_csi import Servers, answer, contestants
from blockdiff.csi import SnapshotMetadata

COUNT = 25_000


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    made = Servers(tmp_path_factory.mktemp("bench"))
    yield made
    made.close()


@pytest.mark.parametrize("kind", ["sidecar", "relay", "plain"])
def test_streams(servers, kind):
    trusted, address = servers.ca.read_bytes(), servers[kind].address
    service = SnapshotMetadata(address, ca_cert=trusted, token="bench")
    assert csi_client.native(service, COUNT) == answer(COUNT)
    with grpc.secure_channel(address, grpc.ssl_channel_credentials(trusted)) as channel:
        assert csi_client.plain(channel, COUNT) == answer(COUNT)
    assert servers[kind].peak > 0


def test_verifiers(tmp_path):
    store = data.Store(str(tmp_path))
    pair = store.rewritten(4 << 20, block=4096)
    for command in contestants(pair, store):
        assert command.run().wall > 0
    lied = data.Pair(pair.source, pair.target, data.Truth(pair.truth.size, pair.truth.changed[1:]), pair.data)
    data.restore(pair)
    for command in contestants(lied, store):
        with pytest.raises(runner.WrongAnswer):
            command.run()
