"""Snapshots of one volume as storages may list them, well or badly."""

import datetime as dt

from hypothesis import strategies as st

from blockdiff.snapshot import Snapshot

EPOCH = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
NAMES = ("a", "b", "c", "d", "auto-v2-hourly-202601010300-4", "auto-v2-daily-202601010000-4", "auto-v2-no-tag")


@st.composite
def sides(draw, *, twice=True):
    """A list of snapshots, oldest first; ``twice``: names and contents may stand more than once."""
    names = draw(st.lists(st.sampled_from(NAMES), max_size=7, unique=not twice))
    found, contents = [], set()
    for number, name in enumerate(names):
        content = draw(st.sampled_from(("", "", "x", "y", "z")))
        if content in contents and not twice:
            content = ""
        contents.add(content)
        made = draw(st.none() | st.integers(0, 4).map(lambda n: EPOCH + dt.timedelta(seconds=n)))
        found.append(Snapshot("v", name, str(number), made, content))
    return found


options = st.fixed_dictionaries(
    {
        "dates": st.booleans(),
        "by_name": st.booleans(),
        "tolerance": st.integers(0, 2).map(lambda n: dt.timedelta(seconds=n)),
    }
)
