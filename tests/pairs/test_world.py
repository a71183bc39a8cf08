"""A source and its replica live through random histories: what is planned must be right, whatever happened."""

import datetime as dt

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from blockdiff.pairs import Evidence, compare, next_steps
from blockdiff.snapshot import Snapshot
from tests.pairs.strategies import EPOCH

NAMES = st.sampled_from(["a", "b", "c"])


class World(RuleBasedStateMachine):
    """Contents are numbers. A side keeps dates and content ids or not, and then for all that it has."""

    @initialize(ids=st.sampled_from(["none", "source", "both"]), dated=st.booleans())
    def begin(self, ids, dated):
        self.ids, self.dated = ids, dated
        self.clock, self.number, self.head = 0, 0, 0
        self.source, self.target = [], []  # (name, id, instant, content)
        self.tags = 0

    @rule()
    def write(self):
        self.number += 1
        self.head = self.number

    @rule(name=NAMES)
    def snapshot(self, name):
        """The name may have been that of another one, which was removed."""
        self.clock += 1
        if name not in {one[0] for one in self.source}:
            self.source.append((name, str(self.clock), self.clock, self.head))

    @rule()
    def tag(self):
        """A schedule gives each tag once."""
        self.tags += 1
        self.clock += 1
        self.source.append(
            (
                f"auto-v2-hourly-2026010{self.tags % 9 + 1}{self.tags // 9:02}00-4",
                str(self.clock),
                self.clock,
                self.head,
            )
        )

    @rule()
    def replicate(self):
        """All that is newer than what the replica has, in order, under the same names and dates."""
        have = {one[0] for one in self.target}
        for name, _, instant, content in self.source:
            if name not in have:
                self.clock += 1
                self.target.append((name, f"t{self.clock}", instant, content))

    @rule(place=st.integers(0, 9), side=st.sampled_from(["source", "target"]))
    def remove(self, place, side):
        made = getattr(self, side)
        if made:
            made.pop(place % len(made))

    @rule(place=st.integers(0, 9), name=NAMES, side=st.sampled_from(["source", "target"]))
    def rename(self, place, name, side):
        made = getattr(self, side)
        if made and name not in {one[0] for one in made}:
            made[place % len(made)] = (name, *made[place % len(made)][1:])

    @rule(place=st.integers(0, 9))
    def roll_back(self, place):
        if self.source:
            self.head = self.source[place % len(self.source)][3]

    @rule(name=NAMES)
    def someone_else_takes_a_snapshot_there(self, name):
        self.clock += 1
        if name not in {one[0] for one in self.target}:
            self.number += 1
            self.target.append((name, f"t{self.clock}", self.clock, self.number))

    @invariant()
    def what_is_planned_is_right(self):
        if not hasattr(self, "ids"):
            return
        source = [self._listed(one, self.ids != "none") for one in self.source]
        target = [self._listed(one, self.ids == "both") for one in self.target]
        contents = {one[1]: one[3] for one in (*self.source, *self.target)}
        found = compare(source, target)
        for match in found.matches:
            assert match.by is not Evidence.NAME
            assert contents[match.source.id] == contents[match.target.id]
        steps = next_steps(source, target, found)
        if steps.base:
            assert contents[steps.base.source.id] == contents[steps.base.target.id]
            newer = source[source.index(steps.base.source) + 1 :]
            assert [pair.target for pair in steps.pairs] == [one for one in newer if one not in steps.held_back]
        if self.ids == "both":  # nothing that both have is overlooked
            there = {one[3] for one in self.target}
            assert bool(found.matches) is any(one[3] in there for one in self.source)

    def _listed(self, one, with_content):
        name, number, instant, content = one
        made = EPOCH + dt.timedelta(seconds=instant) if self.dated else None
        return Snapshot("disk", name, number, made, f"c{content}" if with_content else "")


TestWorld = World.TestCase
TestWorld.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
