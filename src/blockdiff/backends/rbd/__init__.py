"""Ceph RBD images: ``rbd:[pool/[namespace/]]image[@snapshot]``."""

from __future__ import annotations

from blockdiff.backends.rbd.source import RbdSource
from blockdiff.backends.rbd.target import open_device

__all__ = ["SNAPSHOTS", "RbdSource", "open_device"]

SNAPSHOTS = True  # its devices are engine.replicate.SnapshotDevice
