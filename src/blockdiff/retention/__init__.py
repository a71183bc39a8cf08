"""How long snapshots are kept: values and pure functions, no I/O; the time is always an argument.

``keep``     the values: a count, days, an age, grandfather-father-son, and several at once
``text``     their text and JSON, both ways
``choice``   which times of one series a value keeps, and why
``chain``    what stands on what: differences and their bases
``verdict``  which snapshots of a volume have expired, and why each one stays or goes
``entry``    snapper's rule: of each entry of a schedule the newest ones

The values know nothing of schedules, so that a schedule's rule may hold one.
"""

from blockdiff.retention.keep import ALL, GFS, KeepAge, KeepAny, KeepCount, KeepDays, Retention
from blockdiff.retention.text import RetentionError, from_dict, parse_retention, text_of, to_dict

__all__ = [
    "ALL",
    "GFS",
    "KeepAge",
    "KeepAny",
    "KeepCount",
    "KeepDays",
    "Retention",
    "RetentionError",
    "from_dict",
    "parse_retention",
    "text_of",
    "to_dict",
]
