"""Storage pools: what their volumes and snapshots are called, which snapshots differ, and when they are due.

What any pool needs stands here, what one product needs in a package of its name: ``lxd``.
"""
