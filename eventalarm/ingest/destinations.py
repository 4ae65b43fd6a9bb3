"""``/v1/destinations``: how the destinations of a project do, and enabling one that is disabled."""

from __future__ import annotations

import json
import logging
from typing import Final

import falcon

from eventalarm.delivery import action
from eventalarm.http.auth import caller_of
from eventalarm.http.requests import read_json
from eventalarm.http.responses import BadBody, FieldError
from eventalarm.ingest.deliveries import NO_PLACE, READ, SEND, DeliveryContext
from eventalarm.ingest.sessions import time_or_none
from eventalarm.log_fields import fields
from eventalarm.model import Circuit, CircuitState, JSONDict, shown_reason
from eventalarm.storage.circuits import CircuitStore
from eventalarm.storage.delivery_pages import DestinationFigures

LOG = logging.getLogger(__name__)

NOT_FOUND: Final = "the circuit of that destination is closed: nothing holds its deliveries back"


class DestinationList:
    """The resource of the destinations of a project."""

    def __init__(self, context: DeliveryContext) -> None:
        self._context = context

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Return the destinations, by name, and the URLs that are disabled."""
        project_id = self._context.project(req, READ)
        figures = {one.destination: one for one in self._context.pages().destinations(project_id)}
        circuits = CircuitStore(self._context.database()).of_project(project_id)
        held_back = {name for name, circuit in circuits.items() if circuit.state != CircuitState.CLOSED}
        resp.text = json.dumps(
            [
                _shown(figures.get(name, DestinationFigures(name)))
                | shown_circuit(circuits.get(name, Circuit(project_id, name)))
                for name in sorted({*figures, *held_back})
            ]
        )


class DestinationEnabling:
    """The resource that closes the circuit of a destination."""

    def __init__(self, context: DeliveryContext) -> None:
        self._context = context

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Close the circuit and return it; what waits for it is sent."""
        context = self._context
        project_id = context.project(req, SEND)
        body = read_json(req, context.max_body)
        if errors := context.schemas.errors("DestinationName", body):
            raise BadBody(errors)
        url = body["destination"]
        name = action.destination(url)
        if not name:
            raise BadBody([FieldError("/destination", "not a URL", NO_PLACE)])
        store = CircuitStore(context.database(), context.operational_events)
        # A URL that is gone, or else where it leads.
        enabled = store.enable(project_id, action.masked(url)) or store.enable(project_id, name)
        if enabled is None:
            raise falcon.HTTPNotFound(description=NOT_FOUND)
        name = enabled.destination
        user_id = caller_of(req).user_id
        about = fields(destination=name, project_id=project_id, user_id=user_id)
        LOG.info("Destination %s of project %s is enabled by user %s", name, project_id, user_id, extra=about)
        resp.text = json.dumps({"destination": name} | shown_circuit(enabled))


def shown_circuit(circuit: Circuit) -> JSONDict:
    """Return the state of a circuit as clients see it."""
    return {
        "circuit": circuit.state.value,
        "failing_since": time_or_none(circuit.failing_since),
        "next_probe_at": time_or_none(circuit.next_probe_at),
        "probes": circuit.probes,
        "status": circuit.status,
        "error": shown_reason(circuit.error) or None,
    }


def _shown(one: DestinationFigures) -> JSONDict:
    finished = one.delivered + one.failed
    return {
        "destination": one.destination or None,
        "delivered": one.delivered,
        "failed": one.failed,
        "success_rate": one.delivered / finished if finished else None,
        "latency_p50": one.percentile(0.5),
        "latency_p99": one.percentile(0.99),
        "owed": one.owed,
        "last_success_at": time_or_none(one.last_success_at),
        "last_failure_at": time_or_none(one.last_failure_at),
    }
