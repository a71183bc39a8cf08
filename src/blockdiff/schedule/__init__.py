"""When snapshots are taken and where they go: values and pure functions, no I/O; the time is always an argument.

``words``     the enumerations and their text forms
``plan``      Schedule: one destination, how many are kept, and when
``chronish``  Schedules: the text that people write, both ways
``dialect``   that text as one of the languages of schedules
``language``  the languages of schedules, by name
``calendar``  the meanings that all languages are made of: when something is due
``rule``      calendars with a zone and what is kept: what is due, what was missed, what comes
``wall``      ticks of calendars that go by clocks, exactly; ``place`` knows the clocks, ``cron`` reads its five fields
``civil``     calendar arithmetic on times
"""

from blockdiff.schedule.chronish import Schedules, parse_schedules
from blockdiff.schedule.plan import Schedule
from blockdiff.schedule.words import Destination, Option, Period, Type

__all__ = ["Destination", "Option", "Period", "Schedule", "Schedules", "Type", "parse_schedules"]
