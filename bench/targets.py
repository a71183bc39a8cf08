"""The goals, as data. A ratio is the peer's cost over ours, at least; a limit is in the unit of its metric.

Not reaching one is printed and never fails a run: times belong to machines, answers do not.
"""

from __future__ import annotations

from dataclasses import dataclass

EVERY = "*"
READING = "blockdiff diff --method content"
CONVERT = "qemu-img convert + compare"
UNITS = {"cpu": "x", "wall": "x", "seconds": "s", "milliseconds": "ms", "rate": "M/s", "peak": "MiB", "wire": "%"}
LARGER_IS_BETTER = {"cpu", "wall", "rate"}  # ratios are theirs over ours


@dataclass(frozen=True)
class Target:
    """``metric`` cpu and wall are ratios against ``peer``; the others are limits of our own."""

    workload: str
    metric: str
    peer: str
    goal: float

    def reached(self, value: float) -> bool:
        return value >= self.goal if self.metric in LARGER_IS_BETTER else value <= self.goal


def hot(folios: str, workers: int) -> str:
    return f"equal, hot, {folios} folios, {workers} worker{'s' * (workers > 1)}"


COLD = "equal, cold"
SCATTERED = "1 % of blocks differ, hot, all reported"
SPARSE_COLD = "sparse 64 GiB, cold"
SPARSE_HOT = "sparse 64 GiB, hot"
ZEROES = "written zeroes against a hole, hot"
START = "1 MiB pair, start to end"
REFLINK = "reflink, 1 % rewritten, cold"
COPY = "copy 10 % changed and verify, hot"
REPAIR = "repair 10 % changed, undo journal, verify, hot"
UNCHANGED = "blockdiff copy --changed --verify"
EMIT = "writing 1 M extents as json"
PARSE = "reading 1 M extents from json"
UNION = "union of two sets of 1 M extents"
INTERSECT = "intersect of two sets of 1 M extents"
SUBTRACT = "subtract of two sets of 1 M extents"
CONVERT_LIST = "converting 1 M extents from json to rbd"
RULES_NEXT = "next ticks of 100 000 rules of all languages"
RULES_DUE = "what is due now of 100 000 rules of all languages"
RULES_STANDSTILL = "the same after a standstill of 30 days"
RULES_CRON = "next ticks of 100 000 cron texts"
TAGS = "reading 1 M names of snapshots"
SCHEDULES = (RULES_NEXT, RULES_DUE, RULES_STANDSTILL, RULES_CRON, TAGS)
TRIAGE = "triage of 10 000 blocks of six kinds, with a history"
RECHECK = "recheck of 10 000 blocks"
DIGEST_XXH3 = "digest by XXH3-128, hot"
DIGEST_BLAKE3 = "digest by BLAKE3, hot"
DIGEST_VERIFY = "verify by a manifest, hot"
DIGESTS = (DIGEST_XXH3, DIGEST_BLAKE3, DIGEST_VERIFY)
XXHSUM, B3SUM = "xxhsum -H2", "b3sum"
PAGE = "page of a report of 1 M differences in 1 TiB"
BLOCK_MAP = "block map of 1 TiB with 1 M differences"
TRUST = (TRIAGE, RECHECK, PAGE, BLOCK_MAP)
CRONSIM, CRONITER = "cronsim", "croniter"
SMALL, LARGE = "4 KiB", "2 MiB"

