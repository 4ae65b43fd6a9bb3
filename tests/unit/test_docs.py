"""The documentation names only what exists: files, modules, identifiers, options, tables and metrics."""

from __future__ import annotations

import pathlib
import re

import pytest

from eventalarm import conf
from eventalarm.metrics import COUNTERS, GAUGES, HISTOGRAMS
from eventalarm.storage.tables import metadata

ROOT = pathlib.Path(__file__).parents[2]
README = ROOT / "README.rst"
CONTRIBUTING = ROOT / "CONTRIBUTING.rst"
PAGES = [README, CONTRIBUTING, ROOT / "eventalarm/etc/README.rst", *sorted(ROOT.glob("doc/source/**/*.rst"))]
NOTES = sorted(ROOT.glob("releasenotes/notes/*.yaml"))
TOP = ("benchmarks", "deploy", "doc", "etc", "eventalarm", "releasenotes", "tests")

PATH = re.compile(rf"(?<![\w./~-])(?:{'|'.join(TOP)})/[\w./*-]*\w(?:\*|/)?")
LITERAL = re.compile(r"``([^`\n]+)``")
OPTION = re.compile(r"\[(eventalarm(?:_\w+)?)\] (\w+)")
PREFIXED = re.compile(r"``(eventalarm_\w+)``")
PREFIXED_INDEX = re.compile(r"eventalarm_ix_alarm_\w+")
INITIAL = ROOT / "eventalarm/storage/migrations/versions/0001_initial.py"
# Named in the recipe of a transition column, but not changed by it.
UNCHANGED = {"eventalarm/storage/occurrence_details.py", "eventalarm/storage/migrations/operations.py"}


# The name of a plugin in the entry points.
PLUGIN = re.compile(r"^ +(eventalarm_[a-z_]+) = eventalarm\.health_backends:", re.M)


def named(page: pathlib.Path) -> str:
    return str(page.relative_to(ROOT))


def section(title: str) -> str:
    """Return the text of CONTRIBUTING.rst between the heading *title* and the next one."""
    text = CONTRIBUTING.read_text()
    body = text.split(f"\n{title}\n{'=' * len(title)}\n", 1)[1]
    return re.split(r"\n[^\n]+\n={3,}\n", body, maxsplit=1)[0]


@pytest.mark.parametrize("page", [*PAGES, *NOTES], ids=named)
def test_every_path_that_a_page_names_exists(page: pathlib.Path) -> None:
    paths = sorted(set(PATH.findall(page.read_text())))
    assert [path for path in paths if not list(ROOT.glob(path.rstrip("/")))] == []


@pytest.mark.parametrize("page", [*PAGES, *NOTES], ids=named)
def test_every_option_that_a_page_names_with_its_group_exists(page: pathlib.Path) -> None:
    known = {(group, opt.dest) for group, opts in conf.list_opts() for opt in opts}
    assert set(OPTION.findall(page.read_text())) - known == set()


@pytest.mark.parametrize("page", [*PAGES, *NOTES], ids=named)
def test_every_table_and_metric_that_a_page_names_exists(page: pathlib.Path) -> None:
    metrics = {f"eventalarm_{name}{end}" for name in COUNTERS for end in ("", "_total")}
    metrics |= {f"eventalarm_{name}" for name in (*HISTOGRAMS, *GAUGES)}
    # The indexes on Aodh's table are made by the initial revision only.
    indexes = set(PREFIXED_INDEX.findall(INITIAL.read_text()))
    known = metrics | indexes | set(metadata.tables) | {group for group, _ in conf.list_opts()}
    known |= set(PLUGIN.findall((ROOT / "setup.cfg").read_text()))
    found = set(PREFIXED.findall(page.read_text()))
    assert {name for name in found - known if not name.endswith("_")} == set()


def rows() -> list[tuple[str, set[str]]]:
    """Return each room of CONTRIBUTING.rst with the names in its row."""
    found: list[tuple[str, set[str]]] = []
    for line in section("Rooms").splitlines():
        if start := re.match(r"``([^`]+/)``", line):
            found.append((start[1], set()))
        if found and not line.startswith("="):
            text = line[start.end() :] if start else line
            found[-1][1].update(name for name in LITERAL.findall(text) if re.fullmatch(r"[a-z_]+/?", name))
    return found


