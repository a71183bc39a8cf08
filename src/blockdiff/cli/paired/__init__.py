"""Pairs of snapshots on the command line: the making of plans, and the commands that go over one."""
