"""The documentation keeps its word: JSON obeys the schemas, options exist, links lead somewhere, code runs."""

import importlib
import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import jsonschema
import pytest
from jsonschema.validators import Draft202012Validator

from tests.fixtures.cli import COMMAND
from tests.fixtures.schemas import SCHEMAS, obeys

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
FENCE = re.compile(r"(?:<!-- schema: (\w+) -->\n)?^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = [(page, *match.groups()) for page in PAGES for match in FENCE.finditer(page.read_text())]


def blocks(language):
    found = [(page, schema, text) for page, schema, kind, text in BLOCKS if kind == language]
    return [pytest.param(*block, id=f"{block[0].stem}-{number}") for number, block in enumerate(found)]


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_are_schemas(name):
    Draft202012Validator.check_schema(SCHEMAS[name])


@pytest.mark.parametrize(("page", "schema", "text"), blocks("json"))
def test_json_examples_obey_their_schema(page, schema, text):
    assert schema, "name the schema above the example: <!-- schema: report -->"
    obeys(json.loads(text), schema)


def test_every_schema_has_an_example():
    assert {schema for _, schema, kind, _ in BLOCKS if kind == "json"} == set(SCHEMAS)


def test_a_wrong_report_is_refused():
    report = next(json.loads(text) for _, schema, _, text in BLOCKS if schema == "report")
    report["differences"][0]["class"] = "odd"
    with pytest.raises(jsonschema.ValidationError):
        obeys(report, "report")


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=lambda page: page.stem)
def test_links_to_files_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), target


def command_options(*names):
    from blockdiff.cli import main

    command = main.cli
    for name in names:
        command = command.get_command(click.Context(command), name)
    return {
        opt
        for p in command.params
        if isinstance(p, click.Option) and not p.hidden
        for opt in p.opts
        if opt.startswith("--")
    }


WITH_PAGES = ["verify", "diff", "map", "copy", "apply", "merge", "undo", "digest", "audit", "pairs", "report"]


@pytest.mark.parametrize("name", WITH_PAGES)
def test_pages_and_program_know_the_same_options(name):
    table = re.compile(r"^\| (`-.*?`) \|", re.MULTILINE)
    pages = [(DOCS / f"commands/{page}.md").read_text() for page in (name, "common")]
    documented = [set(re.findall(r"--[\w-]+", " ".join(table.findall(page)))) for page in pages]
    exist = command_options(name)
    assert exist - documented[0] - documented[1] - {"--help"} == set(), "not documented"
    assert documented[0] - exist == set(), "documented, but the program does not know it"


def test_the_page_of_snapshot_metadata_has_all_options():
    table = re.compile(r"^\| (`-.*?`) \|", re.MULTILINE)
    pages = [(DOCS / f"commands/{page}.md").read_text() for page in ("snapshot-metadata", "common")]
    documented, common = (set(re.findall(r"--[\w-]+", " ".join(table.findall(page)))) for page in pages)
    exist = command_options("snapshot-metadata", "list") | command_options("snapshot-metadata", "verify")
    assert exist - documented - common - {"--help"} == set(), "not documented"
    assert documented - exist == set(), "documented, but the program does not know it"


def test_the_page_of_schedules_has_all_options():
    table = re.compile(r"^\| (`-.*?`) \|", re.MULTILINE)
    documented = set(re.findall(r"--[\w-]+", " ".join(table.findall((DOCS / "commands/schedule.md").read_text()))))
    exist = set().union(*(command_options("schedule", name) for name in ("parse", "explain", "convert")))
    assert exist - {"--help"} == documented


def test_the_page_of_extents_has_all_options():
    table = re.compile(r"^\| (`-.*?`) \|", re.MULTILINE)
    documented = set(re.findall(r"--[\w-]+", " ".join(table.findall((DOCS / "commands/extents.md").read_text()))))
    names = ("union", "intersect", "subtract", "complement", "align", "convert", "stat")
    exist = set().union(*(command_options("extents", name) for name in names))
    assert exist - {"--help"} == documented


