"""LXD and Incus: names of snapshots, schedules, expiry, and names on storage. Pure: names and times are arguments."""
