"""The driver comes, goes, is slow, or is another one; clients go away; and nobody is told that a part is all."""

import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from blockdiff.csi.errors import StatusError
from tests.fixtures.scripted import ScriptedDriver, message
from tests.fixtures.sidecar import WAIT, refused, tuples, until

NAME = "snapshot_metadata_controller"
NOT_READY = ("UNAVAILABLE", "the CSI driver is not yet ready")


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr("blockdiff.csi.sidecar.monitor.IMPATIENCE", 0.05)


def page(started, path="/health"):
    try:
        with urllib.request.urlopen(f"http://{started.server.http_address}{path}", timeout=WAIT) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def health(started):
    answer = health_pb2_grpc.HealthStub(started.channel).Check(health_pb2.HealthCheckRequest(), timeout=WAIT)
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


def test_it_is_ready_when_the_driver_is(sidecar, driver):
    driver.ready = False
    started = sidecar(wait=False)
    until(lambda: started.server._monitor.name)
    assert refused(started.client.allocated()) == NOT_READY
    assert (health(started), page(started)) == ("NOT_SERVING", (503, "not ready"))
    driver.ready = True
    until(lambda: health(started) == "SERVING")
    assert page(started) == (200, "ok")
    assert tuples(started.client.allocated())


def test_a_driver_that_does_not_say_is_ready(sidecar, driver):
    driver.ready = None
    assert tuples(sidecar().client.allocated())


def test_a_driver_that_comes_later(sidecar, driver):
    driver.stop()
    started = sidecar(wait=False)
    assert refused(started.client.allocated()) == NOT_READY
    assert health(started) == "NOT_SERVING"
    driver.start()
    until(lambda: health(started) == "SERVING")
    assert tuples(started.client.allocated())


def test_a_driver_that_goes_and_comes_back(sidecar, driver):
    started = sidecar(probe_interval=WAIT)
    driver.stop()
    code, _ = refused(started.client.allocated())
    assert code == "UNAVAILABLE"
    until(lambda: health(started) == "NOT_SERVING")  # found by the call that failed, long before the next probe
    assert page(started)[0] == 503
    driver.start()
    until(lambda: health(started) == "SERVING")
    assert tuples(started.client.allocated())


def test_another_driver_at_the_same_socket(sidecar, driver, caplog):
    started = sidecar(probe_interval=0.05)
    driver.stop()
    other = ScriptedDriver(driver.path, name="other.example").start()
    try:
        until(lambda: health(started) == "NOT_SERVING")
        until(lambda: "is 'other.example' now" in caplog.text)
        assert refused(started.client.allocated()) == NOT_READY
    finally:
        other.stop()
    driver.start()
    until(lambda: health(started) == "SERVING")


def test_a_driver_that_cannot_do_it_ends_the_server(sidecar, driver):
    driver.capabilities = [1]
    started = sidecar(wait=False)
    assert started.server.ended.wait(WAIT)
    assert started.server.failed.exit_code == 4
    assert str(started.server.failed) == ("CSI driver test.csi.example does not support the SNAPSHOT_METADATA_SERVICE")


def test_a_lost_driver_ends_the_server_where_asked(sidecar, driver):
    started = sidecar(probe_interval=0.05, exit_on_driver_loss=True)
    driver.stop()
    assert started.server.ended.wait(WAIT)
    assert started.server.failed.exit_code == 5


def test_a_client_that_goes_away_ends_the_drivers_work(sidecar, driver):
    def answer(request, context):
        yield message((0, 4096))
        assert driver.cancelled.wait(WAIT)

    driver.answer = answer
    stream = sidecar().client.allocated()
    next(stream)
    stream.cancel()
    assert driver.cancelled.wait(WAIT)


def test_a_client_that_never_reads_is_thrown_out_and_others_are_served(sidecar, driver, monkeypatch):
    monkeypatch.setattr("blockdiff.csi.server.streams.LAST_WORDS", 0.2)

    def answer(request, context):
        if request.snapshot_id == "handle-b":
            yield message((0, 512))
            return
        for number in range(100_000):
            yield message(*((number * (1 << 30) + offset * 8192, 4096) for offset in range(2000)), capacity=1 << 60)

    driver.answer = answer
    started = sidecar(duration=1.0)
    stuck = started.client.allocated("a")
    next(stuck)
    assert tuples(started.client.allocated("b")) == [(0, 512)]
    assert driver.cancelled.wait(WAIT)
    assert refused(stuck)[0] in {"DEADLINE_EXCEEDED", "CANCELLED"}


def test_a_driver_that_hangs_is_given_up(sidecar, driver):
    def answer(request, context):
        yield message((0, 4096))
        driver.cancelled.wait(WAIT)

    driver.answer = answer
    stream = sidecar(duration=0.5).client.allocated()
    assert tuples([next(stream)]) == [(0, 4096)]
    assert refused(stream)[0] == "DEADLINE_EXCEEDED"
    assert driver.cancelled.wait(WAIT)


def test_a_driver_that_ends_cleanly_when_its_time_is_up(sidecar, driver):
    """As one known driver does: its truncated list must not pass for all of it."""

    def answer(request, context):
        yield message((0, 4096))
        while context.is_active() and not driver.cancelled.wait(0.02):
            pass

    driver.answer = answer
    assert refused(sidecar(duration=0.5).client.allocated())[0] == "DEADLINE_EXCEEDED"
    assert driver.cancelled.wait(WAIT)  # later, it would end the next one
    driver.cancelled.clear()
    assert refused(sidecar().client.allocated(timeout=0.5))[0] == "DEADLINE_EXCEEDED"


