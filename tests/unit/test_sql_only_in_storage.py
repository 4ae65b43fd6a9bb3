"""Only ``eventalarm/storage`` builds SQL: others pass its connections on and catch SQLAlchemy's errors."""

from __future__ import annotations

import ast
import pathlib
from collections.abc import Iterator

import pytest

import eventalarm

ROOT = pathlib.Path(eventalarm.__file__).parent
# What modules outside of storage may use of sqlalchemy: a type, the errors, and the parts of a URL.
ALLOWED = {"Connection", "exc", "make_url"}
# The rig of a cloud of its own creates its databases, and observes what services wrote without their code.
OBSERVERS = {
    "trial/own_cloud/collect.py",
    "trial/own_cloud/service_disruptors.py",
    "trial/own_cloud/stage.py",
    "trial/own_cloud/programs/cloud.py",
    "trial/own_cloud/services/databases.py",
}


def violations(source: str) -> Iterator[str]:
    """Yield what in the *source* of a module outside of storage builds SQL or could."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if module.split(".")[0] == "sqlalchemy":
                yield f"from {module} import"
            named = {module, *(f"{module}.{alias.name}" for alias in node.names)}
            if any(name.startswith("eventalarm.storage.tables") for name in named):
                yield "eventalarm.storage.tables"
        elif isinstance(node, ast.Import):
            yield from (
                f"import {alias.name} as {alias.asname}"
                for alias in node.names
                if alias.name.split(".")[0] == "sqlalchemy"
                and (alias.name, alias.asname) != ("sqlalchemy", "sa")
            )
        elif isinstance(node, ast.Attribute):
            of_sa = isinstance(node.value, ast.Name) and node.value.id == "sa"
            if (of_sa and node.attr not in ALLOWED) or node.attr == "exec_driver_sql":
                yield ast.unparse(node)


def modules() -> list[pathlib.Path]:
    found = [path.relative_to(ROOT) for path in ROOT.rglob("*.py")]
    return sorted(path for path in found if path.parts[0] != "storage" and str(path) not in OBSERVERS)


@pytest.mark.parametrize("module", modules(), ids=str)
def test_no_module_outside_of_storage_builds_sql(module: pathlib.Path) -> None:
    assert list(violations((ROOT / module).read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("module", sorted(OBSERVERS))
def test_observers_build_sql(module: str) -> None:
    assert list(violations((ROOT / module).read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "source",
    [
        "from sqlalchemy import select",
        "import sqlalchemy",
        "import sqlalchemy as sa\nsa.select(1)",
        "import sqlalchemy as sa\nsa.text('x')",
        "connection.exec_driver_sql('SELECT 1')",
        "from eventalarm.storage.tables import alarm",
        "from eventalarm.storage import tables",
    ],
)
def test_the_rule_finds_sql(source: str) -> None:
    assert list(violations(source))


def test_types_and_errors_are_allowed() -> None:
    source = "import sqlalchemy as sa\ndef f(c: sa.Connection) -> None:\n    raise sa.exc.DataError"
    assert not list(violations(source))
