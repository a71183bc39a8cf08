"""Applies a list of changes and compares, as `snapshot-metadata verify` does: ``csi_verify.py SRC DST LIST``."""

import sys

from blockdiff.csi.verifier import VerifierEmitter
from blockdiff.engine.extentlist import read_extents
from blockdiff.record import BlockMetadataType, Record

MESSAGE = 256  # ranges, as csi-driver-host-path sends them

source, target, listed = sys.argv[1:]
with VerifierEmitter(source, target) as emitter, read_extents(listed) as batches:
    number = 0
    for batch in batches:
        for start in range(0, len(batch), MESSAGE):
            number += 1
            emitter.record(number, Record(BlockMetadataType.FIXED_LENGTH, 0, batch[start : start + MESSAGE]))
    emitter.done(number)
    print(emitter.applied_bytes)
