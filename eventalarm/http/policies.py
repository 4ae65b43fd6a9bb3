"""The policy rules of an API, as oslo.policy documents them, and the rules of personas that both APIs have.

The personas are those of OpenStack's secure RBAC. Every rule of an operation refers to a persona by name, so
one line of a policy file redefines a persona for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from oslo_policy import policy

READER: Final = "rule:project_reader_or_admin"
MEMBER: Final = "rule:project_member_or_admin"
ADMIN: Final = "rule:admin_api"
SERVICE: Final = "rule:service_or_admin"
# Also an administrator acts for the own project only.
MEMBER_OF_PROJECT: Final = "rule:project_member_api or (rule:admin_api and project_id:%(project_id)s)"
# Tokens of a system or a domain are refused.
SCOPE_TYPES: Final = ("project",)


def _persona(name: str, check: str, what: str) -> policy.RuleDefault:
    return policy.RuleDefault(name=name, check_str=check, description=what)


PERSONAS: Final = (
    _persona("admin_api", "role:admin", "Persona: administrators of the cloud."),
    _persona(
        "project_manager_api",
        "role:manager and project_id:%(project_id)s",
        "Persona: managers of a project. No operation requires it by default.",
    ),
    _persona(
        "project_member_api", "role:member and project_id:%(project_id)s", "Persona: members of a project."
    ),
    _persona(
        "project_reader_api", "role:reader and project_id:%(project_id)s", "Persona: readers of a project."
    ),
    _persona("service_api", "role:service", "Persona: services of the cloud, such as inspectors."),
    _persona(
        "project_manager_or_admin",
        "rule:project_manager_api or rule:admin_api",
        "Managers of a project, and administrators.",
    ),
    _persona(
        "project_member_or_admin",
        "rule:project_member_api or rule:admin_api",
        "Members of a project, and administrators.",
    ),
    _persona(
        "project_reader_or_admin",
        "rule:project_reader_api or rule:admin_api",
        "Readers of a project, and administrators.",
    ),
    _persona("service_or_admin", "rule:service_api or rule:admin_api", "Services, and administrators."),
)


def rule(name: str, default: str, what: str, **paths: Sequence[str]) -> policy.DocumentedRuleDefault:
    """Return a rule with its default check; *paths* are those of the operations that it allows, by method."""
    operations: Any = [{"method": method, "path": path} for method, some in paths.items() for path in some]
    return policy.DocumentedRuleDefault(
        name=name,
        check_str=default,
        description=what,
        operations=operations,
        scope_types=list(SCOPE_TYPES),
    )
