"""Log records as JSON: by an option of every service, with what they are about in separate fields."""

from __future__ import annotations

import ast
import io
import json
import logging
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from oslo_context import fixture
from oslo_log import formatters

from eventalarm.delivery.dead_letters import DeadLetterLog
from eventalarm.log_fields import fields
from tests.support.deliveries import make_delivery

ROOT = pathlib.Path(__file__).parents[2]
SERVICE = """
import logging, sys
from eventalarm import service
from eventalarm.log_fields import fields
service.prepare(sys.argv[1:], prog="eventalarm-listener", description="", epilog="")
about = fields(alarm_id="a-1", project_id="")
logging.getLogger("eventalarm.test").warning("Alarm %s: late", "a-1", extra=about)
"""


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What eventalarm logs, in oslo.log's JSON."""
    handler = logging.StreamHandler(found := io.StringIO())
    handler.setFormatter(formatters.JSONFormatter())
    logger = logging.getLogger("eventalarm")
    logger.addHandler(handler)
    # A request of another test would name its own project.
    with fixture.ClearRequestContext():
        yield found
    logger.removeHandler(handler)


def test_a_record_names_its_delivery_alarm_and_project(lines: io.StringIO) -> None:
    delivery = make_delivery("http://user:s3cret@h.example/p", alarm_id="alarm-x", project_id="p")
    DeadLetterLog().report(delivery, 10, "http_5xx: HTTP 503")
    record: dict[str, Any] = json.loads(lines.getvalue())
    assert record["extra"] == {"delivery_id": delivery.delivery_id, "alarm_id": "alarm-x", "project_id": "p"}
    assert record["message"].startswith(f"Delivery {delivery.delivery_id} given up")
    assert "s3cret" not in lines.getvalue()


@pytest.mark.parametrize("how", ["option", "flag"])
def test_every_service_logs_json_when_asked(tmp_path: pathlib.Path, how: str) -> None:
    conf = tmp_path / "eventalarm.conf"
    conf.write_text(f"[DEFAULT]\nuse_json = {how == 'option'}\n")
    words = ["--config-file", str(conf), *(["--use-json"] if how == "flag" else [])]
    done = subprocess.run(
        [sys.executable, "-c", SERVICE, *words], capture_output=True, text=True, check=True, timeout=120
    )
    record = json.loads((done.stdout or done.stderr).splitlines()[-1])
    assert record["message"] == "Alarm a-1: late"
    assert record["extra"] == {"alarm_id": "a-1"}


def test_the_documentation_lists_each_field() -> None:
    used = {
        keyword.arg
        for path in (ROOT / "eventalarm").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "fields"
        for keyword in node.keywords
    }
    page = (ROOT / "doc/source/admin/logs.rst").read_text()
    assert used == set(re.findall(r"^``(\w+)``  +", page, re.M))
    assert fields(alarm_id="")["extra_keys"] == []
