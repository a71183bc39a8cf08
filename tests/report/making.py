"""Reports for tests, as the program writes them: from the ranges and states of a volume."""

import json
import random

from blockdiff._fast import Extents, format_extents
from blockdiff.cli.reportwriter import json_template
from blockdiff.engine.blockmap import BlockMap
from blockdiff.extent import Kind

G = 4096
LABELS = {int(kind): kind.label for kind in Kind if kind >= Kind.DIFF_DATA}
SIDES = {1: "source", 2: "target", 3: "both"}


def summary(found, size, *, holes=(), bad=(), left_out=(), **changes):
    """A report of verify without its list. ``found``: Extents of differences; the others: (offset, length) ranges."""
    found = found if isinstance(found, Extents) else Extents(found)
    whole = Extents([(0, size)] if size else [])
    hole, left = Extents([(a, n, 3) for a, n in holes]), Extents(left_out)
    unread = Extents([(*item[:2], item[2] if len(item) > 2 else 2) for item in bad])
    task = whole - hole - left
    blockmap = BlockMap(size, G)
    blockmap.known(hole)
    blockmap.settle(task, found, unread)
    skipped = {"hole": hole.total(), "not-listed": left.total()}
    read = task.total()

    def side(url):
        return {"url": url, "size": size, "read_path": "direct", "bytes_by_path": {"direct": read}, "note": ""}

    value = {
        "schema_version": 1, "command": "verify", "identical": not len(found) + len(unread), "complete": True,
        "source": side("/dev/vg0/data"), "target": side("backup/data.img"), "method": "content", "granularity": G,
        "offset": 0, "length": size, "size_policy": "strict", "difference_count": len(found),
        "differing_bytes": found.total(), "bytes_by_class": {LABELS[k]: n for k, n in found.totals().items()},
        "bytes_compared": read, "bytes_read": 2 * read,
        "skipped": [{"reason": name, "bytes": count} for name, count in skipped.items() if count],
        "unreadable": [{"offset": a, "length": n, "side": SIDES[int(k)]} for a, n, k in unread],
        "unreadable_bytes": unread.total(), "warnings": [], "workers": 2, "started_at": "2026-11-21T20:15:02.125Z",
        "elapsed_seconds": 41.5, "map": blockmap.to_dict(),
    }  # fmt: skip
    value.update(changes)
    return {key: item for key, item in value.items() if item is not None}


def report(found, size, **changes):
    """The same with its list."""
    found = [(*item[:2], item[2] if len(item) > 2 else 16) for item in found]
    value = summary(found, size, **changes)
    value.setdefault("differences", [{"offset": a, "length": n, "class": LABELS[int(k)]} for a, n, k in found])
    return value


def text_of(value):
    return json.dumps(value).encode()


def many(count, size=1 << 40, seed=7):
    """So many differences, spread over a volume in heaps as writes of a file system are."""
    dice = random.Random(seed)
    blocks = set()
    centres = [dice.randrange(size // G) for _ in range(200)]
    while len(blocks) < count:
        near = dice.choice(centres)
        block = int(dice.gauss(near, 300_000)) if dice.random() < 0.8 else dice.randrange(size // G)
        if 0 <= block < size // G:
            blocks.add(block & ~1)
    kinds = dice.choices([16, 17, 18, 19], [80, 8, 8, 4], k=count)
    return Extents([(block * G, G, kind) for block, kind in zip(sorted(blocks), kinds, strict=True)])


def write_big(path, found, size, **changes):
    """A report of very many differences."""
    with open(path, "wb") as file:
        file.write(b'{"differences":[')
        format_extents(found, json_template(), file.write)
        file.write(b"]," + text_of(summary(found, size, **changes))[1:])
