"""Checkpoints: what a long run has settled, kept in a file, so that another run can go on from there."""
