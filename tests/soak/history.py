"""Random histories of an image: what is done to it, as plain values, so that one can be run again, and cut down."""

from dataclasses import dataclass, field

MIB = 1 << 20
UNIT = 512


@dataclass(frozen=True)
class Layout:
    """How the image is made. ``level`` 0 has no exclusive lock, 1 has one, 2 also an object map, 3 also fast-diff."""

    size: int
    order: int
    striping: tuple[int, int] | None = None
    level: int = 3
    deep_flatten: bool = True
    partial_discards: bool = False

    @property
    def features(self):
        names = ["layering", "exclusive-lock", "object-map", "fast-diff"][: self.level + 1]
        return (*names, "deep-flatten") if self.deep_flatten else tuple(names)


@dataclass(frozen=True)
class History:
    """A layout and the steps: (name, argument...)."""

    layout: Layout
    steps: tuple[tuple, ...] = field(default=())

    def __str__(self):
        layout = self.layout
        head = f"{text(layout.size)}, objects of {text(1 << layout.order)}, {', '.join(layout.features)}"
        head += f", striped {text(layout.striping[0])} x {layout.striping[1]}" if layout.striping else ""
        head += ", partial discards" if layout.partial_discards else ""
        return "; ".join([head, *(" ".join([step[0], *map(text, step[1:])]) for step in self.steps)])


def text(value):
    """A number of bytes as a reader wants it."""
    if not isinstance(value, int) or value < 1024 or value % UNIT:
        return str(value)
    for unit, name in ((MIB, "M"), (1024, "K")):
        if value % unit == 0:
            return f"{value // unit}{name}"
    return str(value)


def random_history(rng):
    """A history of 8 to 60 steps. The sizes and snapshots that it names exist when every step is taken."""
    return History(*_Author(rng).write())


class _Author:
    """Keeps in mind what the image is like while the story is told."""

    def __init__(self, rng):
        self.rng = rng
        order = rng.choice((16, 16, 17, 18, 18, 20, 20, 22))
        objects = rng.choice((4, 8, 16, 32))
        limit = rng.choice((4, 8, 8, 8, 16, 64)) * MIB
        size = min(limit, max(4 * MIB, objects << order)) - rng.choice((0, 0, 0, UNIT, 5 * UNIT, 4096, 70_144))
        striping = rng.choice(((4096, 2), (65536, 4), (1 << order - 1, 3), (1 << order, 2)))
        self.layout = Layout(
            size=size,
            order=order,
            striping=striping if rng.random() < 0.2 and striping[0] <= 1 << order else None,
            level=rng.choice((3, 3, 3, 3, 3, 3, 2, 1, 0)),
            deep_flatten=rng.random() < 0.7,
            partial_discards=rng.random() < 0.3,
        )
        self.size, self.object, self.level = size, 1 << order, self.layout.level
        self.snaps, self.steps, self.names = {}, [], 0
        self.resizes = rng.random() < 0.6
        self.rollbacks = rng.random() < 0.5

    def write(self):
        rng = self.rng
        for _ in range(rng.randrange(3, 9)):
            for _ in range(rng.choice((0, 1, 2, 3, 5))):
                self.change()
            if rng.random() < 0.45:
                self.upheaval()
            self.snapshot()
        for _ in range(rng.choice((0, 0, 1, 3))):
            self.change()
        if self.resizes and rng.random() < 0.2:
            self.resize()
        return self.layout, tuple(self.steps)

    def span(self):
        """A range: of whole objects, of bytes, or the tail."""
        rng, size, step = self.rng, self.size, self.object
        kind = rng.choice(("objects", "objects", "bytes", "bytes", "small", "tail"))
        if kind == "objects":
            offset = rng.randrange(0, size, step)
            length = step * rng.choice((1, 1, 2, 3, 8))
        elif kind == "tail":
            length = rng.randrange(1, min(size, 2 * step) // UNIT + 1) * UNIT
            offset = size - length
        else:
            offset = rng.randrange(0, size, UNIT)
            length = rng.randrange(1, (8 if kind == "small" else 3 * step // UNIT) + 1) * UNIT
        return offset, min(length, size - offset, 4 * MIB)

    def change(self):
        kind = self.rng.choice(("write",) * 6 + ("zeroes", "discard", "discard", "discard", "write_zeroes"))
        offset, length = self.span()
        self.steps.append((kind, offset, length, *([self.rng.randrange(1 << 30)] if kind == "write" else [])))

    def upheaval(self):
        rng = self.rng
        kinds = ["remove", "remove", "features", "rebuild", "flatten", "clone", "clone", "deep-copy", "sparsify"]
        kinds += ["mirror-snapshot"] + ["resize"] * (12 if self.resizes else 0) + ["rollback"] * (14 * self.rollbacks)
        getattr(self, rng.choice(kinds).replace("-", "_"))()

    def snapshot(self):
        self.names += 1
        name = f"s{self.names}"
        self.snaps[name] = self.size
        self.steps.append(("snapshot", name))

    def remove(self):
        if len(self.snaps) > 2:
            name = self.rng.choice(list(self.snaps))
            del self.snaps[name]
            self.steps.append(("remove", name))

    def rollback(self):
        """Half of them to a snapshot in which nothing is new."""
        if not self.snaps:
            return
        name = self.rng.choice(list(self.snaps))
        if self.rng.random() < 0.5:
            self.snapshot()
            name = list(self.snaps)[-1]
            for _ in range(self.rng.randrange(1, 4)):
                self.change()
            self.snapshot()
        self.size = self.snaps[name]
        self.steps.append(("rollback", name))

    def resize(self):
        """Often twice, so that the end is as it was; with a snapshot of the small one, which may go later."""
        rng, before = self.rng, self.size
        self._size(self._other_size())
        if rng.random() < 0.6:
            if rng.random() < 0.6:
                self.snapshot()
            if rng.random() < 0.3:
                self.change()
            self._size(rng.choice((before, before, self.layout.size, self._other_size())))
            if rng.random() < 0.2:
                self.remove()

    def _size(self, size):
        self.size = size
        self.steps.append(("resize", size))

    def _other_size(self):
        rng = self.rng
        size = rng.randrange(1, 2 * self.layout.size // UNIT) * UNIT
        return min(64 * MIB, rng.choice((size, size - size % self.object + self.object)))

    def features(self):
        """Object maps switched on late, or off and on again: they are invalid until they are built anew."""
        if self.level < 3:
            self.level = 3
            self.steps.append(("enable",))
        else:
            self.steps.append(("disable",))
            if self.rng.random() < 0.7:
                self.change()
            if self.rng.random() < 0.3:
                self.snapshot()
            self.steps.append(("enable",))
        if self.rng.random() < 0.5:
            self.rebuild()

    def rebuild(self):
        """Of the head and all snapshots, or of some only."""
        for name in ["", *self.snaps]:
            if self.rng.random() < 0.8:
                self.steps.append(("rebuild", name))

    def flatten(self):
        self.steps.append(("flatten",))

    def clone(self):
        if self.snaps:
            name = self.rng.choice(list(self.snaps))
            self.size, self.snaps = self.snaps[name], {}
            same = self.layout.order
            order = same if self.layout.striping else self.rng.choice((same, same, 16, 20))
            self.object = 1 << order
            self.steps.append(("clone", name, order))

    def deep_copy(self):
        self.steps.append(("deep-copy",))

    def sparsify(self):
        self.steps.append(("sparsify", self.rng.choice((4096, 65536))))

    def mirror_snapshot(self):
        self.steps.append(("mirror-snapshot",))
