"""Every page of the scenarios is correct: its event raises its alarm, with the webhook shown."""

from __future__ import annotations

import json
import pathlib

import pytest

from eventalarm.storage.database import connect
from tests.support.definitions import Converter
from tests.support.engine_harness import create_schemas
from tests.support.scenarios import PAGES, Scenario, blocks, masked

FOUND = sorted(PAGES.glob("*.rst"))


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
def test_the_webhook_that_the_page_shows_arrives(
    path: pathlib.Path, tmp_path: pathlib.Path, converter: Converter
) -> None:
    """Fails when rule, definition or body differ from the page."""
    ways = [name for name in blocks(path) if name.startswith("fault")]
    for way in ways:
        database = connect(f"sqlite:///{tmp_path / way}.sqlite")
        create_schemas(database)
        played = Scenario(path, database, converter)
        (raised,) = played.webhooks(way)
        (cleared,) = played.webhooks(way.replace("fault", "recovery"))
        database.dispose()
        if way == "fault":
            assert masked(raised) == masked(json.loads(played.blocks["webhook"]))
        assert (raised["current"], cleared["previous"], cleared["current"]) == ("alarm", "alarm", "ok")
        # The webhooks of event alarms are those of Aodh.
        if played.type == "notification":
            assert raised["reason_data"]["occurrence"]["id"] == cleared["reason_data"]["occurrence"]["id"]
    assert "fault" in ways


def test_the_list_of_scenarios_is_complete() -> None:
    listed = (PAGES.parent / "scenarios.rst").read_text()
    assert len(FOUND) >= 7
    assert [path.stem for path in FOUND if f"scenarios/{path.stem}" not in listed] == []
