"""Durations as Go programs take them."""

from __future__ import annotations

import re
from typing import Any

import click

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")

_LONGEST = 1e9  # seconds; threads cannot wait much longer


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click only
    """Seconds, written as Go does: ``1m``, ``1h30m``, ``500ms``, ``0``."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        parts = _PART.findall(value)
        if value != "0" and (not parts or "".join(number + unit for number, unit in parts) != value):
            self.fail(f"{value!r} is no duration: write 90s, 1m30s or 500ms", param, ctx)
        seconds: float = sum(float(number) * _UNITS[unit] for number, unit in parts)
        if seconds > _LONGEST:
            self.fail(f"{value!r} is longer than anything waits", param, ctx)
        return seconds
