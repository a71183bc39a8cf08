"""Who may import whom: core < native < engine < backends, emitters, rooms < api < cli; rooms never import each other.

Read from the source, so that lazy imports inside functions count too. Imports for type checkers only may look up,
except from room to room.
"""

import ast
import re
from pathlib import Path

import pytest

import blockdiff

ROOT = Path(blockdiff.__file__).parent
LAYERS = (
    (
        "core",
        (
            "units",
            "errors",
            "extent",
            "record",
            "snapshot",
            "locator",
            "tag",
            "schedule",
            "retention",
            "pairs",
            "sampling",
            "budget",
        ),
    ),
    ("native", ("_fast", "_rbd", "_nbd", "_hash")),
    ("engine", ("engine", "api")),
    (
        "room",
        (
            "backends",
            "emitters",
            "csi",
            "snapper",
            "cinder",
            "pool",
            "lxd",
            "openstorage",
            "agent",
            "exportdiff",
            "triage",
            "receipt",
            "metrics",
            "report",
        ),
    ),
    ("api", ("api", "")),
    ("top", ("cli", "testing", "__main__")),
)
LEVEL = {part: level for level, (_, parts) in enumerate(LAYERS) for part in parts}
ROOMS = LAYERS[3][1]
TOP = len(LAYERS) - 1


def part_of(module):
    """The first name below ``blockdiff``: ``engine`` for ``blockdiff.engine.verify``; empty for the package itself."""
    return [*module.split("."), ""][1]


def module_of(path):
    names = ["blockdiff", *path.relative_to(ROOT).with_suffix("").parts]
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


def targets(node, module, is_package):
    """The modules that one import statement names, relative ones resolved."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = node.module or ""
    if node.level:
        parents = module.split(".")
        parents = parents[: len(parents) - node.level + is_package]
        base = ".".join([*parents, base]).rstrip(".")
    if base == "blockdiff":  # `from blockdiff import engine` names a part, `from blockdiff import verify` the package
        return [f"blockdiff.{alias.name}" if alias.name in LEVEL else base for alias in node.names]
    return [base]


def imports(tree, module, *, is_package):
    """Yields (target module, line, for type checkers only)."""
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test).endswith("TYPE_CHECKING")
        for statement in block.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for target in targets(node, module, is_package):
                if target.split(".")[0] == "blockdiff":
                    yield target, node.lineno, id(node) in typing_only


def complaint(module, target, *, typing_only=False):
    """Why this import is wrong, or None."""
    here, there = part_of(module), part_of(target)
    if here in ROOMS and there in ROOMS and here != there:
        return "rooms do not import each other"
    if not typing_only and LEVEL[here] < LEVEL[there]:
        return f"{LAYERS[LEVEL[here]][0]} stands below {LAYERS[LEVEL[there]][0]}"
    return None


SOURCES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=[module_of(path) for path in SOURCES])
def test_imports_point_down(path):
    module = module_of(path)
    assert part_of(module) in LEVEL, "a new part of the package needs a place in LAYERS"
    found = imports(ast.parse(path.read_text()), module, is_package=path.name == "__init__.py")
    wrong = [
        f"{path.name}:{line}: {module} imports {target}: {why}"
        for target, line, typing_only in found
        if (why := complaint(module, target, typing_only=typing_only))
    ]
    assert not wrong, "\n".join(wrong)


def test_the_native_core_knows_only_the_core():
    tree = Path(__file__).parent.parent / "src/blockdiff"
    if not tree.is_dir():
        pytest.skip("the Cython source is not in an installed wheel")
    text = "\n".join(
        path.read_text()
        for path in [
            *(tree / f"{name}.pyx" for name in ("_fast", "_rbd", "_nbd", "_hash")),
            *sorted((tree / "native").glob("*.pxi")),
        ]
    )
    for module in re.findall(r"^\s*(?:from|import|cimport) (blockdiff[\w.]*)", text, re.MULTILINE):
        assert LEVEL[part_of(module)] == 0 or module == "blockdiff._fast", module


@pytest.mark.parametrize(
    ("module", "target", "wrong"),
    [
        ("blockdiff.extent", "blockdiff.errors", False),
        ("blockdiff.extent", "blockdiff._fast", True),
        ("blockdiff.engine.verify", "blockdiff._fast", False),
        ("blockdiff.engine.verify", "blockdiff.engine.device", False),
        ("blockdiff.engine.verify", "blockdiff.backends.file", True),
        ("blockdiff.backends.file", "blockdiff.emitters.json", True),
        ("blockdiff.csi.client", "blockdiff.csi.convert", False),
        ("blockdiff.csi.client", "blockdiff.cli.main", True),
        ("blockdiff.csi.client", "blockdiff", True),
        ("blockdiff.cli.verify", "blockdiff", False),
    ],
)
def test_the_rule_itself(module, target, wrong):
    assert bool(complaint(module, target)) is wrong


def test_type_checkers_may_look_up_but_not_across():
    assert complaint("blockdiff.record", "blockdiff._fast", typing_only=True) is None
    assert complaint("blockdiff.csi.client", "blockdiff.backends.file", typing_only=True)


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("from . import plan", ["blockdiff.engine"]),
        ("from .plan import Task", ["blockdiff.engine.plan"]),
        ("from ..backends import file", ["blockdiff.backends"]),
        ("from .. import cli", ["blockdiff.cli"]),
        ("import blockdiff.cli.main", ["blockdiff.cli.main"]),
        ("from blockdiff import backends, verify", ["blockdiff.backends", "blockdiff"]),
        ("import os", []),
    ],
)
def test_reading_of_imports(statement, found):
    tree = ast.parse(statement)
    assert [target for target, _, _ in imports(tree, "blockdiff.engine.verify", is_package=False)] == found


def test_only_the_command_line_exits():
    for path in SOURCES:
        if part_of(module_of(path)) != "cli" and path.name != "__main__.py":
            calls = [
                ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
            ]
            assert not {"sys.exit", "exit", "quit", "print"} & set(calls), path
