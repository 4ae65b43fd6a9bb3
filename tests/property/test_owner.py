"""The owner of events: Ceilometer's own converter with every form of definition, beside Aodh's own answer."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from aodh.evaluator import event as stock
from ceilometer.event import converter
from hypothesis import example, given
from hypothesis import strategies as st
from stevedore import extension

from eventalarm.owner import Doubt, Owners, naming
from eventalarm.publisher.codec import OWNER_TRAIT, decode
from eventalarm.publisher.event_eval import OwnerTraits
from tests.support.definitions import FRAGMENTS, SHIPPED
from tests.support.telemetry import ceilometer_options

DEFAULT_TRAITS = ("project_id", "tenant_id", "caller_project_id")
PLUGINS: extension.ExtensionManager[Any] = extension.ExtensionManager(
    namespace="ceilometer.event.trait_plugin"
)
CONF = ceilometer_options("fake://")
OWNER, CALLER = "owner", "caller"


def convert(
    definition: dict[str, Any], event_type: str, payload: Any, caller: str = CALLER
) -> dict[str, Any]:
    """Return the event that Ceilometer makes by one definition, as it is published."""
    body = {
        "event_type": event_type,
        "payload": payload,
        "publisher_id": "service.host",
        "ctxt": {"project_id": caller, "tenant_id": caller, "user_id": "u"},
        "metadata": {"message_id": "m", "timestamp": "2026-11-20 23:01:36.223555"},
    }
    made = converter.NotificationEventsConverter(CONF, [definition], PLUGINS).to_event("info", body)
    return {**made.serialize(), "generated": "2026-11-20T23:01:36", "message_signature": ""}


def owner(event: dict[str, Any], definition: dict[str, Any] | None) -> str:
    """Return the owner that a listener finds; with *definition* our publisher sent the event."""
    trait = OwnerTraits([definition])(event["event_type"]) if definition else None
    sent = {**event, OWNER_TRAIT: trait} if trait else event
    (found,), invalid = decode([sent])
    assert invalid == []
    assert OWNER_TRAIT not in found.body
    return Owners(DEFAULT_TRAITS).of(found)


def stock_owner(event: dict[str, Any]) -> str:
    return str(stock.Event(event).project)


def nested(path: str, value: Any) -> dict[str, Any]:
    """Return a payload in which *path*, such as ``payload.port.id``, leads to *value*."""
    made = value
    for name in reversed(path.split(".")[1:]):
        made = {name.strip("'"): made}
    return dict(made)


def merge(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    for key, value in other.items():
        one[key] = (
            merge(one[key], value) if isinstance(one.get(key), dict) and isinstance(value, dict) else value
        )
    return one


FIELDS = ("payload.tenant_id", "payload.project_id", "payload.owner", "payload.thing.project_id")
CALLERS = ("ctxt.project_id", "ctxt.tenant_id")
PATHS = st.lists(st.sampled_from(FIELDS), max_size=3, unique=True)
SOURCES = st.one_of(
    st.none(),
    st.builds(lambda paths, ends: paths + ends, PATHS, st.sampled_from([[], [CALLERS[0]], [CALLERS[1]]])),
).filter(lambda fields: fields is None or bool(fields))


def definition_of(
    project: list[str] | None, tenant: list[str] | None, kind: str = "thing.*"
) -> dict[str, Any]:
    traits = {"project_id": project, "tenant_id": tenant}
    return {
        "event_type": kind,
        "traits": {
            name: {"fields": fields[0] if len(fields) == 1 else fields}
            for name, fields in traits.items()
            if fields is not None
        },
    }


@given(SOURCES, SOURCES, st.sets(st.sampled_from(FIELDS)), st.booleans())
@example(None, ["payload.thing.project_id"], {"payload.thing.project_id"}, True)
@example(["payload.owner"], None, {"payload.owner"}, True)
@example(["payload.project_id", "ctxt.project_id"], None, {"payload.tenant_id"}, True)
def test_the_owner_is_found_where_aodh_finds_it(
    project: list[str] | None, tenant: list[str] | None, present: set[str], ours: bool
) -> None:
    """Whoever published the event. The payload names the owner at *present*; the caller is another."""
    definition = definition_of(project, tenant)
    payload: dict[str, Any] = {}
    for path in sorted(present):
        merge(payload, nested(path, OWNER))
    event = convert(definition, "thing.done", payload)
    found = owner(event, definition if ours else None)
    if stock_owner(event) == OWNER:
        assert found == OWNER
    assert found or not stock_owner(event)


@given(SOURCES, SOURCES, st.sets(st.sampled_from(FIELDS)))
@example(["payload.owner"], None, {"payload.owner"})
def test_a_definition_without_doubt_names_the_owner(
    project: list[str] | None, tenant: list[str] | None, present: set[str]
) -> None:
    """Where any of the two traits holds the owner, the owner it is."""
    definition = definition_of(project, tenant)
    payload: dict[str, Any] = {}
    for path in sorted(present):
        merge(payload, nested(path, OWNER))
    event = convert(definition, "thing.done", payload)
    traits = {name: value for name, _, value in event["traits"]}
    if naming(definition).doubt is None and OWNER in (traits.get("project_id"), traits.get("tenant_id")):
        assert owner(event, definition) == OWNER


@given(SOURCES, SOURCES, st.sets(st.sampled_from(FIELDS)))
def test_a_trait_of_the_caller_is_recognised(
    project: list[str] | None, tenant: list[str] | None, present: set[str]
) -> None:
    definition = definition_of(project, tenant)
    definition["traits"]["caller_project_id"] = {"fields": "ctxt.project_id"}
    payload: dict[str, Any] = {}
    for path in sorted(present):
        merge(payload, nested(path, OWNER))
    event = convert(definition, "thing.done", payload)
    traits = {name: value for name, _, value in event["traits"]}
    if OWNER in (traits.get("project_id"), traits.get("tenant_id")):
        assert owner(event, None) == OWNER
    assert owner(event, definition)


def shipped() -> Iterator[tuple[str, dict[str, Any]]]:
    for definition in yaml.safe_load(SHIPPED.read_text()):
        kinds = definition["event_type"]
        for kind in [kinds] if isinstance(kinds, str) else kinds:
            yield kind, definition


@pytest.mark.parametrize(
    ("kind", "definition"), list(shipped()), ids=lambda value: value if isinstance(value, str) else ""
)
@pytest.mark.parametrize("ours", [True, False], ids=["our-publisher", "notifier"])
def test_every_definition_of_ceilometer(kind: str, definition: dict[str, Any], ours: bool) -> None:
    """The owner wherever the definition takes one from the payload, whoever publishes."""
    event_type = kind.replace("*", "x")
    paths = []
    for name in ("project_id", "tenant_id"):
        fields = definition["traits"].get(name, {}).get("fields", [])
        paths += [f for f in ([fields] if isinstance(fields, str) else fields) if f.startswith("payload.")]
    payload: dict[str, Any] = {}
    for path in paths:
        merge(payload, nested(path, OWNER))
    event = convert({**definition, "event_type": kind}, event_type, payload)
    found = owner(event, definition if ours else None)
    if "http" not in event_type or ours:
        # http's project_id is the initiator's, who is the caller.
        assert found == (OWNER if paths else CALLER)
    if stock_owner(event) == OWNER:
        assert found == OWNER


def test_a_definition_that_sets_only_tenant_id() -> None:
    """The fault as it was seen: the caller's alarm fired where Aodh's evaluator fires the owner's."""
    definition = definition_of(None, ["payload.thing.project_id"])
    event = convert(definition, "thing.done", nested("payload.thing.project_id", OWNER))
    assert stock_owner(event) == OWNER
    assert owner(event, None) == owner(event, definition) == OWNER


