"""Message classes of the two SnapshotMetadata services and of CSI's Identity, made from their descriptors.

They live in a descriptor pool of their own: no clash with another copy of the CSI definitions in the process, and no
tie between the version of protobuf that generated code and the one that runs it. ``kube`` has the messages of
``snapshotmetadata``, ``csi`` those of ``csi.v1``.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from blockdiff.csi._pb import descriptors

_pool = descriptor_pool.DescriptorPool()


def _messages(serialized: bytes) -> Any:
    """The file's messages by name."""
    described = descriptor_pb2.FileDescriptorProto.FromString(serialized)
    _pool.AddSerializedFile(serialized)
    names = {message.name: f"{described.package}.{message.name}" for message in described.message_type}
    return SimpleNamespace(
        **{name: message_factory.GetMessageClass(_pool.FindMessageTypeByName(full)) for name, full in names.items()}
    )


kube: Any = _messages(descriptors.SNAPSHOT_METADATA)
csi: Any = _messages(descriptors.CSI_SNAPSHOT_METADATA)
