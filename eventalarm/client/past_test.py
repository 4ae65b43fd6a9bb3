"""``openstack eventalarm rule test --since``: what a rule would have done with past events."""

from __future__ import annotations

import argparse
import datetime
from typing import Any, Final

from osc_lib import exceptions

from eventalarm.client.maintenance import ENDPOINT
from eventalarm.client.service import Document, ServiceClient
from eventalarm.model import UTC, parse_time

UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class PastTestClient(ServiceClient):
    """Requests to the ingest API; every method raises CommandError with the service's error message."""

    ENDPOINT = ENDPOINT

    def test(self, body: Document) -> Document:
        """Return what a rule would have done, beside what was done."""
        found: Document = self._request("POST", "/v1/rules/test", json=body).json()
        return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose past events."""
    parser.add_argument(
        "--since",
        metavar="<time>",
        default="",
        help="test the recorded events of the project since then: a time such as 2026-11-20T23:01:36Z, or an "
        "age such as 30m, 12h or 7d; with --alarm the result is compared with what the alarm did",
    )
    parser.add_argument(
        "--until", metavar="<time>", default="", help="end of the events with --since (default: now)"
    )


def run(app: Any, args: argparse.Namespace, tested: Document) -> list[str]:
    """Test a rule over past events; return the result as lines of text.

    :param tested: the fields ``rule``, ``type`` and ``alarm_id`` of the request.
    """
    now = datetime.datetime.now(UTC)
    body = tested | {
        name: _moment(text, now) for name, text in (("since", args.since), ("until", args.until)) if text
    }
    found = PastTestClient.of(app).test(body)
    lines: list[str] = found["text"]
    if found["record_events"] in ("off", "matched"):
        lines.insert(
            0, f"record_events is {found['record_events']}: events that concern no alarm are unknown."
        )
    if not found["complete"]:
        lines.append(f"There are more events: continue with --since {found['until']}")
    return lines


def _moment(text: str, now: datetime.datetime) -> str:
    """Return a time, or the time that is an age before *now*, as ISO 8601 text."""
    number, unit = text[:-1], text[-1:]
    if number.isascii() and number.isdigit() and len(number) < 10 and unit in UNITS:
        try:
            return (now - datetime.timedelta(seconds=int(number) * UNITS[unit])).isoformat()
        except OverflowError as exc:
            raise exceptions.CommandError(f"{text}: too long ago") from exc
    try:
        return parse_time(text).isoformat()
    except ValueError as exc:
        raise exceptions.CommandError(f"{text}: {exc}, nor an age such as 30m, 12h or 7d") from exc
