"""The documentation keeps its word: JSON obeys the schemas, options exist, links lead somewhere, code runs."""

import ast
import importlib.util
import json
import re
from pathlib import Path

import click
import jsonschema
import pytest
from jsonschema.validators import Draft202012Validator
from referencing import Registry, Resource

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
SCHEMAS = {path.name.split(".")[0]: json.loads(path.read_text()) for path in sorted((DOCS / "schemas").glob("*.json"))}
REGISTRY = Registry().with_resources((schema["$id"], Resource.from_contents(schema)) for schema in SCHEMAS.values())
FENCE = re.compile(r"(?:<!-- schema: (\w+) -->\n)?^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = [(page, *match.groups()) for page in PAGES for match in FENCE.finditer(page.read_text())]


def validate(value, name):
    Draft202012Validator(SCHEMAS[name], registry=REGISTRY).validate(value)


def blocks(language):
    found = [(page, schema, text) for page, schema, kind, text in BLOCKS if kind == language]
    return [pytest.param(*block, id=f"{block[0].stem}-{number}") for number, block in enumerate(found)]


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_are_schemas(name):
    Draft202012Validator.check_schema(SCHEMAS[name])


@pytest.mark.parametrize(("page", "schema", "text"), blocks("json"))
def test_json_examples_obey_their_schema(page, schema, text):
    assert schema, "name the schema above the example: <!-- schema: report -->"
    validate(json.loads(text), schema)


def test_every_schema_has_an_example():
    assert {schema for _, schema, kind, _ in BLOCKS if kind == "json"} == set(SCHEMAS)


def test_a_wrong_report_is_refused():
    report = next(json.loads(text) for _, schema, _, text in BLOCKS if schema == "report")
    report["differences"][0]["class"] = "odd"
    with pytest.raises(jsonschema.ValidationError):
        validate(report, "report")


@pytest.mark.parametrize(("page", "schema", "text"), blocks("python"))
def test_python_examples_are_python(page, schema, text):
    if not text.startswith("--8<--"):
        ast.parse(text)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=lambda page: page.stem)
def test_links_to_files_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), target


def command_options(name):
    from blockdiff.cli import main

    root = next(value for value in vars(main).values() if isinstance(value, click.Group))
    command = root.get_command(click.Context(root), name)
    return {
        opt
        for p in command.params
        if isinstance(p, click.Option) and not p.hidden
        for opt in p.opts
        if opt.startswith("--")
    }


@pytest.mark.parametrize("name", ["verify", "diff", "map", "copy", "audit"])
def test_pages_and_program_know_the_same_options(name):
    table = re.compile(r"^\| (`-.*?`) \|", re.MULTILINE)
    pages = [(DOCS / f"commands/{page}.md").read_text() for page in (name, "common")]
    documented = [set(re.findall(r"--[\w-]+", " ".join(table.findall(page)))) for page in pages]
    exist = command_options(name)
    assert exist - documented[0] - documented[1] - {"--help"} == set(), "not documented"
    assert documented[0] - exist == set(), "documented, but the program does not know it"


def load(name):
    spec = importlib.util.spec_from_file_location(name, DOCS / f"examples/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_example_emitter(capsys):
    from blockdiff import Extents
    from blockdiff.record import BlockMetadataType, Record

    emitter = load("largest").Largest()
    emitter.record(1, Record(BlockMetadataType.VARIABLE_LENGTH, 1 << 20, Extents([(0, 4096), (8192, 512)])))
    emitter.done(1)
    assert capsys.readouterr().out == "4608 bytes changed, at most 4096 in one piece\n"


def test_the_example_backend():
    from blockdiff.engine import registry
    from blockdiff.errors import InvalidInput, ShortRead

    registry.register("ram", load("ram"))
    try:
        device = registry.open_device("ram:8192")
        buffer = bytearray(b"x" * 4096)
        device.pread_into(buffer, 4096)
        assert (device.size, bytes(buffer)) == (8192, bytes(4096))
        assert [tuple(extent)[:2] for batch in device.extents() for extent in batch] == [(0, 8192)]
        with pytest.raises(ShortRead):
            device.pread_into(buffer, 4097)
        with pytest.raises(InvalidInput):
            registry.open_device("ram:many")
    finally:
        registry._modules.pop("ram")
