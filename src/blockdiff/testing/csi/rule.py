"""The rules, as data. What judges each is in the modules named judge_*."""

from __future__ import annotations

from typing import NamedTuple

ALLOCATED = "CSI spec.md, GetMetadataAllocated"
DELTA = "CSI spec.md, GetMetadataDelta"
ERRORS = "CSI spec.md, GetMetadataAllocated Errors and GetMetadataDelta Errors"
IDENTITY = "CSI spec.md, Identity Service RPC"
KUBE = "external-snapshot-metadata, proto/schema.proto"
KEP = "KEP-3314, Metadata Format and RPCs"
LAW = "follows from the purpose: what is not listed is not backed up"


class Rule(NamedTuple):
    """A rule: ``id``, what it says, ``where`` that is written, and the ``sides`` (csi, kube) that it binds."""

    id: str
    text: str
    where: str
    sides: tuple[str, ...] = ("csi", "kube")

    def __str__(self) -> str:
        return self.id


RULES = (
    # what every message of every stream obeys
    Rule("type-known", "block_metadata_type is FIXED_LENGTH or VARIABLE_LENGTH", f"{ALLOCATED}: REQUIRED field"),
    Rule("type-constant", "block_metadata_type is the same in all messages of a stream", ALLOCATED),
    Rule("capacity-positive", "volume_capacity_bytes is the size of the volume", f"{ALLOCATED}: REQUIRED field"),
    Rule("capacity-constant", "volume_capacity_bytes is the same in all messages of a stream", ALLOCATED),
    Rule("size-positive", "size_bytes is greater than zero", "CSI spec.md, BlockMetadata"),
    Rule("offset-not-negative", "byte_offset is a position in the volume", "CSI spec.md, BlockMetadata"),
    Rule("ascending", "byte_offset increases strictly, also from message to message", ALLOCATED),
    Rule("no-overlap", "a tuple begins where the one before it ends, or later; also across messages", ALLOCATED),
    Rule("within-capacity", "no tuple reaches beyond volume_capacity_bytes", "CSI spec.md, BlockMetadata"),
    Rule("fixed-size", "all tuples of a FIXED_LENGTH stream have one size_bytes", ALLOCATED),
    Rule("message-size", "a message is no larger than gRPC clients take by default, 4 MiB", "gRPC core, defaults"),
    # complete streams
    Rule("allocated-complete", "the allocated blocks of the snapshot can be listed to a clean end", ALLOCATED),
    Rule("delta-complete", "the changes since the base can be listed to a clean end", DELTA),
    Rule("deterministic", "a snapshot does not change: the same question has the same answer", LAW),
    Rule(
        "empty-list", "a stream with nothing to list ends cleanly; a message without tuples has type and capacity", KEP
    ),
    Rule("delta-self", "nothing changed between a snapshot and itself", DELTA),
    Rule("same-capacity", "allocated and delta of one snapshot tell the same volume_capacity_bytes", KEP),
    # starting_offset
    Rule("start-first", "no tuple ends at or before starting_offset", f"{ALLOCATED}, starting_offset"),
    Rule("start-complete", "from any starting_offset, all is listed that lies after it", LAW),
    Rule("start-same", "from any starting_offset, nothing else is listed than from the start", KEP),
    Rule("start-constant", "from any starting_offset, type and capacity are those from the start", KEP),
    Rule("start-at-end", "at the end of the volume nothing is left: no tuples, or OUT_OF_RANGE", ERRORS),
    Rule("start-negative", "a negative starting_offset is OUT_OF_RANGE", ERRORS),
    Rule("start-beyond", "a starting_offset that exceeds the volume is OUT_OF_RANGE", ERRORS),
    # max_results
    Rule("max-results", "no message has more tuples than max_results, if that is not 0", ALLOCATED),
    Rule("max-results-complete", "max_results changes how many messages there are, not what they list", ALLOCATED),
    Rule("max-results-negative", "a negative max_results is INVALID_ARGUMENT", ERRORS),
    # arguments
    Rule("missing-snapshot", "no snapshot is INVALID_ARGUMENT", ERRORS),
    Rule("missing-base", "no base snapshot is INVALID_ARGUMENT", ERRORS),
    Rule("missing-target", "no target snapshot is INVALID_ARGUMENT", ERRORS),
    Rule("unknown-snapshot", "an unknown snapshot is NOT_FOUND", ERRORS),
    Rule("unknown-base", "an unknown base snapshot is NOT_FOUND", ERRORS),
    Rule("unknown-target", "an unknown target snapshot is NOT_FOUND", ERRORS),
    Rule("missing-namespace", "no namespace is INVALID_ARGUMENT", f"{KUBE}: REQUIRED field", ("kube",)),
    Rule(
        "missing-token",
        "no security_token is INVALID_ARGUMENT or UNAUTHENTICATED",
        f"{KUBE}: REQUIRED field",
        ("kube",),
    ),
    Rule(
        "wrong-token", "a wrong security_token is UNAUTHENTICATED", "KEP-3314, Kubernetes SnapshotMetadata", ("kube",)
    ),
    Rule(
        "other-namespace",
        "a snapshot is found in its own namespace only",
        "KEP-3314, Kubernetes SnapshotMetadata",
        ("kube",),
    ),
    # ends that are not clean, and others at the same time
    Rule("deadline", "a stream that is cut short by its deadline does not end cleanly", f"{ERRORS}: non-OK code"),
    Rule("cancelled", "a client that goes away in the middle leaves the server as it was", LAW),
    Rule("concurrent", "many clients at once get the whole, or an error", LAW),
    # identity
    Rule("identity-info", "GetPluginInfo gives a name of the required form", IDENTITY, ("csi",)),
    Rule("identity-capability", "GetPluginCapabilities has SNAPSHOT_METADATA_SERVICE", IDENTITY, ("csi",)),
    Rule("identity-probe", "Probe answers, and the plugin is ready", IDENTITY, ("csi",)),
    # content, where devices with the content of the snapshots are given
    Rule("content-allocated", "every byte that is not zero lies inside an allocated tuple", LAW),
    Rule("content-delta", "every byte that differs from the base lies inside a changed tuple", LAW),
    Rule("content-unallocated", "what changed and is not allocated any more reads as zeroes", LAW),
)
BY_ID = {rule.id: rule for rule in RULES}
