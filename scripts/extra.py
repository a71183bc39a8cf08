"""extra.py NAME: the requirements of one extra of pyproject.toml, one a line; the project itself is not built."""

import re
import sys
import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]


def requirements(extra: str) -> list[str]:
    """What an extra asks for; where it names another extra of the project, what that one asks for."""
    own = re.compile(re.escape(PROJECT["name"]) + r"\[([\w-]+)\]")
    found: list[str] = []
    for line in PROJECT["optional-dependencies"][extra]:
        other = own.fullmatch(line)
        found += requirements(other[1]) if other else [line]
    return found


print("\n".join(requirements(sys.argv[1])))