def test_every_room_has_a_row_and_every_row_a_room() -> None:
    rooms = {f"{path.parent.relative_to(ROOT)}/" for path in ROOT.glob("eventalarm/*/__init__.py")}
    text = section("Rooms")
    assert {room for room in rooms if f"``{room}``" not in text} == set()
    assert [room for room, _ in rows() if not (ROOT / room).is_dir()] == []


@pytest.mark.parametrize(("room", "names"), rows())
def test_every_module_that_the_row_of_a_room_names_is_in_it(room: str, names: set[str]) -> None:
    stems = {path.stem for path in (ROOT / room).rglob("*.py")}
    folders = {path.name for path in (ROOT / room).rglob("*") if path.is_dir()}
    options = {opt.dest for _, opts in conf.list_opts() for opt in opts}
    assert {name for name in names if name.rstrip("/") not in stems | folders | options} == set()


def recipe_items() -> list[str]:
    """Return each numbered item under "How to add", and each paragraph between them."""
    return [item for item in re.split(r"\n(?= {4}\d\. )|\n\n", section("How to add")) if "``" in item]


@pytest.mark.parametrize("item", recipe_items(), ids=lambda item: " ".join(item.split())[:40])
def test_every_name_in_a_recipe_occurs_in_a_file_of_its_item(item: str) -> None:
    paths = [path.rstrip("/") for path in PATH.findall(item)] + re.findall(r"``(setup\.cfg|tox\.ini)``", item)
    files = [
        file
        for path in paths
        for file in (sorted((ROOT / path).rglob("*.py")) if (ROOT / path).is_dir() else [ROOT / path])
    ]
    text = "\n".join(file.read_text() for file in files)
    names = {
        part
        for name in LITERAL.findall(item)
        if re.fullmatch(r"[A-Za-z_]+(\.[A-Za-z_]+)*", name) and name != "setup.cfg"
        for part in name.split(".")
    }
    assert not files or {name for name in names if not re.search(rf"\b{name}\b", text)} == set()


def test_a_transition_column_touches_at_most_eight_files() -> None:
    recipe = re.split(r"\n(?=\S)", section("How to add").split("A column of transitions", 1)[1])[0]
    assert len(set(PATH.findall(recipe)) - UNCHANGED) <= 8


def test_every_command_has_a_section_with_its_help() -> None:
    page = (ROOT / "doc/source/cli/index.rst").read_text()
    setup = (ROOT / "setup.cfg").read_text()
    commands = re.findall(r"^    (eventalarm-[\w-]+) = eventalarm\.cmd\.", setup, re.MULTILINE)
    assert len(commands) > 10
    assert [one for one in commands if f"\n{one}\n{'=' * len(one)}\n" not in page] == []
    assert [one for one in commands if not re.search(rf"program-output:: {one}\b.* --help", page)] == []


def test_the_glossary_and_the_readme_are_short() -> None:
    glossary = section("Vocabulary").split("=  =", 1)[1]
    terms = [line for line in glossary.splitlines() if re.match(r"\w[\w, ]+  ", line)]
    assert 10 < len(terms) - 1 <= 25
    assert len(README.read_text().split()) <= 800


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_test_that_a_page_names_exists(page: pathlib.Path) -> None:
    files = sorted(ROOT.glob("tests/**/test_*.py"))
    source = "\n".join(path.read_text() for path in files)
    known = {path.name for path in files} | set(
        re.findall(r"^ *(?:async )?def (test_\w+)", source, re.MULTILINE)
    )
    names = set(re.findall(r"(?<![\w/])test_\w+(?:\.py)?(?![\w*.])", page.read_text()))
    assert names - known - {"test_callback"} == set()


def test_every_log_text_that_troubleshooting_quotes_is_logged() -> None:
    text = " ".join((ROOT / "doc/source/admin/troubleshooting.rst").read_text().split())
    quoted = re.findall(r"(?:logs|says|says that the queue) ((?:\"[^\"]+\"(?: or )?)+)", text)
    parts = [part for one in quoted for log in re.findall(r'"([^"]+)"', one) for part in log.split("...")]
    source = "\n".join(path.read_text() for path in ROOT.glob("eventalarm/**/*.py"))
    joined = re.sub(r'"\s*\n\s*f?"', "", source)
    assert len(parts) > 5
    for part in filter(None, map(str.strip, parts)):
        # A placeholder may stand for the last word.
        assert part in joined or f"{part.rpartition(' ')[0]} %s" in joined, part
