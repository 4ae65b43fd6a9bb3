"""The policy rules of an API, as oslo.policy documents them, and the defaults that both APIs have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from oslo_policy import policy

READER: Final = "role:admin or (role:reader and project_id:%(project_id)s)"
MEMBER: Final = "role:admin or (role:member and project_id:%(project_id)s)"
ADMIN: Final = "role:admin"


def rule(name: str, default: str, what: str, **paths: Sequence[str]) -> policy.DocumentedRuleDefault:
    """Return a rule with its default check; *paths* are those of the operations that it allows, by method."""
    operations: Any = [{"method": method, "path": path} for method, some in paths.items() for path in some]
    return policy.DocumentedRuleDefault(name=name, check_str=default, description=what, operations=operations)
