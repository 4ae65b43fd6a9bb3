"""How findings are shown."""

from __future__ import annotations

import json

from eventalarm.model.findings import Finding, Health
from eventalarm.pulse import text

FINDINGS = [
    ("endpoint", Finding(target="nova", health=Health.OK, summary="200", figures={"seconds": 0.25})),
    (
        "port",
        Finding(target="db:3306", health=Health.CRITICAL, summary="refused | really", remedy="start it"),
    ),
]


def test_the_table_begins_with_the_worst_and_says_what_to_do() -> None:
    lines = text.as_table(FINDINGS, colour=False).splitlines()
    assert lines[1].split()[:3] == ["CRITICAL", "port", "db:3306"]
    assert lines[2].strip() == "to do: start it"
    assert lines[3].startswith("OK")
    assert "\x1b[31mCRITICAL\x1b[0m" in text.as_table(FINDINGS, colour=True)
    assert "[eventalarm_pulse] checks" in text.as_table([], colour=False)


def test_json_has_the_worst_status() -> None:
    shown = json.loads(text.as_json(FINDINGS))
    assert (shown["status"], [one["status"] for one in shown["findings"]]) == ("critical", ["ok", "critical"])


def test_the_line_of_a_nagios_plugin_has_one_bar() -> None:
    line = text.as_nagios(FINDINGS)
    assert line == "PULSE CRITICAL - db:3306: refused / really | 'endpoint/nova/seconds'=0.25"
    assert text.as_nagios(FINDINGS[:1]) == "PULSE OK - 1 targets | 'endpoint/nova/seconds'=0.25"
