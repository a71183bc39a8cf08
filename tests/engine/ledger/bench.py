"""Two images and a ledger of them, for tests."""

import random

import blockdiff
from blockdiff._fast import Extents
from blockdiff.budget import parse_budget
from blockdiff.engine.ledger.schema import EQUAL
from blockdiff.engine.ledger.session import Session
from blockdiff.engine.ledger.store import Ledger
from blockdiff.engine.options import ReadOptions

UNIT = 65536


class Bench:
    """``a`` and ``b`` have ``units`` whole units and a tail; holes are units that neither has."""

    def __init__(self, place, *, units=30, tail=777, holes=(), seed=1):
        self.place, self.size = place, units * UNIT + tail
        self.units = -(-self.size // UNIT)
        self.path = str(place / "ledger")
        data = random.Random(seed).randbytes(self.size)
        for name in "ab":
            with (place / name).open("wb") as file:
                for at in range(0, self.size, UNIT):
                    if at // UNIT not in holes:
                        file.seek(at)
                        file.write(data[at : at + UNIT])
                file.truncate(self.size)

    def spoil(self, unit, name="b", at=100):
        with (self.place / name).open("r+b") as file:
            file.seek(unit * UNIT + at)
            byte = file.read(1)
            file.seek(unit * UNIT + at)
            file.write(bytes([(byte or b"\0")[0] ^ 1]))

    def mend(self):
        for name in "b":
            (self.place / name).write_bytes((self.place / "a").read_bytes())

    def list(self, *units):
        return [Extents(sorted((unit * UNIT + 10, 5) for unit in set(units)))]

    def run(self, budget=None, only=None, *, wrap=lambda device: device, clock=None, **comparing):
        """(report, differences, units that were read, facts)."""
        session = Session(self.path, parse_budget(budget) if budget else None)
        read = set()
        watcher = Watcher(read)
        comparing = {"options": ReadOptions(), "watchers": [watcher], "only": only, **comparing}
        with blockdiff.open_device(self.place / "a") as source, blockdiff.open_device(self.place / "b") as plain:
            target = wrap(plain)
            try:
                session.plan(source, target, comparing)
                if clock is not None:
                    session._recorder._clock = clock
                    comparing["clock"] = clock
                run = session.compare(source, target, **comparing)
                found = [tuple(extent) for batch in run for extent in batch]
                session.conclude(run.report)
            except BaseException as error:
                session.failed(error)
                raise
            finally:
                session.close()
        return run.report, found, read, run.report.extra["ledger"]

    def verified(self):
        """The units that the ledger calls equal, with the run."""
        ledger = Ledger.read(self.path)
        try:
            return {
                unit: row.run
                for row in ledger.rows()
                if row.state == EQUAL
                for unit in range(row.start // UNIT, -(-row.end // UNIT))
            }
        finally:
            ledger.close()

    def check(self):
        """The law: what the ledger calls verified is equal, where everything that changed was listed."""
        one, other = ((self.place / name).read_bytes() for name in "ab")
        for unit in self.verified():
            where = slice(unit * UNIT, (unit + 1) * UNIT)
            assert one[where] == other[where], unit


class Watcher:
    def __init__(self, read):
        self.read = read

    def known(self, plan):
        pass

    def settle(self, task, found, unreadable):
        for offset, length, _ in task:
            self.read |= set(range(offset // UNIT, -(-(offset + length) // UNIT)))