@pytest.mark.parametrize(
    ("project", "tenant", "doubt"),
    [
        (None, None, None),
        (["payload.owner"], None, None),
        (None, ["payload.owner"], None),
        (["ctxt.tenant_id"], None, Doubt.CALLER_ONLY),
        (["ctxt.project_id"], ["ctxt.tenant_id"], Doubt.CALLER_ONLY),
        (["payload.project_id", "ctxt.project_id"], None, Doubt.EITHER),
        (["payload.project_id | ctxt.project_id"], None, Doubt.EITHER),
        (["payload.project_id", "payload.tenant_id", "ctxt.project_id"], None, None),
        (["payload.project_id", "ctxt.project_id"], ["payload.project_id", "ctxt.project_id"], None),
    ],
)
def test_definitions_that_cannot_name_an_owner_are_found(
    project: list[str] | None, tenant: list[str] | None, doubt: Doubt | None
) -> None:
    assert naming(definition_of(project, tenant)).doubt is doubt


def test_our_definitions_name_an_owner_unlike_those_of_ceilometer_for_neutron() -> None:
    ours = [one for path in FRAGMENTS.glob("*.yaml") for one in yaml.safe_load(path.read_text())]
    assert [one["event_type"] for one in ours if naming(one).doubt] == []
    doubtful = [kind for kind, one in shipped() if naming(one).doubt]
    assert {"port.*", "network.*", "router.*", "floatingip.*"} < set(doubtful)
    assert not any(fnmatch.fnmatch("compute.instance.update", kind) for kind in doubtful)


def test_the_order_of_the_owner_traits_option_counts() -> None:
    """Who lists tenant_id first gets it first; traits of a deployer's own come before both."""
    event = {
        "message_id": "m",
        "event_type": "image.update",
        "traits": [["project_id", 1, "p"], ["tenant_id", 1, "t"], ["mine", 1, "x"]],
    }
    (found,), _ = decode([event])
    assert Owners(("project_id", "tenant_id")).of(found) == "p"
    assert Owners(("tenant_id", "project_id")).of(found) == "t"
    assert Owners(("mine", "project_id", "tenant_id")).of(found) == "x"
    assert Owners(("project_id",)).of(found) == "p"


def test_an_empty_owner_is_no_owner() -> None:
    """The networks of Neutron's own high availability belong to the project "": then the caller counts."""
    event = {
        "message_id": "m",
        "event_type": "port.update.end",
        "traits": [["project_id", 1, ""], ["tenant_id", 1, ""], ["caller_project_id", 1, "admins"]],
    }
    (found,), _ = decode([event])
    assert Owners(DEFAULT_TRAITS).of(found) == "admins"
