"""The tenant of the demo: aodhclient's Python API and commands, without Keystone."""

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
from eventalarm.standalone import sample

COMMANDS = {
    "alarm show": alarm_cli.CliAlarmShow,
    "alarm-history show": alarm_history_cli.CliAlarmHistoryShow,
}

# A command that writes to a pipe does not wrap lines; this one would use the width of our terminal.
WIDE = 100_000


def connect(endpoint: str) -> Any:
    """Return aodhclient's client for the Aodh API at *endpoint*; proxies of the environment are ignored."""
    auth = noauth.AodhNoAuthPlugin(sample.USER, sample.project(), sample.ROLES, endpoint)
    direct = requests.Session()
    direct.trust_env = False
    return client.Client(session=session.Session(auth=auth, session=direct))


def alarm_on_failure(action: str) -> JSONDict:
    """Return an alarm on the failure of the sample's server; *action* is called on failure and recovery."""
    conditions = {"traits.instance_id": sample.instance(), "traits.state": "error"}
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
    """Return what ``openstack COMMAND ARGUMENTS`` prints to a pipe; the command runs in this process."""
    output = io.StringIO()
    application = types.SimpleNamespace(client=aodh, stdout=output)
    runner = COMMANDS[command](application, None)
    unwrapped = [*arguments, "--max-width", str(WIDE)]
    runner.run(runner.get_parser(command).parse_args(unwrapped))
    return output.getvalue()


def post(endpoint: str, notification: JSONDict) -> None:
    """Post a notification on Nova's exchange.

    :raises OSError: when it is not accepted.
    """
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(  # noqa: S310 - our own endpoint
        f"{endpoint}{sample.PATH}?exchange={sample.EXCHANGE}",
        json.dumps(notification).encode(),
        {"Content-Type": "application/json"},
    )
    direct.open(request, timeout=10).close()
