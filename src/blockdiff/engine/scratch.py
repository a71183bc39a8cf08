"""Files for what has to be read more than once and has no file of its own."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING, Any

from blockdiff.errors import OutputError

if TYPE_CHECKING:
    from typing import BinaryIO


def scratch_file(prefix: str) -> BinaryIO:
    """A file without a name, open for reading and writing, so that nothing is left behind.

    Where there is no directory for temporary files, as in a container whose root is read-only, it is in memory.
    Raises OutputError.
    """
    file: Any
    try:
        file = tempfile.TemporaryFile(prefix=prefix)  # noqa: SIM115 - the caller closes it
    except OSError as error:
        try:
            file = os.fdopen(os.memfd_create(prefix), "w+b")
        except OSError:
            reason = os.strerror(error.errno or 0)
            raise OutputError(f"cannot make a temporary file: {reason}") from error
    return file  # type: ignore[no-any-return]
