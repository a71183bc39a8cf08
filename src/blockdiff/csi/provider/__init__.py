"""The driver side of changed block tracking: our sources served as csi.v1.SnapshotMetadata."""
