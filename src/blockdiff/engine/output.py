"""Writing that is checked: what did not arrive is an error, never a shorter file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from blockdiff.errors import OutputError

if TYPE_CHECKING:
    from typing import BinaryIO

    from blockdiff.engine.device import Buffer


class Output:
    """A binary file whose writes are complete or raise OutputError with the reason.

    BrokenPipeError passes as it is: a reader that has seen enough is no trouble.
    """

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        name = getattr(out, "name", None)
        self.name = name if isinstance(name, str) else "the output"

    def write(self, data: Buffer) -> None:
        """Writes all of ``data``; raw files may take a part of it at a time."""
        rest = memoryview(data)
        while rest:
            try:
                count = self._out.write(rest)
            except BrokenPipeError:
                raise
            except (OSError, ValueError) as error:
                raise self._failed(error) from error
            if not count:
                raise OutputError(f"cannot write to {self.name}: it takes no more bytes")
            rest = rest[count:]

    def flush(self) -> None:
        """Hands everything to the system."""
        try:
            self._out.flush()
        except BrokenPipeError:
            raise
        except (OSError, ValueError) as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> OutputError:
        number = getattr(error, "errno", None)
        return OutputError(f"cannot write to {self.name}: {os.strerror(number) if number else error}", errno=number)
