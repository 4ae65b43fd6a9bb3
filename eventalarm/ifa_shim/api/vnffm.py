"""``/vnffm/v1``: fault management by SOL003 clause 7, for the resources of this cloud."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from typing import Any, Final

import falcon
import re2

from eventalarm.http.auth import caller_of
from eventalarm.http.requests import JSON, check_preconditions, read_json
from eventalarm.ifa_shim import ifa_policies
from eventalarm.ifa_shim.alarm import AckState, IfaAlarm, as_sol003, etag
from eventalarm.ifa_shim.api.context import ApiContext, read_marker, write_marker
from eventalarm.ifa_shim.fault_details import STATE_CHANGE
from eventalarm.ifa_shim.filters import ALARM_ATTRIBUTES, BadFilter, Filter, Path, parse
from eventalarm.ifa_shim.queries import sol003_query

DEFAULT_VERSION: Final = "1.3.0"
# All published versions: their changes are optional, and do not affect what this API sends or accepts.
VERSIONS: Final = ("1.2.0", DEFAULT_VERSION, *(f"1.{minor}.0" for minor in range(4, 11)))
VERSION: Final = re2.compile(r"(\d+\.\d+\.\d+)(-impl:\S+)?")
PREFIX: Final = "/vnffm"
ROOT: Final = f"{PREFIX}/v1"
# Bytes of a request body.
MAX_BODY: Final = 64 * 1024
MERGE_PATCH: Final = "application/merge-patch+json"


class Versions:
    """Falcon middleware: the header ``Version`` of SOL013 clause 9.3.

    Checked on every resource except api_versions; sent with every response, errors included.
    """

    def __init__(self, required: bool) -> None:
        self._required = required

    def process_resource(
        self, req: falcon.Request, resp: falcon.Response, resource: object, params: dict[str, Any]
    ) -> None:
        """Check the requested version and add the header to the response."""
        ours = req.path.startswith(f"{ROOT}/") and not isinstance(resource, ApiVersions)
        if not ours or not hasattr(resource, f"on_{req.method.lower()}"):
            return
        asked = req.get_header("Version")
        if asked is None:
            if self._required:
                raise falcon.HTTPBadRequest(description="missing header Version")
            asked = DEFAULT_VERSION
        match = VERSION.fullmatch(asked.strip())
        if match is None:
            raise falcon.HTTPBadRequest(description="Version must be three numbers separated by dots")
        if match[1] not in VERSIONS:
            raise falcon.HTTPNotAcceptable(description=f"Version must be one of {', '.join(VERSIONS)}")
        resp.set_header("Version", match[1])

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, resource: object, req_succeeded: bool
    ) -> None:
        """Add the default version to responses that no versioned resource produced."""
        if req.path.startswith(f"{PREFIX}/") and resp.get_header("Version") is None:
            resp.set_header("Version", DEFAULT_VERSION)


class ApiVersions:
    """``api_versions`` (SOL013 clause 9.3.3): readable without a token."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Return the supported versions."""
        versions = [{"version": version, "isDeprecated": False} for version in VERSIONS]
        prefix = f"{self._context.fault_management(req)}/"
        resp.text = json.dumps({"uriPrefix": prefix, "apiVersions": versions})


def read_filter(req: falcon.Request, attributes: Any) -> Filter:
    """Return the attribute filter of a request; without one it matches everything.

    :raises BadFilter: when it is invalid.
    """
    text = req.params.get("filter", "")
    if isinstance(text, list):
        raise BadFilter("filter must be given once; join expressions with ';'")
    return parse(text, attributes) if text else Filter()


def read_body(context: ApiContext, req: falcon.Request, schema: str, media_types: tuple[str, ...]) -> Any:
    """Return the body of *req*, which is valid by *schema* of the OpenAPI document.

    :raises falcon.HTTPError: 413, 415, 400 when it is not JSON, 422 when it is invalid by *schema*.
    """
    body = read_json(req, MAX_BODY, media_types)
    if problem := context.schemas.problem(schema, body):
        # SOL013 clause 6.4: syntactically correct data that cannot be processed.
        raise falcon.HTTPUnprocessableEntity(description=problem)
    return body


class FaultAlarms:
    """``/vnffm/v1/alarms``."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Return a page of the active and the recently cleared alarms."""
        context = self._context
        project_id = context.guard.listed_project(req, ifa_policies.LIST, ifa_policies.ALL_PROJECTS)
        asked = read_filter(req, ALARM_ATTRIBUTES)
        texts = {name: value for name, value in req.params.items() if isinstance(value, str)}
        left_out = excluded_attributes(texts)
        settings = context.alarms.settings
        since = context.now() - datetime.timedelta(seconds=context.options.cleared_retention)
        listing = context.alarms.page(
            sol003_query(asked, project_id, settings, since),
            read_marker(req),
            context.options.page_size,
        )
        context.links.add_next(req, resp, write_marker(listing.next))
        shown = [select(show(context, req, alarm), left_out) for alarm in listing.alarms]
        resp.text = json.dumps(shown)


