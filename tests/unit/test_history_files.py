"""Histories in files, and the command that checks them."""

from __future__ import annotations

import ast
import pathlib
import sys

import pytest

from eventalarm.trial.history import __main__ as command
from eventalarm.trial.history import records
from eventalarm.trial.history.records import History, HistoryError
from tests.support.histories import GOOD, no_trace


def test_a_history_is_the_same_after_a_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "new" / "history.jsonl"
    History(list(GOOD)).write(path)
    assert len(path.read_text().splitlines()) == len(GOOD)
    assert records.read(path).records == list(GOOD)


@pytest.mark.parametrize("text", ["{", "{}", '{"record": "x"}', '{"record": "run"}', "[]"])
def test_a_line_that_is_not_a_record_is_named(text: str) -> None:
    with pytest.raises(HistoryError, match="line 2"):
        records.parse([records.line(GOOD[0]), text])


def test_a_file_is_checked_again_by_command(tmp_path: pathlib.Path) -> None:
    good, bad, broken = (tmp_path / name for name in ("good", "bad", "broken"))
    History(list(GOOD)).write(good)
    History(no_trace("m1")(list(GOOD))).write(bad)
    broken.write_text("{")
    lines: list[str] = []
    assert command.main([str(good)], lines.append) == 0
    assert "nothing lost" in lines[-1]
    assert "  undisturbed | 0 | 9 | 0 | 0 | 0.100 / 0.200 | – | SAL 1" in lines
    assert command.main([str(good), str(bad)], lines.append) == 1
    assert "  WRONG G1: lost transition: alarm often, event m1" in lines
    assert command.main([str(broken)], lines.append) == 2
    assert "line 1" in lines[-1]
    assert command.main([], lines.append) == 2


def test_a_history_is_checked_without_eventalarm() -> None:
    """The standard library suffices, so that a deployer can check a file anywhere."""
    for path in pathlib.Path(records.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                outside = name.partition(".")[0] not in sys.stdlib_module_names
                assert not outside or name.startswith("eventalarm.trial.history"), (path, name)
