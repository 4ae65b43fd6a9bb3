"""``/ifa/v1/resources`` and ``/ifa/v1/physical-resources``: the states of resources and of hosts."""

from __future__ import annotations

import json
from typing import Final

import falcon

from eventalarm.http.auth import caller_of
from eventalarm.http.parameters import page_size, words
from eventalarm.http.responses import MARKER, BadMarker, decode_marker, encode_marker
from eventalarm.ifa_shim import ifa_policies
from eventalarm.ifa_shim.api.context import ApiContext, read_marker, write_marker
from eventalarm.ifa_shim.api.parameters import read_resource_query
from eventalarm.ifa_shim.resource_states import ResourceState, as_document

NO_INSPECTOR: Final = (
    "no inspector has recorded a host: install eventalarm[inspector], run eventalarm-inspector, and check "
    "the resource map with eventalarm-inspector status"
)


class Resources:
    """``/ifa/v1/resources``."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Return a page of the resources with active alarms."""
        context = self._context
        project_id = context.guard.listed_project(req, ifa_policies.RESOURCES, ifa_policies.ALL_PROJECTS)
        query = read_resource_query(req, project_id, context.alarms.settings)
        size = page_size(req, context.options.page_size)
        listing = context.alarms.resources(query, read_marker(req), size)
        context.links.add_next(req, resp, write_marker(listing.next))
        resp.text = json.dumps([as_document(one) for one in listing.resources])


class OneResource:
    """``/ifa/v1/resources/{managedObjectId}``."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context

    def on_get(self, req: falcon.Request, resp: falcon.Response, resource_id: str) -> None:
        """Return the state of one resource."""
        context = self._context
        project_id = context.guard.visible_project(req, ifa_policies.RESOURCES, ifa_policies.ALL_PROJECTS)
        found = context.alarms.resource(resource_id, project_id)
        if found is None:
            raise falcon.HTTPNotFound(description="resource not found: no alarm was ever raised on it")
        resp.text = json.dumps(as_document(found))


class PhysicalResources:
    """``/ifa/v1/physical-resources``."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Return a page of hosts."""
        context = self._context
        context.guard.require(caller_of(req), ifa_policies.PHYSICAL_RESOURCES)
        states, after = words(req, "state", ResourceState), _read_host_marker(req)
        size = page_size(req, context.options.page_size)
        with context.alarms.hosts(context.options.map_stale_after) as hosts:
            found, last = hosts.page(after, size)
            if not found and not after and not hosts.has_inspector():
                raise falcon.HTTPNotFound(description=NO_INSPECTOR)
        context.links.add_next(req, resp, encode_marker(last) if last is not None else None)
        resp.text = json.dumps([one for one in found if not states or one["state"] in states])


class OnePhysicalResource:
    """``/ifa/v1/physical-resources/{host}``."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context

    def on_get(self, req: falcon.Request, resp: falcon.Response, host: str) -> None:
        """Return the state of one host."""
        context = self._context
        context.guard.require(caller_of(req), ifa_policies.PHYSICAL_RESOURCES)
        with context.alarms.hosts(context.options.map_stale_after) as hosts:
            found = hosts.get(host)
            if found is None:
                known = hosts.has_inspector()
                raise falcon.HTTPNotFound(description="host not found" if known else NO_INSPECTOR)
        resp.text = json.dumps(found)


def _read_host_marker(req: falcon.Request) -> str:
    text = req.get_param(MARKER)
    found = decode_marker(text) if text else ""
    if not isinstance(found, str):
        raise BadMarker
    return found
