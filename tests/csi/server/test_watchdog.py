"""Functions at their time: in order, not when taken back, and each whatever became of the one before."""

import queue
import time

from blockdiff.csi.server.watchdog import Watchdog

WAIT = 30


def test_functions_run_in_order():
    told, dog, now = queue.Queue(), Watchdog(), time.monotonic()
    for delay in (0.2, 0.1, -1.0):
        dog.at(now + delay, lambda delay=delay: told.put(delay))
    assert [told.get(timeout=WAIT) for _ in range(3)] == [-1.0, 0.1, 0.2]
    dog.close()


def test_what_was_taken_back_does_not_run(caplog):
    told, dog = queue.Queue(), Watchdog()
    numbers = [dog.at(time.monotonic() + 3600, lambda: told.put("late")) for _ in range(1000)]
    for number in numbers:
        dog.forget(number)
        dog.forget(number)
    assert len(dog._heap) < 100
    dog.at(0, lambda: 1 / 0)
    dog.at(0, lambda: told.put("after"))
    assert told.get(timeout=WAIT) == "after"
    assert "ZeroDivisionError" in caplog.text
    dog.close()
    dog.at(0, lambda: told.put("closed"))
    assert told.empty()
