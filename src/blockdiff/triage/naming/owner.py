"""To whom bytes of a file system belong."""

from __future__ import annotations

from typing import Any, NamedTuple

FREE, METADATA, UNKNOWN = "free", "metadata", "unknown"


class Owner(NamedTuple):
    """``files``: paths inside of the file system, as it has them, and ``use`` where no file owns the bytes: ``free``,
    ``metadata`` (``detail`` says of which kind) or ``unknown``. ``blocks``: how many were asked about, of ``of``.
    """

    files: tuple[str, ...] = ()
    use: tuple[str, ...] = ()
    blocks: int = 1
    of: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Its JSON form."""
        from blockdiff.triage.report import printable

        value: dict[str, Any] = {"files": [printable(name) for name in self.files], "use": list(self.use)}
        return value | {"blocks_asked": self.blocks, "blocks": self.of}

    def words(self) -> str:
        """For people."""
        from blockdiff.triage.report import printable

        names = [printable(name) for name in self.files[:3]]
        names += [f"and {len(self.files) - 3} more files"] if len(self.files) > 3 else []
        names += [use if use != FREE else "no file" for use in self.use]
        return ", ".join(names) or "no file"
