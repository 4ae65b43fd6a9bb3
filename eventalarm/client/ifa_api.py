"""A client of the IFA API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from eventalarm.client.service import Document, Endpoint, ServiceClient, quoted

ENDPOINT: Final = Endpoint("eventalarm-ifa-api", "nfv-alarm", "ifa-endpoint", "OS_IFA_ENDPOINT")
ALARMS: Final = "/ifa/v1/alarms"
FAULTS: Final = "/vnffm/v1/alarms"
HISTORY: Final = "/ifa/v1/history"
RESOURCES: Final = "/ifa/v1/resources"
HOSTS: Final = "/ifa/v1/physical-resources"
HISTORY_MARKER: Final = "X-Eventalarm-Marker"
MERGE_PATCH: Final = "application/merge-patch+json"


class IfaClient(ServiceClient):
    """Requests to one service; every method raises CommandError with the service's error message."""

    ENDPOINT = ENDPOINT

    def alarms(self, filters: Mapping[str, Any], limit: int | None = None) -> list[Document]:
        """Return the alarms of all pages, or the first *limit*."""
        return self._listed(ALARMS, filters, limit)

    def alarm(self, alarm_id: str) -> Document:
        """Return one alarm in IFA 005's attribute names, with SOL003's acknowledgement."""
        found: Document = self._get(f"{ALARMS}/{quoted(alarm_id)}").json()
        fault = self._get(f"{FAULTS}/{quoted(alarm_id)}").json()
        names = ("ackState", "alarmAcknowledgedTime")
        return found | {name: fault[name] for name in names if name in fault}

    def find(self, alarm_id: str) -> Document | None:
        """Return one alarm in IFA 005's attribute names, or None if it does not exist."""
        answer = self._request("GET", f"{ALARMS}/{quoted(alarm_id)}", missing=True)
        found: Document | None = answer.json() if answer.status_code == 200 else None
        return found

    def history(self, alarm_id: str) -> list[Document]:
        """Return the history of an alarm, the oldest entry first."""
        return self._listed(f"{ALARMS}/{quoted(alarm_id)}/history", {})

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

    def resources(self, filters: Mapping[str, Any], limit: int | None = None) -> list[Document]:
        """Return the resources with active alarms of all pages, or the first *limit*."""
        return self._listed(RESOURCES, filters, limit)

    def resource(self, resource_id: str) -> Document:
        """Return the state of one resource."""
        found: Document = self._get(f"{RESOURCES}/{quoted(resource_id)}").json()
        return found

    def physical_resources(self, filters: Mapping[str, Any], limit: int | None = None) -> list[Document]:
        """Return the hosts of all pages, or the first *limit*; for administrators."""
        return self._listed(HOSTS, filters, limit)

    def physical_resource(self, host: str) -> Document:
        """Return the state of one host; for administrators."""
        found: Document = self._get(f"{HOSTS}/{quoted(host)}").json()
        return found

    def acknowledge(self, alarm_id: str, state: str, comment: str = "") -> bool:
        """Set the acknowledgement state; return False if it was already set."""
        answer = self._request(
            "PATCH",
            f"{FAULTS}/{quoted(alarm_id)}",
            json={"ackState": state} | ({"comment": comment} if comment else {}),
            headers={"Content-Type": MERGE_PATCH},
            conflict=True,
        )
        return bool(answer.status_code == 200)
