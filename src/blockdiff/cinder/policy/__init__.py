"""SnapSentry's policies: when snapshots of a volume are taken and how long they are kept, written in its metadata.

Values and pure functions, no I/O; times, snapshots and metadata are arguments.

``key`` ``value``      names and values of metadata keys
``model``              Express, Daily, Weekly, Monthly
``volume`` ``reading`` the metadata of a volume, both ways
``window``             the stretch of time in which one snapshot is taken
``evaluation``         whether a snapshot is due
``snapshot``           what is written on a snapshot, both ways
``expiry``             whether a snapshot may be deleted
``language`` ``text``  as one of the languages of schedules
"""

from blockdiff.cinder.policy.evaluation import Evaluation, Latest, evaluate, latest
from blockdiff.cinder.policy.expiry import Verdict, expire
from blockdiff.cinder.policy.language import LANGUAGE
from blockdiff.cinder.policy.model import Daily, Express, Monthly, Policy, Weekly
from blockdiff.cinder.policy.reading import Fault, Reading, parse_metadata, read_metadata
from blockdiff.cinder.policy.snapshot import DESCRIPTION, SnapshotMetadata, StoredSnapshot, snapshot_name
from blockdiff.cinder.policy.volume import Policies, merged
from blockdiff.cinder.policy.window import Window, window_of

__all__ = [
    "DESCRIPTION",
    "LANGUAGE",
    "Daily",
    "Evaluation",
    "Express",
    "Fault",
    "Latest",
    "Monthly",
    "Policies",
    "Policy",
    "Reading",
    "SnapshotMetadata",
    "StoredSnapshot",
    "Verdict",
    "Weekly",
    "Window",
    "evaluate",
    "expire",
    "latest",
    "merged",
    "parse_metadata",
    "read_metadata",
    "snapshot_name",
    "window_of",
]
