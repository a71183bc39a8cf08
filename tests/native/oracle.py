"""Naive answers to compare the native core with: a set is a dict of byte to kind."""

from itertools import pairwise

from hypothesis import strategies as st

from blockdiff._fast import Extents

SPAN = 80


@st.composite
def extent_sets(draw, span=SPAN, kinds=(0, 1, 2)):
    """Extents inside [0, span), neighbours allowed."""
    cuts = sorted(draw(st.sets(st.integers(0, span), max_size=24)))
    pairs = list(pairwise(cuts))
    keep = draw(st.lists(st.booleans(), min_size=len(pairs), max_size=len(pairs)))
    return Extents([(a, b - a, draw(st.sampled_from(kinds))) for (a, b), kept in zip(pairs, keep, strict=True) if kept])


def byte_map(extents):
    return {at: int(e.kind) for e in extents for at in range(e.offset, e.end)}


def from_bytes(bytes_):
    """The coalesced extents of a dict of byte to kind, as tuples."""
    found = []
    for at, kind in sorted(bytes_.items()):
        if found and found[-1][2] == kind and found[-1][0] + found[-1][1] == at:
            found[-1][1] += 1
        else:
            found.append([at, 1, kind])
    return [tuple(e) for e in found]


def tuples(extents):
    return [(e.offset, e.length, int(e.kind)) for e in extents]


def batched(draw, extents):
    """The same extents cut into batches anywhere, empty ones included."""
    cuts = sorted(draw(st.lists(st.integers(0, len(extents)), max_size=6)))
    return [extents[a:b] for a, b in zip([0, *cuts], [*cuts, len(extents)], strict=True)]
