"""The streams of ``rbd export-diff`` and ``rbd export``: read, written, applied, joined and verified in place."""