def show(context: ApiContext, req: falcon.Request, alarm: IfaAlarm) -> dict[str, Any]:
    """Return *alarm* in SOL003's form, with links that the client of *req* can follow."""
    connection = context.alarms.settings.vim_connection_id
    return as_sol003(alarm, root=context.fault_management(req), vim_connection_id=connection)


class FaultAlarm:
    """``/vnffm/v1/alarms/{alarmId}``."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context

    def on_get(self, req: falcon.Request, resp: falcon.Response, alarm_id: str) -> None:
        """Return one alarm with its ETag."""
        alarm = self._context.find(req, alarm_id, ifa_policies.SHOW)
        if check_preconditions(req, resp, etag(alarm)):
            resp.text = json.dumps(show(self._context, req, alarm))

    def on_patch(self, req: falcon.Request, resp: falcon.Response, alarm_id: str) -> None:
        """Acknowledge an alarm, or remove the acknowledgement (version 1.3.0)."""
        context = self._context
        alarm = context.find(req, alarm_id, ifa_policies.ACKNOWLEDGE)
        body = read_body(context, req, "AlarmModifications", (MERGE_PATCH, JSON))
        check_preconditions(req, resp, etag(alarm))
        wanted = AckState(body["ackState"])
        if not self._set(alarm, wanted, caller_of(req).user_id, body.get("comment")):
            raise falcon.HTTPConflict(description=f"the alarm is already {wanted}")
        resp.set_header("ETag", etag(context.find(req, alarm_id, ifa_policies.ACKNOWLEDGE)))
        resp.text = json.dumps(body)

    def _set(self, alarm: IfaAlarm, wanted: AckState, user_id: str, comment: str | None) -> bool:
        if wanted is AckState.UNACKNOWLEDGED and comment:
            raise falcon.HTTPUnprocessableEntity(
                description="comment: only with ackState ACKNOWLEDGED; remove it"
            )
        if alarm.ack_state is wanted:
            return False
        if wanted is AckState.ACKNOWLEDGED:
            return self._context.alarms.acknowledge(alarm, user_id, comment)
        return self._context.alarms.unacknowledge(alarm)


# The complex attributes that may be absent: only these can be left out. Simple ones are small, and
# rootCauseFaultyResource must be present whenever the resource is known.
OPTIONAL: Final = frozenset({"correlatedAlarmIds", "faultDetails"})
SELECTORS: Final = ("all_fields", "fields", "exclude_fields", "exclude_default")
# The path of every attribute, and of every attribute that contains others.
LINKS: Final = (("_links", "self"), ("_links", "objectInstance"))
PATHS: Final = frozenset(
    path[:depth] for path in (*ALARM_ATTRIBUTES, *LINKS) for depth in range(1, len(path) + 1)
)


def excluded_attributes(parameters: Mapping[str, str]) -> frozenset[str]:
    """Return the attributes that the selectors among *parameters* leave out.

    :raises BadFilter: when the selectors cannot be combined, or an attribute does not exist.
    """
    given = {name for name in SELECTORS if name in parameters}
    if len(given) > 1 and given != {"fields", "exclude_default"}:
        raise BadFilter(f"{', '.join(sorted(given))} cannot be combined")
    if "exclude_fields" in given:
        return OPTIONAL & {
            path[0] for path in _paths("exclude_fields", parameters["exclude_fields"]) if len(path) == 1
        }
    if given & {"fields", "exclude_default"}:
        return OPTIONAL - {path[0] for path in _paths("fields", parameters.get("fields", ""))}
    return frozenset()


def _paths(parameter: str, text: str) -> set[Path]:
    paths = {tuple(part.split("/")) for part in text.split(",") if part}
    unknown = sorted("/".join(path) for path in paths - PATHS)
    if unknown:
        raise BadFilter(f"{parameter}: unknown attribute {', '.join(unknown)[:80]}")
    return paths


def select(resource: Mapping[str, Any], left_out: frozenset[str]) -> dict[str, Any]:
    """Return *resource* without the attributes *left_out*."""
    if resource.get("faultType") == STATE_CHANGE:
        left_out -= {"faultDetails"}
    return {name: value for name, value in resource.items() if name not in left_out}
