"""The private qemu-nbd: nobody else's, and gone with us."""

import gc
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from blockdiff.backends.image.layer import close_layers, node_of, open_layers
from blockdiff.backends.image.server import ImageServer
from blockdiff.errors import BackendUnavailable
from tests.fixtures.descriptors import descriptors, opened_since
from tests.fixtures.nbd import alive, run, until

PROGRAM = """
import os, sys, tempfile, time
from blockdiff.backends.image.layer import node_of, open_layers
from blockdiff.backends.image.server import ImageServer
layers = open_layers(sys.argv[1], "qcow2")
server = ImageServer(node_of(layers, force_share=False), [layers[0].fd], [], "u")
while server._process is None: pass
print(server._process.pid, flush=True)
if len(sys.argv) > 2:
    os.kill(os.getpid(), 9)
time.sleep(60)
"""


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "a.qcow2"
    run("qemu-img", "create", "-q", "-f", "qcow2", path, "8M")
    return path


@pytest.fixture
def layers(image):
    made = open_layers(str(image), "qcow2")
    yield made
    close_layers(made)


def start(layers, *options):
    return ImageServer(node_of(layers, force_share=False), [layer.fd for layer in layers], options, "u")


def greeting(server):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(server.path)
        client.settimeout(20)
        return client.recv(16)


def test_it_answers_and_ends(layers, tmp_path, monkeypatch):
    place = tmp_path / ("long" * 40)
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    before = descriptors()
    server = start(layers)
    assert list(place.iterdir()) == []
    assert greeting(server) == b"NBDMAGICIHAVEOPT"
    pid = server._process.pid
    server.stop()
    assert not alive(pid)
    server.stop()
    gc.collect()
    assert not opened_since(before)


def test_many_connect_at_once(layers):
    server = start(layers)
    try:
        found = []
        threads = [threading.Thread(target=lambda: found.append(greeting(server))) for _ in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [b"NBDMAGICIHAVEOPT"] * 32
    finally:
        server.stop()


def test_it_outlives_the_thread_that_asked_for_it(layers):
    """The parent-death signal is of the thread that starts the process."""
    made = []
    thread = threading.Thread(target=lambda: made.append(start(layers)))
    thread.start()
    thread.join()
    try:
        assert greeting(made[0]) == b"NBDMAGICIHAVEOPT"
        assert not made[0].ended()
    finally:
        made[0].stop()


@pytest.mark.parametrize("at_once", [False, True], ids=["later", "at-once"])
@pytest.mark.parametrize("number", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 5))])
def test_nothing_is_left_when_we_are_killed(image, tmp_path, at_once, number):
    place = tmp_path / "tmp"
    place.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, image, *(["now"] if at_once else [])],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(place)},
    )  # fmt: skip
    pid = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.communicate()
    until(lambda: not alive(pid), "qemu-nbd outlives us")
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(("tool", "package"), [("qemu-nbd", "qemu-utils"), ("setpriv", "util-linux")])
def test_what_is_missing_is_named(layers, tmp_path, monkeypatch, tool, package):
    for name in ("qemu-nbd", "setpriv", "sh"):
        if name != tool:
            (tmp_path / name).symlink_to(f"/bin/{name}")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackendUnavailable, match=package) as failed:
        start(layers)
    assert failed.value.exit_code == 4


def test_its_words_are_kept(layers):
    server = start(layers, "--bitmap", "missing")
    until(server.ended, "it runs on")
    assert "missing" in server.said()
    server.stop()


def test_an_interruption_while_it_starts_leaves_none_behind(layers, monkeypatch):
    """Ctrl-C before anybody has the server to stop it."""
    made = []

    class Interrupted(threading.Event):
        def wait(self, timeout=None):
            super().wait(timeout)
            raise KeyboardInterrupt

    def popen(*words, **options):
        made.append(process(*words, **options))
        return made[-1]

    process = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", popen)
    monkeypatch.setattr("blockdiff.backends.image.server._started_event", Interrupted, raising=True)
    with pytest.raises(KeyboardInterrupt):
        start(layers)
    assert len(made) == 1
    assert made[0].wait(20) != 0
