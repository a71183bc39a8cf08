"""Tools for testing backends, sources and emitters, of this package and of others.

``pictures``     extents and image files drawn as text
``memory``       MemoryDevice, a device in memory
``faults``       FaultDevice, which fails where a picture says so
``conformance``  DeviceConformance, the tests that every device must pass (needs pytest)
``csi``          the conformance suite of SnapshotMetadata servers (needs the extra ``csi``)
"""

from blockdiff.testing.faults import Fault, FaultDevice
from blockdiff.testing.memory import MemoryDevice
from blockdiff.testing.pictures import content, extents, image

__all__ = ["Fault", "FaultDevice", "MemoryDevice", "content", "extents", "image"]
