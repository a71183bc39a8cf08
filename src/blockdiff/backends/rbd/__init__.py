"""Ceph RBD images: ``rbd:[pool/[namespace/]]image[@snapshot]``."""

from __future__ import annotations

from blockdiff.backends.rbd.target import open_device

__all__ = ["open_device"]
