"""Scripted servers, which end with the test."""

import pytest

from tests.fixtures.nbd_scripted import CONTENT, ScriptedServer


@pytest.fixture
def serve(tmp_path):
    made = []

    def serve(content=CONTENT, **offers):
        made.append(ScriptedServer(str(tmp_path), content, **offers))
        return made[-1]

    yield serve
    for server in made:
        server.close()
