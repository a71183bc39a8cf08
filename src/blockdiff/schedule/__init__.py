"""When snapshots are taken and where they go: values and pure functions, no I/O; the time is always an argument.

``words``     the enumerations and their text forms
``plan``      Schedule: one destination, how many are kept, and when
``chronish``  Schedules: the text that people write, both ways
"""

from blockdiff.schedule.chronish import Schedules, parse_schedules
from blockdiff.schedule.plan import Schedule
from blockdiff.schedule.words import Destination, Option, Period, Type

__all__ = ["Destination", "Option", "Period", "Schedule", "Schedules", "Type", "parse_schedules"]
