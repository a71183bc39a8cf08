"""Cuts a history down to the steps that a fault needs."""

from dataclasses import replace


def reduced(history, still, *, attempts=150):
    """The shortest history found for which ``still`` is true, which it is for ``history``."""
    size = max(1, len(history.steps) // 2)
    while size:
        at, shorter = 0, False
        while at < len(history.steps):
            tried = replace(history, steps=history.steps[:at] + history.steps[at + size :])
            attempts -= 1
            if attempts < 0:
                return history
            if still(tried):
                history, shorter = tried, True
            else:
                at += size
        if not shorter or size > 1:
            size = size // 2 if not shorter else min(size, max(1, len(history.steps) // 2))
    return history