RBD_THIN = "rbd: diff of a thin image, 500 objects changed"
RBD_DENSE = "rbd: diff with a change in every 8 KiB"
RBD_COLLECT = "rbd: the same, the library call only"
RBD_FULL = "rbd: verify two full images, reading"
RBD_SUMS = "rbd: verify two full images, osd-checksum"
RBD_THIN_PAIR = "rbd: verify two thin images"
RBD_READ = "rbd: read a full image"
RBD_EXPORT = "rbd: copy a full image to a file"
RBD_DELTA = "rbd: send 10 % changed to another image"
RBD = (RBD_THIN, RBD_DENSE, RBD_COLLECT, RBD_FULL, RBD_SUMS, RBD_THIN_PAIR, RBD_READ, RBD_EXPORT, RBD_DELTA)
RBD_DIFF, RBD_WHOLE, RBD_BINDING = "rbd diff", "rbd diff --whole-object", "Python binding, list"
RBD_QEMU, RBD_TO_NULL, RBD_TO_FILE = "qemu-img compare rbd:", "rbd export to /dev/null", "rbd export"
RBD_PIPE = "rbd export-diff, import-diff"

IMAGE_FULL = "qcow2: verify two full images, hot"
IMAGE_RAW = "qcow2: verify a full image and a raw disk, hot"
IMAGE_SPARSE = "qcow2: verify two sparse images, hot"
IMAGE_SPARSE_COLD = "qcow2: verify two sparse images, cold"
IMAGE_SCATTERED = "qcow2: verify two sparse images, data in single clusters, hot"
IMAGE_SCATTERED_COLD = "qcow2: verify two sparse images, data in single clusters, cold"
IMAGE_CHAIN = "qcow2: what an overlay changed, hot"
IMAGE_SPARSES = (IMAGE_SPARSE, IMAGE_SPARSE_COLD, IMAGE_SCATTERED, IMAGE_SCATTERED_COLD)
IMAGE_COPY = "qcow2: copy to a raw file, hot"
IMAGE_CONVERT = "qemu-img convert"
IMAGE = (IMAGE_FULL, IMAGE_RAW, *IMAGE_SPARSES, IMAGE_CHAIN, IMAGE_COPY)
NBD_FULL = "nbd: verify two full exports, hot"
NBD_SPARSE = "nbd: verify two sparse exports, hot"
NBD_SCATTERED = "nbd: verify two sparse exports, data in pieces of 64 KiB, hot"
NBD_READ = "nbd: read a full export, hot"
NBD_MAP = "nbd: the extents of a dirty bitmap as JSON"
NBD_COLLECT = "nbd: the same, the library call only"
NBD = (NBD_FULL, NBD_SPARSE, NBD_SCATTERED, NBD_READ, NBD_MAP, NBD_COLLECT)
NBD_QEMU, NBD_COPY, NBD_INFO = "qemu-img compare nbd:", "nbdcopy to null:", "nbdinfo --map --json"
NBD_LOOP = "libnbd's Python module"

CSI_STREAM = "csi: a stream over gRPC and TLS"
CSI_RELAY = "csi: the same through a driver's socket"
CSI_MANY = "csi: a long stream over gRPC and TLS"
CSI_VERIFY = "csi: verify by applying ranges of 4 KiB, hot"
CSI = (CSI_STREAM, CSI_RELAY, CSI_MANY, CSI_VERIFY)
CSI_PLAIN, CSI_CMP = "protobuf messages", "copy in a loop + cmp"

