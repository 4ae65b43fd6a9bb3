"""A client of the IFA API: requests, paging, and errors as readable messages."""

from __future__ import annotations

import argparse
import os
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any, Final

from keystoneauth1 import adapter
from keystoneauth1 import exceptions as keystone
from osc_lib import exceptions

SERVICE_TYPE: Final = "nfv-alarm"
OPTION: Final = "ifa_endpoint"
VARIABLE: Final = "OS_IFA_ENDPOINT"
ALARMS: Final = "/ifa/v1/alarms"
FAULTS: Final = "/vnffm/v1/alarms"
HISTORY: Final = "/ifa/v1/history"
MARKER: Final = "nextpage_opaque_marker"
HISTORY_MARKER: Final = "X-Eventalarm-Marker"
MERGE_PATCH: Final = "application/merge-patch+json"

Document = dict[str, Any]


class NotReached(exceptions.CommandError):
    """The service did not answer or is unavailable; the same request can succeed later."""


def add_endpoint(parser: argparse.ArgumentParser) -> None:
    """Add the option for the URL of the service, for clouds without a catalog entry."""
    parser.add_argument(
        "--ifa-endpoint",
        metavar="<url>",
        dest=OPTION,
        default=os.environ.get(VARIABLE, ""),
        help=f"URL of eventalarm-ifa-api; by default from the service catalog, type {SERVICE_TYPE} "
        f"(Env: {VARIABLE})",
    )


class IfaClient:
    """Requests to one service; every method raises CommandError with the service's error message."""

    def __init__(self, requests: adapter.Adapter) -> None:
        self._requests = requests

    @classmethod
    def of(cls, app: Any) -> IfaClient:
        """Return a client for the cloud of the ``openstack`` command *app*."""
        manager = app.client_manager
        manager.setup_auth()
        found = adapter.Adapter(
            manager.session,
            service_type=SERVICE_TYPE,
            interface=manager.interface,
            region_name=manager.region_name,
            endpoint_override=(getattr(app.options, OPTION, "") or "").rstrip("/") or None,
        )
        return cls(found)

    def alarms(self, filters: Mapping[str, Any], limit: int | None = None) -> list[Document]:
        """Return the alarms of all pages, or the first *limit*."""
        found: list[Document] = []
        for page in self._pages(ALARMS, filters):
            found += page.json()
            if limit is not None and len(found) >= limit:
                break
        return found[:limit]

    def alarm(self, alarm_id: str) -> Document:
        """Return one alarm in IFA 005's attribute names, with SOL003's acknowledgement."""
        found: Document = self._get(f"{ALARMS}/{_quoted(alarm_id)}").json()
        fault = self._get(f"{FAULTS}/{_quoted(alarm_id)}").json()
        names = ("ackState", "alarmAcknowledgedTime")
        return found | {name: fault[name] for name in names if name in fault}

    def find(self, alarm_id: str) -> Document | None:
        """Return one alarm in IFA 005's attribute names, or None if it does not exist."""
        answer = self._request("GET", f"{ALARMS}/{_quoted(alarm_id)}", missing=True)
        found: Document | None = answer.json() if answer.status_code == 200 else None
        return found

    def history(self, alarm_id: str) -> list[Document]:
        """Return the history of an alarm, the oldest entry first."""
        pages = self._pages(f"{ALARMS}/{_quoted(alarm_id)}/history", {})
        return [entry for page in pages for entry in page.json()]

    def transitions(
        self, filters: Mapping[str, Any], marker: str | None = None
    ) -> tuple[list[Document], str]:
        """Return what was recorded since *marker*, and the marker with which to continue later.

        Without a marker the history begins at the time ``since`` of the *filters*, by default at its oldest
        entry. After a late commit entries are returned again: their ``id`` tells.
        """
        entries: list[Document] = []
        for page in self._pages(HISTORY, filters, marker):
            entries += page.json()
            marker = str(page.headers[HISTORY_MARKER])
        return entries, marker or ""

    def acknowledge(self, alarm_id: str, state: str) -> bool:
        """Set the acknowledgement state; return False if it was already set."""
        answer = self._request(
            "PATCH",
            f"{FAULTS}/{_quoted(alarm_id)}",
            json={"ackState": state},
            headers={"Content-Type": MERGE_PATCH},
            conflict=True,
        )
        return bool(answer.status_code == 200)

    def _pages(self, path: str, filters: Mapping[str, Any], marker: str | None = None) -> Iterator[Any]:
        """Yield the answers with the pages of a listing, from *marker* on."""
        while True:
            params = {**filters, MARKER: marker} if marker is not None else dict(filters)
            # Encoded here: requests would encode a space as a plus sign, which the service reads literally.
            query = urllib.parse.urlencode(params, doseq=True, quote_via=urllib.parse.quote)
            answer = self._get(f"{path}?{query}" if query else path)
            yield answer
            # The host in the link may be known only in the service's own network.
            following = urllib.parse.urlsplit(answer.links.get("next", {}).get("url", ""))
            marker = dict(urllib.parse.parse_qsl(following.query)).get(MARKER)
            if marker is None:
                return

    def _get(self, path: str, **how: Any) -> Any:
        return self._request("GET", path, **how)

    def _request(
        self, method: str, path: str, *, missing: bool = False, conflict: bool = False, **how: Any
    ) -> Any:
        """Return the response, with *missing* also a 404, with *conflict* also a 409."""
        try:
            answer = self._requests.request(path, method, raise_exc=False, **how)
        except keystone.EndpointNotFound as exc:
            raise exceptions.CommandError(
                f"no service of type {SERVICE_TYPE} in the catalog; set --ifa-endpoint or {VARIABLE}"
            ) from exc
        except (keystone.ConnectFailure, keystone.SSLError) as exc:
            raise NotReached(str(exc)) from exc
        status = answer.status_code
        if status < 400 or (missing and status == 404) or (conflict and status == 409):
            return answer
        kind = NotReached if status in (429, 502, 503, 504) else exceptions.CommandError
        raise kind(f"{status}: {_problem(answer)}")


def _problem(answer: Any) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"{answer.reason}; check that {answer.url} is the IFA API"


def _quoted(alarm_id: str) -> str:
    return urllib.parse.quote(alarm_id, safe="")