def test_a_driver_that_dies_in_mid_stream(sidecar, driver):
    go = threading.Event()

    def answer(request, context):
        yield message((0, 4096))
        go.wait(WAIT)

    driver.answer = answer
    stream = sidecar().client.allocated()
    next(stream)
    stopping = threading.Thread(target=driver.stop)
    stopping.start()
    assert refused(stream)[0] in {"UNAVAILABLE", "CANCELLED", "UNKNOWN"}
    go.set()
    stopping.join(WAIT)


def test_200_clients_at_once(sidecar, driver):
    """All of them are in mid-stream at the same time, and one is served wrongly by the driver."""
    everybody = threading.Barrier(200, timeout=60)

    def answer(request, context):
        yield message((0, 4096))
        everybody.wait()
        if request.starting_offset == 13:
            yield message((0, 4096))
        yield message((8192, 4096))

    driver.answer = answer
    client = sidecar(max_streams=200).client

    def ask(number):
        try:
            return tuples(client.allocated(starting_offset=number, timeout=100))
        except grpc.RpcError as error:
            return error.code().name

    with ThreadPoolExecutor(200) as pool:
        found = list(pool.map(ask, range(200)))
    assert found.pop(13) == "INTERNAL"
    assert set(map(tuple, found)) == {((0, 4096), (8192, 4096))}


def test_metrics(sidecar, driver):
    started = sidecar()
    assert tuples(started.client.delta())
    assert refused(started.client.allocated("nothing"))[0] == "NOT_FOUND"
    driver_name, status = 'driver_name="test.csi.example"', "grpc_status_code"
    calls = f"{NAME}_operations_seconds_count"
    wanted = [
        f"{line} {count}"
        for line, count in {
            f'{calls}{{{driver_name},{status}="OK",method_name="MetadataDelta"}}': 1.0,
            f'{calls}{{{driver_name},{status}="NotFound",method_name="MetadataAllocated"}}': 1.0,
            f'{NAME}_tuples_total{{{driver_name},method_name="MetadataDelta"}}': 3.0,
            f'{NAME}_messages_total{{{driver_name},method_name="MetadataDelta"}}': 2.0,
            f"{NAME}_driver_ready": 1.0,
        }.items()
    ]
    until(lambda: all(line in page(started, "/metrics")[1].splitlines() for line in wanted))
    assert "snap" not in "".join(
        line.split("{")[1]
        for line in page(started, "/metrics")[1].splitlines()
        if line.startswith("snap") and "{" in line
    )
    assert page(started, "/other")[0] == 404


def test_metrics_can_be_left_out_or_elsewhere(sidecar, driver):
    assert page(sidecar(metrics=False), "/metrics")[0] == 404
    moved = sidecar(metrics_path="/m")
    assert (page(moved, "/m")[0], page(moved, "/metrics")[0], page(moved)[0]) == (200, 404, 200)


def test_requests_to_the_api_server_are_limited(sidecar, api, driver):
    """A caller whose time is up before its turn comes is told so."""
    client = sidecar(qps=0.001, burst=1).client
    code, text = refused(client.allocated())
    assert code == "INTERNAL"
    assert text.startswith("failed to authorize the user: too many requests to the API server")


def test_a_slow_api_server_does_not_hold_a_call_for_ever(sidecar, api, driver):
    started = sidecar(duration=0.5)
    api.delays["tokenreviews"] = 3
    assert refused(started.client.allocated())[0] in {"INTERNAL", "DEADLINE_EXCEEDED"}


def test_a_dead_api_server_is_told(sidecar, api, driver):
    started = sidecar()
    api.stop()
    code, text = refused(started.client.allocated())
    assert code == "INTERNAL"
    assert text.startswith("failed to authenticate user: ")


def test_calls_are_told_in_one_line(sidecar, driver, caplog):
    caplog.set_level("INFO", "blockdiff")
    started = sidecar()
    assert tuples(started.client.delta())
    until(lambda: [record for record in caplog.records if record.name == "blockdiff.csi.calls"])
    (line,) = [record for record in caplog.records if record.name == "blockdiff.csi.calls"]
    assert {
        key: line.fields[key] for key in ("code", "namespace", "snapshot", "base", "user", "messages", "tuples")
    } == {
        "code": "OK",
        "namespace": "app",
        "snapshot": "b",
        "base": "handle-a",
        "user": started.user,
        "messages": 2,
        "tuples": 3,
    }


def test_a_fault_of_ours_stays_in_its_call(sidecar, driver, monkeypatch):
    started = sidecar()
    monkeypatch.setattr(started.server._driver, "allocated", lambda *_, **__: 1 / 0)
    code, text = refused(started.client.allocated())
    assert (code, text) == ("INTERNAL", "internal error: ZeroDivisionError: the log of the server says more")
    assert tuples(started.client.delta())


def test_a_closed_driver_is_unavailable(driver):
    from blockdiff.csi.driver import SocketDriver

    client = SocketDriver(driver.endpoint, timeout=WAIT)
    assert client.name == "test.csi.example"
    client.close()
    with pytest.raises(StatusError) as caught:
        assert client.name
    assert caught.value.code in {"UNAVAILABLE", "CANCELLED"}
