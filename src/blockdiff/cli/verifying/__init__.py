"""What ``blockdiff verify`` can also do: one module for each, used in the order in which they are named here."""

from __future__ import annotations

ASPECTS: tuple[str, ...] = (
    "checkpoint",
    "sampling",
    "ledger",
    "estimate",
    "recheck",
    "triage",
    "blockmap",
    "repair",
    "receipt",
    "metrics",
)
"""Modules of this package, each with OPTIONS and make()."""
