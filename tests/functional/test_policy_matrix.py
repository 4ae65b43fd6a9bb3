"""Who may do what: each persona of secure RBAC on each operation of both APIs.

The operations are those of the registered policies and of the OpenAPI documents: a new one without a row, or
without a policy, fails here.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import pathlib
import re
from collections.abc import Collection, Iterator
from typing import Any

import pytest
from falcon import testing

from eventalarm.http import openapi
from eventalarm.http.auth import Caller, Guard
from eventalarm.http.openapi import Document
from eventalarm.http.policies import PERSONAS
from eventalarm.ifa_shim import ifa_policies
from eventalarm.ifa_shim.api import application as ifa
from eventalarm.ingest import application as ingest
from eventalarm.ingest import ingest_policies
from eventalarm.storage import database as storage
from tests.functional.conftest import _supply
from tests.support.ifa_api import IfaApi
from tests.support.ingest_api import IngestApi

OURS, OTHERS = "project-a", "project-b"
# Keystone adds the roles that a role implies.
MANAGER = ("manager", "member", "reader")


@dataclasses.dataclass(frozen=True)
class Persona:
    """The roles and the scope of a token, as keystonemiddleware passes them on."""

    roles: tuple[str, ...]
    scope: tuple[str, str] = ("X-Project-Id", OURS)

    def headers(self) -> dict[str, str]:
        named = {"X-Identity-Status": "Confirmed", "X-User-Id": "u", "X-Roles": ",".join(self.roles)}
        return {**named, self.scope[0]: self.scope[1], "Content-Type": "application/json"}


PEOPLE = {
    "admin": Persona(("admin", *MANAGER)),
    "manager": Persona(MANAGER),
    "member": Persona(MANAGER[1:]),
    "reader": Persona(("reader",)),
    "service": Persona(("service",)),
    "nobody": Persona(("load-balancer_member",)),
    "admin of the system": Persona(("admin", *MANAGER), ("Openstack-System-Scope", "all")),
    "admin of a domain": Persona(("admin", *MANAGER), ("X-Domain-Id", "default")),
}
READERS = {"admin", "manager", "member", "reader"}
MEMBERS = {"admin", "manager", "member"}
ADMINS = {"admin"}

# Rule: who may do it in the own project, and who in another one.
ROWS: dict[str, tuple[set[str], set[str]]] = {
    ifa_policies.LIST: (READERS, ADMINS),
    ifa_policies.SHOW: (READERS, ADMINS),
    ifa_policies.HISTORY: (READERS, ADMINS),
    ifa_policies.RESOURCES: (READERS, ADMINS),
    ifa_policies.PHYSICAL_RESOURCES: (ADMINS, ADMINS),
    ifa_policies.FAULT_TYPES: (READERS, ADMINS),
    ifa_policies.ACKNOWLEDGE: (MEMBERS, ADMINS),
    ifa_policies.ALL_PROJECTS: (ADMINS, ADMINS),
    ifa_policies.SUBSCRIBE: (MEMBERS, ADMINS),
    ifa_policies.SHOW_SUBSCRIPTIONS: (READERS, ADMINS),
    ifa_policies.UNSUBSCRIBE: (MEMBERS, ADMINS),
    ifa_policies.SUBSCRIBE_ALL_PROJECTS: (ADMINS, ADMINS),
    ingest_policies.INGEST: ({"admin", "service"}, {"admin", "service"}),
    ingest_policies.TEST_RULE: (READERS, ADMINS),
    ingest_policies.MAINTENANCE_READ: (READERS, ADMINS),
    ingest_policies.MAINTENANCE_ANSWER: (MEMBERS, ADMINS),
    ingest_policies.MAINTENANCE_ALL: (ADMINS, ADMINS),
    ingest_policies.HOST_MAINTENANCE: (ADMINS, ADMINS),
    ingest_policies.SIGNING: (MEMBERS, set()),
    ingest_policies.DELIVERY_READ: (READERS, ADMINS),
    ingest_policies.DELIVERY_SEND: (MEMBERS, ADMINS),
    ingest_policies.DELIVERY_ALL: (ADMINS, ADMINS),
    ingest_policies.HANDLED: (MEMBERS, ADMINS),
    ingest_policies.EVENT_READ: (READERS, ADMINS),
    ingest_policies.EVENT_ALL: (ADMINS, ADMINS),
    ingest_policies.HEALTH_READ: (READERS, ADMINS),
    ingest_policies.HEALTH_CHECK: (MEMBERS, ADMINS),
    ingest_policies.HEALTH_ALL: (ADMINS, ADMINS),
}
RULES: dict[str, Any] = {rule.name: rule for rule in (*ifa_policies.RULES, *ingest_policies.RULES)}
# Parameters that an operation requires, and those by which one names another project than the own.
REQUIRED = {ingest_policies.EXPLAIN_PATH: "alarm_id=x"}
NAMED_PROJECT = (
    ingest_policies.DESTINATIONS_PATH,
    ingest_policies.PROFILES_PATH,
    ingest_policies.HEALTH_PATH,
)
ALL_PROJECTS = {name for name in RULES if name.endswith(":all_projects")}

# Operations without a policy: they need no token.
PUBLIC = {
    ("GET", "/openapi.json"),
    ("GET", "/v1/openapi.json"),
    ("GET", ingest_policies.KEYS_PATH),
    *(("GET", path) for path in (*ifa.API_VERSIONS, *ifa.DASHBOARD_PATHS)),
}


def anonymous(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


def operations(rules: Collection[Any]) -> dict[tuple[str, str], set[str]]:
    """Return the names of the rules of each operation."""
    found: dict[tuple[str, str], set[str]] = {}
    for rule in rules:
        for one in rule.operations:
            found.setdefault((one["method"], anonymous(one["path"])), set()).add(rule.name)
    return found


def documented(document: Document) -> set[tuple[str, str]]:
    methods = {"get", "put", "post", "patch", "delete"}
    return {
        (method.upper(), anonymous(path))
        for path, item in document["paths"].items()
        for method in methods & set(item)
    }


def test_every_rule_has_a_row() -> None:
    assert set(ROWS) == set(RULES)


@pytest.mark.parametrize(
    ("rules", "file"),
    [(ifa_policies.RULES, ifa.DOCUMENT_FILE), (ingest_policies.RULES, ingest.DOCUMENT_FILE)],
)
def test_every_operation_has_a_policy(rules: Any, file: pathlib.Path) -> None:
    assert documented(openapi.load(file)) - PUBLIC == set(operations(rules))


def test_every_rule_is_for_tokens_of_projects_and_names_a_persona() -> None:
    personas = {one.name for one in PERSONAS}
    for rule in RULES.values():
        assert rule.scope_types == ["project"], rule.name
        named = set(re.findall(r"rule:(\w+)", rule.check_str))
        assert named
        assert named <= personas
        assert "role:" not in rule.check_str


@pytest.fixture(scope="module")
def clients(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[dict[str, testing.TestClient]]:
    """Both APIs behind an authentication that has taken place, on one database."""
    database = storage.connect(_supply("sqlite", request).with_ours())
    ifa_conf = IfaApi(database, auth_mode="keystone", test_callback=False).conf
    made = IngestApi("fake://", lambda: database, auth_mode="keystone")
    yield {"ifa": testing.TestClient(ifa.build(ifa_conf, database)), "ingest": made.client}
    made.close()
    database.dispose()


def api_of(name: str) -> str:
    return "ifa" if name.startswith("ifa:") else "ingest"


def cases() -> list[tuple[str, str, str, str]]:
    """Return persona, rule and operation, of every rule that concerns the own project."""
    return [
        (who, rule.name, operation["method"], operation["path"])
        for who, rule in itertools.product(PEOPLE, RULES.values())
        if rule.name not in ALL_PROJECTS
        for operation in rule.operations
    ]


@pytest.mark.parametrize("who", PEOPLE)
def test_an_operation_on_the_own_project(clients: dict[str, testing.TestClient], who: str) -> None:
    persona, wrong = PEOPLE[who], []
    for case, rule, method, path in cases():
        if case != who:
            continue
        url = re.sub(r"\{\w+\}", "x", path)
        found = clients[api_of(rule)].simulate_request(
            method,
            url,
            query_string=REQUIRED.get(path, ""),
            headers=persona.headers(),
            body=json.dumps({}) if method != "GET" else None,
        )
        allowed = who in ROWS[rule][0]
        assert found.status_code != 401
        if (found.status_code != 403) != allowed:
            wrong.append((rule, method, path, found.status_code, found.text))
    assert wrong == []


@pytest.mark.parametrize("who", PEOPLE)
def test_the_projects_of_others(clients: dict[str, testing.TestClient], who: str) -> None:
    wrong = []
    for rule in sorted(ALL_PROJECTS):
        for operation in RULES[rule].operations:
            if operation["method"] != "GET" or "{" in operation["path"]:
                continue
            headers = PEOPLE[who].headers()
            client = clients[api_of(rule)]
            named = operation["path"] in NAMED_PROJECT
            query = f"project_id={OTHERS}" if named else "all_projects=true"
            found = client.simulate_get(operation["path"], query_string=query, headers=headers)
            if (found.status_code == 403) == (who in ADMINS):
                wrong.append((rule, operation["path"], found.status_code, found.text))
    assert wrong == []


def allows(guard: Guard, rule: str, who: str, project_id: str) -> bool:
    persona = PEOPLE[who]
    project = persona.scope[1] if persona.scope[0] == "X-Project-Id" else ""
    values = {
        "roles": list(persona.roles),
        "project_id": project or None,
        "system_scope": "all" if "System" in persona.scope[0] else None,
        "domain_id": persona.scope[1] if "Domain" in persona.scope[0] else None,
    }
    return guard.allows(Caller("u", project, values), rule, project_id)


@pytest.fixture
def conf() -> Iterator[Any]:
    made = IngestApi("fake://")
    yield made.conf
    made.close()


def guards(conf: Any) -> dict[str, Guard]:
    named = (("ifa", ifa_policies.RULES), ("ingest", ingest_policies.RULES))
    return {name: Guard(conf, rules) for name, rules in named}


@pytest.mark.parametrize("who", PEOPLE)
def test_each_rule_in_the_own_and_in_another_project(conf: Any, who: str) -> None:
    made = guards(conf)
    for rule, rows in ROWS.items():
        found = tuple(allows(made[api_of(rule)], rule, who, project) for project in (OURS, OTHERS))
        assert found == tuple(who in allowed for allowed in rows), rule


def test_a_policy_file_redefines_a_persona_and_a_rule_by_name(conf: Any, tmp_path: pathlib.Path) -> None:
    guards(conf)
    path = tmp_path / "policy.yaml"
    path.write_text(
        """
"project_reader_api": "role:service and project_id:%(project_id)s"
"eventalarm:secret": "rule:project_manager_api"
"""
    )
    conf.set_override("policy_file", str(path), group="oslo_policy")
    made = guards(conf)
    for rule in (ifa_policies.LIST, ingest_policies.DELIVERY_READ):
        assert {who for who in PEOPLE if allows(made[api_of(rule)], rule, who, OURS)} == {"admin", "service"}
    secret = ingest_policies.SIGNING
    # An administrator has the role of a manager too.
    assert {who for who in PEOPLE if allows(made["ingest"], secret, who, OURS)} == {"admin", "manager"}
    assert not any(allows(made["ingest"], secret, who, OTHERS) for who in PEOPLE)
