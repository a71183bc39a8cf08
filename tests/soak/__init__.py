"""A randomized soak of change tracking on RBD images: `python -m tests.soak`, or `make soak-rbd`."""
