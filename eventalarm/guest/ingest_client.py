"""Requests to the ingest API with keystoneauth, authenticated by Keystone or by headers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from keystoneauth1 import adapter, loading, noauth, session
from keystoneauth1 import exceptions as keystone
from oslo_config import cfg

from eventalarm.conf import GUEST_GROUP
from eventalarm.exceptions import InvalidOption
from eventalarm.guest.reporter import ApiUnavailable, EventsRefused
from eventalarm.model import JSONDict

SERVICE_TYPE: Final = "alarm-event"
# The group of the options for Keystone.
CREDENTIALS: Final = "service_credentials"
# What the API accepts without Keystone; the project is not that of the events.
IDENTITY: Final = {"X-Project-Id": "service", "X-User-Id": "eventalarm-guest-monitor", "X-Roles": "service"}
# Statuses of requests that can never succeed.
REFUSED: Final = frozenset({400, 413, 422})


class IngestClient:
    """Posts events; safe to use from one thread at a time."""

    def __init__(self, requests: adapter.Adapter) -> None:
        self._requests = requests

    def post(self, events: Sequence[JSONDict]) -> None:
        """Return once the API has accepted all of *events*.

        :raises ApiUnavailable: when it has not.
        :raises EventsRefused: when it never will.
        """
        try:
            answer = self._requests.post("/v1/events", json={"events": list(events)}, raise_exc=False)
        except keystone.EndpointNotFound as exc:
            raise ApiUnavailable(
                f"no service of type {SERVICE_TYPE} in the catalog; set [eventalarm_guest] endpoint"
            ) from exc
        except (keystone.ClientException, OSError) as exc:
            raise ApiUnavailable(" ".join(str(exc).split())[:300] or type(exc).__name__) from exc
        if answer.status_code in REFUSED:
            raise EventsRefused(f"{answer.status_code}: {_problem(answer)}")
        if answer.status_code != 202:
            raise ApiUnavailable(f"{answer.status_code}: {_problem(answer)}")


def _problem(answer: Any) -> str:
    try:
        body = answer.json()
        return f"{body['detail']} {body.get('errors', '')}".strip()[:300]
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{answer.reason}; check that {answer.url} is the ingest API"


def connect(conf: cfg.ConfigOpts) -> IngestClient:
    """Return a client for the configured API; nothing is sent yet.

    :raises InvalidOption: when an option is missing or can never work.
    """
    group = conf[GUEST_GROUP]
    how: dict[str, Any] = {
        "service_type": SERVICE_TYPE,
        "region_name": group.region_name or None,
        "interface": group.interface,
        "endpoint_override": group.endpoint.rstrip("/") or None,
        "user_agent": "eventalarm-guest-monitor",
    }
    if group.auth_mode == "noauth":
        if not group.endpoint:
            problem = "auth_mode = noauth knows no service catalog"
            raise InvalidOption(f"[{GUEST_GROUP}] endpoint", problem, "set the URL of the ingest API")
        found = session.Session(noauth.NoAuth(), timeout=group.request_timeout)
        return IngestClient(adapter.Adapter(found, additional_headers=IDENTITY, **how))
    try:
        auth = loading.load_auth_from_conf_options(conf, CREDENTIALS)
    except (keystone.ClientException, keystone.MissingRequiredOptions) as exc:
        raise InvalidOption(f"[{CREDENTIALS}]", str(exc), "set the credentials of the service user") from exc
    if auth is None:
        raise InvalidOption(f"[{CREDENTIALS}] auth_type", "is not set", "set it, or auth_mode = noauth")
    found = loading.load_session_from_conf_options(conf, CREDENTIALS, auth=auth)
    found.timeout = found.timeout or group.request_timeout
    return IngestClient(adapter.Adapter(found, **how))
