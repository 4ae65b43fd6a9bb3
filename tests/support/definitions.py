"""Our event definitions merged with those that Ceilometer ships, as deployers do it."""

from __future__ import annotations

import json
import pathlib
import subprocess
from typing import Any

import ceilometer.pipeline
from ceilometer.event import converter
from oslo_serialization import jsonutils
from stevedore import extension

from eventalarm import etc
from eventalarm.catalogue import jsonpath
from tests.support.helpers import console_script
from tests.support.telemetry import ceilometer_options

FRAGMENTS = etc.EVENT_DEFINITIONS
SHIPPED = pathlib.Path(ceilometer.pipeline.__path__[0]) / "data" / "event_definitions.yaml"


def merged(folder: pathlib.Path) -> pathlib.Path:
    """Return a file with all definitions, made by the documented command."""
    path = folder / "event_definitions.yaml"
    command = [console_script("eventalarm-definitions"), "install", "--file", str(path)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return path


class Converter:
    """Ceilometer's own converter with the definitions in *path*."""

    def __init__(self, path: pathlib.Path) -> None:
        conf = ceilometer_options("fake://")
        conf.set_override("definitions_cfg_file", str(path), group="event")
        jsonpath.use()
        self._converter = converter.setup_events(
            conf, extension.ExtensionManager(namespace="ceilometer.event.trait_plugin")
        )

    def traits(self, event_type: str, payload: Any, publisher: str = "service.host0") -> dict[str, Any]:
        """Return the traits of a notification that an administrator caused, by name."""
        body = {
            "event_type": event_type,
            "payload": payload,
            "publisher_id": publisher,
            "ctxt": {"project_id": "callers", "tenant_id": "callers", "user_id": "caller"},
            "metadata": {"message_id": "m", "timestamp": "2026-11-20 23:01:36.223555"},
        }
        event = self._converter.to_event("info", body)
        return {trait.name: trait.value for trait in event.traits}

    def traits_of(self, notification: dict[str, Any], ctxt: dict[str, Any]) -> dict[str, Any]:
        """Return the traits of a whole notification that the caller of *ctxt* caused, by name."""
        metadata = {"message_id": "m", "timestamp": "2026-11-20 23:01:36.223555"}
        event = self._converter.to_event("info", {**notification, "ctxt": ctxt, "metadata": metadata})
        return {trait.name: trait.value for trait in event.traits}

    def event(self, notification: dict[str, Any]) -> dict[str, Any]:
        """Return the event of a whole notification, as the publisher writes it."""
        said = {name: notification[name] for name in ("event_type", "payload", "publisher_id")}
        metadata = {name: notification[name] for name in ("message_id", "timestamp")}
        ctxt = notification.get("ctxt", {})
        event = self._converter.to_event("info", {**said, "ctxt": ctxt, "metadata": metadata})
        serialized = {**event.serialize(), "message_signature": ""}
        found: dict[str, Any] = json.loads(jsonutils.dumps(serialized))
        return found
