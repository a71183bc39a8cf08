"""Writing that is checked, where emitters look for it."""

from blockdiff.engine.output import Output

__all__ = ["Output"]
