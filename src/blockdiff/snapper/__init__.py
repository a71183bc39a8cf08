"""The snapshot daemon of SoftIron HyperCloud: its images and requests, as values.

``image``     Image, ImageSpec: the disks of machines as RBD images
``request``   Request, AutoRequest, ManualRequest: one snapshot that is to be taken, is being taken, or is done
"""

from blockdiff.snapper.image import Image, ImageSpec
from blockdiff.snapper.request import AutoRequest, ManualRequest, Request

__all__ = ["AutoRequest", "Image", "ImageSpec", "ManualRequest", "Request"]
