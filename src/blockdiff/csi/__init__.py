"""Kubernetes and CSI changed block tracking: the SnapshotMetadata services, as client and as server."""