def load(name):
    sys.path.insert(0, str(DOCS / "examples"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(DOCS / "examples"))


# the suites of the two pages, run as they are printed there
TestRam = load("test_ram").TestRam
TestCsv = load("test_csv").TestCsv


def test_the_example_emitter(capsys):
    from blockdiff import Extents
    from blockdiff.record import BlockMetadataType, Record

    emitter = load("largest").Largest()
    emitter.record(1, Record(BlockMetadataType.VARIABLE_LENGTH, 1 << 20, Extents([(0, 4096), (8192, 512)])))
    emitter.done(1)
    assert capsys.readouterr().out == "4608 bytes changed, at most 4096 in one piece\n"


def test_the_example_backend(monkeypatch):
    import blockdiff
    from blockdiff.engine import registry

    monkeypatch.setattr(registry, "_modules", dict(registry._modules))
    blockdiff.register("ram", load("blockdiff_ram"))
    assert blockdiff.verify("ram:8192", "ram:8192").identical
    assert [tuple(extent)[:2] for record in blockdiff.map("ram:8192") for extent in record.extents] == [(0, 8192)]
    with pytest.raises(blockdiff.InvalidInput):
        blockdiff.open_device("ram:many")
    with pytest.raises(blockdiff.InvalidInput):
        blockdiff.copy("ram:8192", "ram:8192")


def run_python(text, directory):
    command = [sys.executable, "-c", text]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(DOCS / "examples"), *filter(None, sys.path)])}
    done = subprocess.run(command, cwd=directory, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("page", "schema", "text"), blocks("python"))
def test_python_examples_run(page, schema, text, images):
    """With what stands above them on the page."""
    if not text.startswith("--8<--"):
        above = [other for where, _, kind, other in BLOCKS if (where, kind) == (page, "python")]
        parts = above[: above.index(text) + 1]
        sources = [(DOCS / part.split('"')[1]).read_text() if part.startswith("--8<--") else part for part in parts]
        run_python("\n".join(sources), images)


@pytest.fixture
def images(made, tmp_path, monkeypatch):
    """The files that examples name, in a directory of the test's own."""
    monkeypatch.setenv("BLOCKDIFF_JOURNALS", str(tmp_path))
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    place = tmp_path_factory.mktemp("images")
    content = bytearray(random.Random(1).randbytes(1 << 20))
    for name in ("disk.img", "yesterday.img", "a.img", "base.img"):
        (place / name).write_bytes(content)
    content[8192:12288] = bytes(4096)
    for name in ("replica.img", "today.img", "b.img", "clone.img"):
        (place / name).write_bytes(content)
    command = [*COMMAND, "diff", "-q", "-o", "json", "yesterday.img", "today.img"]
    (place / "changed.json").write_bytes(subprocess.run(command, cwd=place, check=True, capture_output=True).stdout)
    for name, words in {
        "full.diff": ("map", "--to-name", "sunday", "yesterday.img"),
        "monday.diff": ("diff", "--from-name", "sunday", "--to-name", "monday", "yesterday.img", "today.img"),
        "tuesday.diff": ("diff", "--from-name", "monday", "--to-name", "tuesday", "today.img", "disk.img"),
    }.items():
        command = [*COMMAND, words[0], "-q", "-o", "export-diff", *words[1:]]
        (place / name).write_bytes(subprocess.run(command, cwd=place, check=True, capture_output=True).stdout)
    for name, image in (("disk", "disk.img"), ("monday", "yesterday.img"), ("tuesday", "today.img")):
        command = [*COMMAND, "digest", image, "-o", f"{name}.manifest"]
        subprocess.run(command, cwd=place, check=True, capture_output=True)
    for name, image in (("here.json", "disk.img"), ("there.json", "a.img")):
        (place / name).write_text(json.dumps([{"name": "monday", "content": "x", "url": image}]))
    command = [*COMMAND, "pairs", "--json", "here.json", "there.json", "-o", "json"]
    (place / "plan.json").write_bytes(subprocess.run(command, cwd=place, check=True, capture_output=True).stdout)
    subprocess.run([*COMMAND, "receipt", "keygen", "verify.key"], cwd=place, check=True, capture_output=True)
    if shutil.which("qemu-img"):
        make_virtual(place)
    command = [*COMMAND, "verify", "-q", "--ledger", "data.ledger", "a.img", "disk.img"]
    subprocess.run(command, cwd=place, check=True, capture_output=True)
    (place / "allocated.json").write_text('[{"offset":0,"length":1048576}]')
    for name in ("report.json", "friday.json"):
        command = [*COMMAND, "verify", "-o", "json", "disk.img", "replica.img"]
        (place / name).write_bytes(subprocess.run(command, cwd=place, check=False, capture_output=True).stdout)
    for name in ("monday.json", "tuesday.json"):
        shutil.copy(place / "changed.json", place / name)
    return place


