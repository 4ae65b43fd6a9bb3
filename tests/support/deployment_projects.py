"""The event pipelines of deployment projects, with the overrides of ``deploy/`` merged as they do."""

from __future__ import annotations

import importlib.resources
import pathlib
from collections.abc import Mapping
from typing import Any

import jinja2
import yaml

ROOT = pathlib.Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DATA = ROOT / "tests/data/deploy"


def replace_lists(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """Merge mappings recursively; anything else, such as a list, replaces what was there.

    So do kolla-ansible (``Utils.update_nested_conf`` of its plugin ``merge_yaml``), config_template with
    ``list_extend: false``, which openstack-ansible-os_ceilometer sets (``_merge_dict``), and Helm.
    """
    merged = dict(base)
    for key, value in override.items():
        before = merged.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            merged[key] = replace_lists(before, value)
        else:
            merged[key] = value
    return merged


def load(path: pathlib.Path) -> Any:
    """Return the content of a YAML file."""
    return yaml.safe_load(path.read_text())


def _kolla_template(path: pathlib.Path, gnocchi: bool) -> Any:
    # Both files are templates there; Ansible removes the line break after a block.
    environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters["bool"] = bool
    return yaml.safe_load(environment.from_string(path.read_text()).render(enable_gnocchi=gnocchi))


def kolla_ansible(gnocchi: bool = True) -> tuple[Any, Any]:
    """Return the event pipeline of kolla-ansible without and with the override."""
    base = _kolla_template(DATA / "kolla-ansible.yaml.j2", gnocchi)
    override = _kolla_template(DEPLOY / "kolla-ansible/config/ceilometer/event_pipeline.yaml", gnocchi)
    return base, replace_lists(base, override)


def openstack_helm() -> tuple[Any, Any]:
    """Return the event pipeline of openstack-helm without and with the values."""
    base = load(DATA / "openstack-helm.yaml")
    merged = replace_lists(base, load(DEPLOY / "openstack-helm/ceilometer.yaml"))
    return base["conf"]["event_pipeline"], merged["conf"]["event_pipeline"]


def openstack_ansible() -> tuple[Any, Any]:
    """Return the event pipeline of OpenStack-Ansible (Ceilometer's own) without and with the variables."""
    shipped = importlib.resources.files("ceilometer") / "pipeline/data/event_pipeline.yaml"
    base = yaml.safe_load(shipped.read_text())
    variables = load(DEPLOY / "openstack-ansible/user_variables_eventalarm.yml")
    return base, replace_lists(base, variables["ceilometer_event_pipeline_yaml_overrides"])


def rhoso() -> tuple[Any, Any]:
    """Return the event pipeline of RHOSO without and with the secret, whose files replace the operator's."""
    secret = load(DEPLOY / "rhoso/ceilometer-config.yaml")
    return load(DATA / "rhoso.yaml"), yaml.safe_load(secret["stringData"]["event_pipeline.yaml"])


PROJECTS = {
    "kolla-ansible": kolla_ansible,
    "openstack-helm": openstack_helm,
    "openstack-ansible": openstack_ansible,
    "rhoso": rhoso,
}


def publishers(pipeline: Mapping[str, Any]) -> list[str]:
    """Return the publishers that receive every event, in order."""
    fed = {sink for source in pipeline["sources"] if "*" in source["events"] for sink in source["sinks"]}
    return [one for sink in pipeline["sinks"] if sink["name"] in fed for one in sink["publishers"] or ()]