TARGETS = (
    Target(hot(SMALL, 1), "cpu", "cmp", 1.5),
    Target(hot(SMALL, 1), "cpu", "qemu-img compare", 1.8),
    Target(hot(LARGE, 1), "cpu", "cmp", 1.9),
    Target(hot(LARGE, 1), "cpu", "qemu-img compare", 2.2),
    Target(hot(SMALL, 2), "wall", "cmp", 2.5),
    Target(hot(LARGE, 2), "wall", "cmp", 2.5),
    Target(COLD, "wall", EVERY, 1.3),
    Target(COLD, "cpu", EVERY, 2.0),
    Target(SPARSE_COLD, "cpu", "qemu-img compare", 3.0),
    Target(SPARSE_HOT, "cpu", "qemu-img compare", 1.3),
    Target(REFLINK, "wall", READING, 20.0),
    Target(COPY, "cpu", CONVERT, 1.6),
    Target(EMIT, "rate", "", 30.0),
    Target(START, "milliseconds", "", 60.0),
    Target(UNION, "milliseconds", "", 50.0),
    Target(INTERSECT, "milliseconds", "", 50.0),
    Target(SUBTRACT, "milliseconds", "", 50.0),
    Target(CONVERT_LIST, "seconds", "", 0.5),
    Target(RULES_NEXT, "seconds", "", 1.0),
    Target(RULES_DUE, "seconds", "", 1.0),
    Target(RULES_CRON, "cpu", CRONSIM, 5.0),
    Target(TAGS, "seconds", "", 2.0),
    Target(TRIAGE, "seconds", "", 3.0),
    Target(RECHECK, "seconds", "", 3.0),
    Target(DIGEST_XXH3, "cpu", XXHSUM, 1.6),
    Target(DIGEST_BLAKE3, "cpu", B3SUM, 1.0),
    Target(DIGEST_VERIFY, "cpu", XXHSUM, 1.6),
    Target(PAGE, "seconds", "", 5.0),
    Target(BLOCK_MAP, "seconds", "", 1.0),
    Target(RBD_THIN, "wall", RBD_DIFF, 20.0),
    Target(RBD_DENSE, "wall", RBD_DIFF, 1.0),
    Target(RBD_COLLECT, "wall", RBD_BINDING, 1.7),
    Target(RBD_FULL, "wall", RBD_QEMU, 1.3),
    Target(RBD_SUMS, "cpu", RBD_QEMU, 10.0),
    Target(RBD_SUMS, "wire", "", 0.05),
    Target(RBD_THIN_PAIR, "wall", RBD_QEMU, 10.0),
    Target(RBD_READ, "wall", RBD_TO_NULL, 1.1),
    Target(IMAGE_FULL, "wall", "qemu-img compare", 1.3),
    Target(IMAGE_RAW, "wall", "qemu-img compare", 1.3),
    *(Target(workload, "cpu", "qemu-img compare", 3.0) for workload in IMAGE_SPARSES),
    Target(IMAGE_CHAIN, "wall", READING, 5.0),
    Target(NBD_FULL, "wall", NBD_QEMU, 1.3),
    Target(NBD_SPARSE, "cpu", NBD_QEMU, 3.0),
    Target(NBD_SCATTERED, "cpu", NBD_QEMU, 3.0),
    Target(NBD_READ, "wall", NBD_COPY, 1.0),
    Target(NBD_MAP, "wall", NBD_INFO, 1.0),
    Target(NBD_COLLECT, "cpu", NBD_LOOP, 10.0),
    Target(CSI_STREAM, "rate", "", 5.0),
    Target(CSI_STREAM, "wall", CSI_PLAIN, 5.0),
    Target(CSI_RELAY, "rate", "", 5.0),
    Target(CSI_VERIFY, "wall", CSI_CMP, 0.5),
)


def emit(name: str) -> str:
    return f"writing 1 M extents as {name}"


ORDER = (
    *(hot(folios, workers) for folios in (SMALL, LARGE) for workers in (1, 2)),
    *(
        COLD,
        SCATTERED,
        SPARSE_COLD,
        SPARSE_HOT,
        ZEROES,
        REFLINK,
        COPY,
        REPAIR,
        START,
        EMIT,
        PARSE,
        UNION,
        INTERSECT,
        SUBTRACT,
    ),
    CONVERT_LIST,
    *SCHEDULES,
    *TRUST,
    *DIGESTS,
    *RBD,
    *IMAGE,
    *NBD,
    *CSI,
)


def find(workload: str, metric: str, peer: str) -> Target | None:
    """The goal of this measurement; one for every peer gives way to one that names it."""
    for name in (peer, EVERY):
        for target in TARGETS:
            if (target.workload, target.metric, target.peer) == (workload, metric, name):
                return target
    return None


def expected() -> set[str]:
    """The workloads that have a goal: one that did not run is named."""
    return {target.workload for target in TARGETS}
