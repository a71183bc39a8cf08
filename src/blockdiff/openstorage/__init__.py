"""openstorage (libopenstorage, Portworx): its schedules, as values.

``interval``   Interval: one time or period, and how many snapshots are kept
``text``       the two text forms, both ways
``sdk``        the JSON of the SDK, both ways
``schedule``   the language: all of them, as rules
"""
