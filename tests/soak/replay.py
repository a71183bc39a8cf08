"""Does to real images what a history says."""

import collections
import random

from tests.fixtures.ceph_client import FEATURES
from tests.fixtures.ceph_cluster import CephError

MIRROR_IMAGES = MIRRORED = BY_SNAPSHOT = 1
MAPS = FEATURES["object-map"] | FEATURES["fast-diff"]


class Replay:
    """``images`` are the specs that came to be: clones and deep copies after what they were made of.

    ``refused`` counts the steps that the cluster did not take, which are left out. ``touched`` is what was done to
    each image, for the descriptions.
    """

    def __init__(self, ceph, history, name):
        self._ceph, self._history, self._name = ceph, history, name
        self.images, self.refused = [], collections.Counter()
        self._spec = self._level = None

    def run(self):
        layout = self._history.layout
        unit, count = layout.striping or (0, 0)
        spec = self._ceph.image(
            self._name, layout.size, features=layout.features, order=layout.order, stripe_unit=unit, stripe_count=count
        )
        self._begin(spec)
        changes = []
        for name, *arguments in self._history.steps:
            if name in CHANGES:
                changes.append((name, *arguments))
                continue
            self._change(changes)
            changes = []
            try:
                getattr(self, f"_{name.replace('-', '_')}")(*arguments)
            except CephError as error:
                self.refused[f"{name}: {error.kind}"] += 1
        self._change(changes)
        return self

    def _begin(self, spec):
        self._spec = spec
        self.images.append(spec)
        if self._history.layout.partial_discards:
            self._ceph.on(spec, ("metadata_set", "conf_rbd_skip_partial_discard", "false"))

    def _change(self, changes):
        size = self._ceph.on(self._spec, ("size",)) if changes else 0
        calls = []
        for name, offset, wanted, *seed in changes:
            length = min(wanted, size - offset)
            if length > 0:
                calls.append(CHANGES[name](offset, length, *seed))
        if calls:
            self._ceph.on(self._spec, *calls, ("flush",))

    def _snapshot(self, name):
        self._ceph.on(self._spec, ("create_snap", name))

    def _remove(self, name):
        self._ceph.on(self._spec, ("remove_snap", name))

    def _resize(self, size):
        self._ceph.resize(self._spec, size)

    def _rollback(self, name):
        self._ceph.on(self._spec, ("rollback_to_snap", name))

    def _enable(self):
        for feature in ("exclusive-lock", "object-map", "fast-diff"):
            bit = FEATURES[feature]
            if not self._ceph.on(self._spec, ("features",)) & bit:
                self._ceph.on(self._spec, ("update_features", bit, True))

    def _disable(self):
        self._ceph.on(self._spec, ("update_features", MAPS, False))

    def _rebuild(self, name):
        self._ceph.on(self._spec, *([("set_snap", name)] if name else []), ("rebuild_object_map",))

    def _flatten(self):
        self._ceph.on(self._spec, ("flatten",))

    def _clone(self, name, order):
        features = self._history.layout.features
        parent = f"{self._spec}@{name}"
        self._begin(self._ceph.clone(parent, f"{self._name}.{len(self.images)}", order=order, features=features))

    def _deep_copy(self):
        made = self._ceph.deep_copy(
            self._spec, f"{self._name}.{len(self.images)}", features=self._history.layout.features
        )
        self._begin(made)

    def _sparsify(self, unit):
        self._ceph.on(self._spec, ("sparsify", unit))

    def _mirror_snapshot(self):
        pool, ask = (self._ceph.pool, ""), self._ceph.cluster.ask
        if ask("pool", pool, "mirror_mode_get", ()) != MIRROR_IMAGES:
            ask("pool", pool, "mirror_mode_set", (MIRROR_IMAGES,))
            ask("pool", pool, "mirror_peer_add", ("elsewhere", "client.mirror"))
        if self._ceph.on(self._spec, ("mirror_image_get_info",))["state"] != MIRRORED:
            self._ceph.on(self._spec, ("mirror_image_enable", BY_SNAPSHOT))
        else:
            self._ceph.on(self._spec, ("mirror_image_create_snapshot",))


CHANGES = {
    "write": lambda offset, length, seed: ("write", random.Random(seed).randbytes(length), offset),
    "zeroes": lambda offset, length: ("write", bytes(length), offset),
    "discard": lambda offset, length: ("discard", offset, length),
    "write_zeroes": lambda offset, length: ("write_zeroes", offset, length),
}
