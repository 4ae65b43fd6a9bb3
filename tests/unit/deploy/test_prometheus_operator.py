"""The custom resources of the chart have the fields that the operator of Prometheus defines."""

from __future__ import annotations

import copy
from typing import Any

import jsonschema
import pytest
import yaml

from tests.support.deployment_projects import DEPLOY

MANIFESTS = DEPLOY / "kubernetes/eventalarm.yaml"
RULES = DEPLOY.parent / "eventalarm/etc/prometheus-rules.yaml"
DURATION = {
    "type": "string",
    "pattern": "^(0|(([0-9]+)y)?(([0-9]+)w)?(([0-9]+)d)?(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?(([0-9]+)ms)?)$",
}
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}


def closed(required: list[str], **properties: Any) -> dict[str, Any]:
    """Return the schema of an object without other properties, which the API server would remove."""
    return {
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": False,
    }


def resource(spec: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a custom resource."""
    metadata = closed(["name"], name={"type": "string"}, labels=TEXTS)
    api = {"const": "monitoring.coreos.com/v1"}
    return closed(
        ["apiVersion", "kind", "metadata", "spec"],
        apiVersion=api,
        kind={"type": "string"},
        metadata=metadata,
        spec=spec,
    )


# The fields that the chart uses, as in the custom resource definitions of prometheus-operator 0.82.2.
RULE = closed(
    ["expr"],
    alert={"type": "string"},
    record={"type": "string"},
    expr={"type": ["string", "integer"]},
    **{"for": DURATION, "keep_firing_for": DURATION},
    labels=TEXTS,
    annotations=TEXTS,
)
GROUP = closed(["name"], name={"type": "string", "minLength": 1}, rules={"type": "array", "items": RULE})
ENDPOINT = closed([], port={"type": "string"}, path={"type": "string"}, interval=DURATION)
SCHEMAS = {
    "PrometheusRule": resource(closed([], groups={"type": "array", "items": GROUP})),
    "ServiceMonitor": resource(
        closed(
            ["endpoints", "selector"],
            endpoints={"type": "array", "items": ENDPOINT},
            selector=closed([], matchLabels=TEXTS),
        )
    ),
}


def custom(kind: str) -> dict[str, Any]:
    """Return the custom resource of a *kind*."""
    documents = yaml.safe_load_all(MANIFESTS.read_text())
    (found,) = [one for one in documents if one and one["kind"] == kind]
    return dict(found)


@pytest.mark.parametrize("kind", SCHEMAS)
def test_the_operator_knows_every_field(kind: str) -> None:
    schema = jsonschema.Draft202012Validator(SCHEMAS[kind])
    one = custom(kind)
    schema.validate(one)
    wrong = copy.deepcopy(one)
    part = (
        wrong["spec"]["groups"][0]["rules"][0] if kind == "PrometheusRule" else wrong["spec"]["endpoints"][0]
    )
    part["intervall"] = "15s"
    assert not schema.is_valid(wrong)


def test_there_is_no_other_custom_resource() -> None:
    documents = yaml.safe_load_all(MANIFESTS.read_text())
    kinds = {one["kind"] for one in documents if one and "monitoring" in one["apiVersion"]}
    assert kinds == set(SCHEMAS)


def test_the_alerts_are_those_of_the_rule_file() -> None:
    assert custom("PrometheusRule")["spec"] == yaml.safe_load(RULES.read_text())


def test_the_names_of_groups_differ() -> None:
    """They are the keys of a list."""
    names = [group["name"] for group in custom("PrometheusRule")["spec"]["groups"]]
    assert len(set(names)) == len(names)