def make_virtual(place):
    """Images of virtual machines: a snapshot, a bitmap, an overlay."""
    for words in (
        ("convert", "-f", "raw", "-O", "qcow2", "disk.img", "disk.qcow2"),
        ("snapshot", "-c", "before the upgrade", "disk.qcow2"),
        ("bitmap", "--add", "disk.qcow2", "since-sunday"),
        ("convert", "-f", "raw", "-O", "qcow2", "disk.img", "base.qcow2"),
        ("create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "overlay.qcow2"),
    ):
        subprocess.run(["qemu-img", *words], cwd=place, check=True, capture_output=True)


HERE = re.compile(
    r"/dev|rbd |rbd:|csi:|thin_delta |curl |nbdinfo |\"\$still|nbd:|nbd\+unix:|--from-snap|--require reflink|URL-OF|"
    r"make |pip |git |/etc|fpath|config|man -l| serve |snapshot-metadata "
)
COMMANDS = {
    line.split("  #")[0].strip().removeprefix("$ ")
    for page in [*PAGES, ROOT / "README.md"]
    for line in page.read_text().splitlines()
    if re.match(r" {4}(\$ )?blockdiff [a-z]+ .*[\w]", line) and "[OPTIONS]" not in line
}


def make_journal(line, images):
    """What undo is shown with: it names its device, so it is made where the images are now."""
    if "replica.undo" in line and not (images / "replica.undo").exists():
        words = ["verify", "--repair", "--journal", "replica.undo", "a.img", "replica.img"]
        subprocess.run([*COMMAND, *words], cwd=images, check=True, capture_output=True)


@pytest.mark.parametrize("line", sorted(line for line in COMMANDS if not HERE.search(line)))
def test_command_lines_of_the_docs_run(line, images):
    if "qcow2" in line and not shutil.which("qemu-nbd"):
        pytest.skip("needs qemu-nbd: apt-get install qemu-utils")
    make_journal(line, images)
    line = re.sub(r"(^|\| )blockdiff ", rf"\1{shlex.join(COMMAND)} ", line)
    done = subprocess.run(line, shell=True, cwd=images, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr


HELP = ["verify", "diff", "map", "copy", "apply", "merge", "undo", "digest", "audit", "pairs", "report"]


@pytest.mark.parametrize("name", HELP)
def test_examples_in_help_run(name, images):
    from blockdiff.cli import main

    text = main.cli.get_command(click.Context(main.cli), name).help
    lines = [line.strip() for line in text.split("Examples:")[1].splitlines() if "blockdiff" in line]
    assert lines
    for line in lines:
        if "qcow2" in line and not shutil.which("qemu-nbd"):
            continue
        if not re.search(r"/dev|rbd |rbd:|csi:|thin_delta |curl |nbdinfo |nbd:|nbd\+unix:|reflink", line):
            make_journal(line, images)
            command = re.sub(r"(^|\| )blockdiff ", rf"\1{shlex.join(COMMAND)} ", line)
            done = subprocess.run(command, shell=True, cwd=images, capture_output=True, text=True, check=False)
            assert done.returncode in (0, 1), (line, done.stderr)
