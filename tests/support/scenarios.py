"""The pages of ``doc/source/user/scenarios``: what to create, what is reported, and what is to arrive."""

from __future__ import annotations

import json
import pathlib
import re
import shlex
from typing import Any

from eventalarm.delivery.enqueue import to_deliveries
from eventalarm.ingest import reading
from eventalarm.model import JSONDict
from eventalarm.storage.database import Database
from tests.support.cloud import ROOT
from tests.support.definitions import Converter
from tests.support.engine_harness import RESOURCE_TRAITS, EngineHarness, alarm_row, insert_alarms

PAGES = ROOT / "doc" / "source" / "user" / "scenarios"
BLOCK = re.compile(r"^\.\. code-block:: (?:json|console)\n   :caption: (.+)\n\n((?:   .*\n|\n)+)", re.M)
ALARM = "1b1c4f3e-6b62-4f8e-9a52-3f0f3c7d0001"


def blocks(path: pathlib.Path) -> dict[str, str]:
    """Return the text of each block of a page by its caption."""
    return {
        name: "\n".join(line[3:] for line in text.splitlines())
        for name, text in BLOCK.findall(path.read_text())
    }


def command(text: str) -> dict[str, list[str]]:
    """Return the options of the command that creates the alarm of the page, ours or that of Aodh's client."""
    words = shlex.split(text.strip().removeprefix("$ ").replace("\\\n", " "), comments=True)
    ours = words[:4] == ["openstack", "eventalarm", "rule", "create"]
    assert ours or words[:3] == ["openstack", "alarm", "create"]
    options: dict[str, list[str]] = {} if ours else {"--type": []}
    rest = iter(words[4 if ours else 3 :])
    for word in rest:
        options.setdefault(word, []).append("" if ours and word == "--repeat-actions" else next(rest))
    return options


class Scenario:
    """Plays one page: its alarm on a real database; reports and notifications as events."""

    def __init__(
        self, path: pathlib.Path, database: Database, converter: Converter, rule: JSONDict | None = None
    ) -> None:
        self.blocks = blocks(path)
        self._converter = converter
        options = command(self.blocks["command"])
        self.type = options.get("--type", ["notification"])[0]
        self._engine = EngineHarness(database, infrastructure_projects=["admins"])
        row = alarm_row(
            ALARM,
            rule=rule or json.loads(self.blocks["rule.json"]),
            type=self.type,
            name=options["--name"][0],
            severity=options.get("--severity", ["low"])[0],
            project_id="admins" if "administrator" in self.blocks["command"] else "tenant",
            state="insufficient data",
            alarm_actions=options["--alarm-action"],
            ok_actions=options.get("--ok-action", []),
            repeat_actions="--repeat-actions" in options,
        )
        insert_alarms(database, row)

    def webhooks(self, name: str) -> list[JSONDict]:
        """Process the report of the block *name* and return the bodies of the webhooks that it causes."""
        return self.webhooks_of(json.loads(self.blocks[name]))

    def webhooks_of(self, said: Any) -> list[JSONDict]:
        """Process a report or a notification and return the bodies of the webhooks that it causes."""
        before = len(self._engine.sent)
        self._engine.process(self._event(said))
        return [
            one.notification.body()
            for transition in self._engine.sent[before:]
            for one in to_deliveries(transition, lambda: "id")
        ]

    def _event(self, said: Any) -> JSONDict:
        if "event" in said:
            return reading.to_event(said["event"], RESOURCE_TRAITS)
        return self._converter.event(said)


def masked(body: JSONDict) -> JSONDict:
    """Return a webhook without the parts that differ between any two."""
    copy: JSONDict = json.loads(json.dumps(body))
    copy["reason_data"].get("occurrence", {})["id"] = "id"
    return copy
