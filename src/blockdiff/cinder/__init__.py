"""Managed snapshots of Cinder volumes (OpenStack), in the formats of SnapSentry."""
