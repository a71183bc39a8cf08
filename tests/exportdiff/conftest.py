"""Files of diffs."""

import pytest

from tests.fixtures.exportdiff import image, v1


@pytest.fixture
def files(tmp_path):
    """Writes specs to files, each in one or (``together``) all in one; their names."""

    def write(specs, *, together=False, prefix="d"):
        streams = [image(specs)] if together else [v1(spec) for spec in specs]
        names = []
        for number, stream in enumerate(streams):
            (tmp_path / f"{prefix}{number}").write_bytes(stream)
            names.append(str(tmp_path / f"{prefix}{number}"))
        return names

    return write
