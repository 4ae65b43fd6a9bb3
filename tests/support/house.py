"""A cloud whose hosts inspectors watch: Doctor's, with the reports of monitors and of Masakari."""

from __future__ import annotations

import datetime
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from tests.support.cloud import Spawn
from tests.support.doctor import SERVER_RULE, Doctor
from tests.support.ingest_api import report
from tests.support.inspector import server_event


class House(Doctor):
    """Doctor's cloud; what ``spawn`` starts ends with the tests of its folder."""

    spawn: Spawn

    def settled(self, prefix: str) -> dict[str, int]:
        """Return the webhooks so far at paths with a prefix, once all events are evaluated and delivered.

        The marker takes the whole way, inspector, listener and webhook, behind everything else.
        """
        marker = f"marker-{uuid.uuid4()}"
        self.watch(SERVER_RULE, {marker: "bystander"})
        self.cloud.publish(server_event(marker, "bystander", f"host-of-{marker}"))
        self.report(report("compute.host.down", hostname=f"host-of-{marker}", status="down"))
        self.sink.wait(1, f"/{marker}")
        self.cloud.settle()
        found = Counter(request.path for request in self.sink.requests)
        return {path: count for path, count in found.items() if path.startswith(f"/{prefix}")}

    def down(self, host: str, **details: Any) -> None:
        """Post one report that a host is down."""
        self.report(report("compute.host.down", hostname=host, status="down", severity="critical", **details))

    def up(self, host: str) -> None:
        """Post one report that a host is back."""
        self.report(report("compute.host.up", hostname=host, status="up"))

    def masakari(self, event_type: str, **data: Any) -> None:
        """Publish a versioned notification of Masakari."""
        said = {
            "message_id": str(uuid.uuid4()),
            "event_type": event_type,
            "payload": {"masakari_object.name": "X", "masakari_object.data": data},
            "priority": "INFO",
            "publisher_id": "masakari-engine:controller",
            "timestamp": str(datetime.datetime.now(datetime.UTC).replace(tzinfo=None)),
        }
        self.notify(said, "masakari", topic="versioned_notifications")

    def wait(self, names: Iterable[str], suffix: str = "") -> None:
        """Wait until the webhook of each owner was called at ``/NAME`` with the suffix."""
        for name in names:
            self.sink.wait(1, f"/{name}{suffix}")


def servers(prefix: str, number: int) -> dict[str, str]:
    return {f"{prefix}-vm-{one}": f"{prefix}-project-{one}" for one in range(number)}


def once(paths: Mapping[str, str], *suffixes: str) -> dict[str, int]:
    return {f"/{path}{suffix}": 1 for path in paths for suffix in suffixes}
