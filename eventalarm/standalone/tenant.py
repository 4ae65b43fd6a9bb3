"""What a tenant does: aodhclient's Python API and its commands, without Keystone."""

from __future__ import annotations

import io
import json
import types
import urllib.request
from collections.abc import Sequence
from typing import Any

import requests
from aodhclient import noauth
from aodhclient.v2 import alarm_cli, alarm_history_cli, client
from keystoneauth1 import session

from eventalarm.model import JSONDict
from eventalarm.standalone import hints, intake, sample

COMMANDS = {
    "alarm show": alarm_cli.CliAlarmShow,
    "alarm-history show": alarm_history_cli.CliAlarmHistoryShow,
}

# A command that writes into a pipe does not wrap lines; this one would look at the terminal of the process.
WIDE = 100_000


def connect(endpoint: str) -> Any:
    """Return aodhclient's client for the Aodh API at *endpoint*; a proxy of the environment is not asked."""
    auth = noauth.AodhNoAuthPlugin(hints.USER, hints.project(), hints.ROLES, endpoint)
    direct = requests.Session()
    direct.trust_env = False
    return client.Client(session=session.Session(auth=auth, session=direct))


def alarm_on_failure(action: str) -> JSONDict:
    """Return the definition of an alarm: the server of the sample failed; *action* is told of both turns."""
    conditions = {"traits.instance_id": hints.instance(), "traits.state": "error"}
    return {
        "name": "server-failed",
        "type": "event",
        "severity": "critical",
        "event_rule": {
            "event_type": "compute.instance.update",
            "query": [
                {"field": field, "op": "eq", "type": "string", "value": value}
                for field, value in conditions.items()
            ],
        },
        "alarm_actions": [action],
        "ok_actions": [action],
    }


def printed(aodh: Any, command: str, arguments: Sequence[str]) -> str:
    """Return what ``openstack COMMAND ARGUMENTS`` prints into a pipe: the client's own command, run here."""
    output = io.StringIO()
    application = types.SimpleNamespace(client=aodh, stdout=output)
    runner = COMMANDS[command](application, None)
    unwrapped = [*arguments, "--max-width", str(WIDE)]
    runner.run(runner.get_parser(command).parse_args(unwrapped))
    return output.getvalue()


def post(endpoint: str, notification: JSONDict) -> None:
    """Post a notification, as Nova's exchange.

    :raises OSError: when it is not accepted.
    """
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(  # noqa: S310 - our own endpoint
        f"{endpoint}{intake.PATH}?exchange={sample.EXCHANGE}",
        json.dumps(notification).encode(),
        {"Content-Type": "application/json"},
    )
    direct.open(request, timeout=10).close()
