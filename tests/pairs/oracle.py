"""What the pairs ought to be, in the plainest words there are: every snapshot with every other."""

from blockdiff.pairs import tag_instant


def same(one, other, *, dates, tolerance, by_name):
    """True, False, or None where nothing says so; for two snapshots whose names stand once on each side."""
    if one.content and other.content:
        return one.content == other.content
    if one.name != other.name:
        return None
    if dates and one.created and other.created:
        return abs(one.created - other.created) <= tolerance
    if tag_instant(one.name) or by_name:
        return True
    return None


def best(source, target, **options):
    """The newest snapshot of the source that some snapshot of the target is the same as.

    For sides on which neither a name nor a content stands twice.
    """
    for one in reversed(source):
        by_content = [other for other in target if one.content and one.content == other.content]
        named = [other for other in target if other.name == one.name]
        if by_content:
            return one, by_content[0]
        for other in named:
            taken = any(other.content and other.content == ours.content for ours in source)
            if not taken and same(one, other, **options):
                return one, other
    return None


def reachable(links):
    """The snapshots that links make, from nothing."""
    have = {""}
    while True:
        more = {link.target for link in links if link.base in have} - have
        if not more:
            return have - {""}
        have |= more


def in_cycles(links):
    """The snapshots that are made, in some links, from themselves."""
    found = set()
    for begin in {link.target for link in links}:
        have, row = set(), [begin]
        while row:
            base = row.pop()
            for link in links:
                if link.base == base and link.target not in have:
                    have.add(link.target)
                    row.append(link.target)
        if begin in have:
            found.add(begin)
    return found
