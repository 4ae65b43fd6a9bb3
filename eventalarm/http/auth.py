"""Authentication and authorization of callers: Keystone's identity headers and oslo.policy rules."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

import falcon
from oslo_context import context as oslo_context
from oslo_policy import policy

from eventalarm.http.policies import PERSONAS

KEYSTONE: Final = "keystone"
# By Standard Webhooks; the resource verifies it.
SIGNATURE: Final = "webhook-signature"
CONFIRMED: Final = "Confirmed"
TRUE: Final = frozenset({"", "1", "true", "yes"})
FALSE: Final = frozenset({"0", "false", "no"})


@dataclasses.dataclass(frozen=True, slots=True)
class Caller:
    """The authenticated caller; ``project_id`` is empty for a token that is not scoped to a project."""

    user_id: str
    project_id: str
    credentials: dict[str, Any]


class Identity:
    """Falcon middleware: sets ``req.context.caller``, or answers 401.

    With *auth_mode* ``keystone``, keystonemiddleware runs first and leaves the rejection of invalid tokens to
    this class (``delay_auth_decision``), so that it becomes problem details too; with any other mode the
    identity headers are trusted. *public* are the paths that need no authentication. Requests of the
    paths *signed* may have a signature instead, which their resource verifies: then there is no caller.
    """

    def __init__(
        self, conf: Any, *, auth_mode: str, public: frozenset[str], signed: frozenset[str] = frozenset()
    ) -> None:
        self._conf = conf
        self._signed = signed
        self._keystone = auth_mode == KEYSTONE
        self._public = public

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Identify the caller."""
        req.context.caller = None
        path = req.path.rstrip("/")
        if path in self._public or (path in self._signed and req.get_header(SIGNATURE)):
            return
        if self._keystone and req.env.get("HTTP_X_IDENTITY_STATUS") != CONFIRMED:
            uri = self._conf.keystone_authtoken.www_authenticate_uri or ""
            raise falcon.HTTPUnauthorized(
                description="a valid Keystone token is required", challenges=[f'Keystone uri="{uri}"']
            )
        found = oslo_context.RequestContext.from_environ(req.env)
        if not self._keystone and not found.project_id:
            raise falcon.HTTPUnauthorized(
                description="missing identity headers: X-Project-Id, X-User-Id, X-Roles", challenges=["None"]
            )
        req.context.caller = Caller(
            found.user_id or "", found.project_id or "", dict(found.to_policy_values())
        )


def caller_of(req: falcon.Request) -> Caller:
    """Return the caller that :class:`Identity` identified."""
    caller: Caller = req.context.caller
    return caller


class Guard:
    """Enforces the policy *rules* of an API, and those of the personas, to which they refer.

    The policy file that *conf* names overrides them. Tokens of a system or a domain are refused.
    """

    def __init__(self, conf: Any, rules: Sequence[Any]) -> None:
        self._enforcer = policy.Enforcer(conf)
        self._enforcer.register_defaults([*PERSONAS, *rules])

    def allows(self, caller: Caller, rule: str, project_id: str) -> bool:
        """Return True if *rule* allows the request of *caller* in a project."""
        return bool(self._enforcer.authorize(rule, {"project_id": project_id}, caller.credentials))

    def require(self, caller: Caller, rule: str, project_id: str | None = None) -> None:
        """Check that *rule* allows the request of *caller* in a project, by default the caller's.

        :raises falcon.HTTPForbidden: when it does not.
        """
        if not self.allows(caller, rule, caller.project_id if project_id is None else project_id):
            remedy = "" if caller.project_id else "; use a token that is scoped to a project"
            raise falcon.HTTPForbidden(description=f"policy {rule} does not allow this request{remedy}")

    def listed_project(self, req: falcon.Request, rule: str, all_projects_rule: str) -> str | None:
        """Return the project whose resources are listed, or None for all projects (``all_projects=true``).

        :raises falcon.HTTPForbidden: when the policy does not allow the caller to list them.
        """
        caller = caller_of(req)
        if flag(req, "all_projects"):
            self.require(caller, all_projects_rule)
            return None
        self.require(caller, rule)
        if not caller.project_id:
            raise falcon.HTTPForbidden(
                description="the token is not scoped to a project; use all_projects=true"
            )
        return caller.project_id

    def named_project(self, req: falcon.Request, rule: str, all_projects_rule: str) -> str:
        """Return the project of a request: the parameter ``project_id``, by default the caller's.

        It is empty if the token is not scoped to a project.

        :raises falcon.HTTPForbidden: when the policy does not allow the caller the request in it.
        """
        caller = caller_of(req)
        project_id = str(req.get_param("project_id") or caller.project_id)
        if project_id != caller.project_id:
            self.require(caller, all_projects_rule)
        self.require(caller, rule, project_id)
        return project_id

    def visible_project(self, req: falcon.Request, rule: str, all_projects_rule: str) -> str | None:
        """Return the project in which the caller may look up an id, or None for all projects.

        :raises falcon.HTTPForbidden: when the policy allows neither.
        """
        caller = caller_of(req)
        if self.allows(caller, all_projects_rule, caller.project_id):
            return None
        self.require(caller, rule)
        return caller.project_id


def flag(req: falcon.Request, name: str) -> bool:
    """Return a boolean query parameter: False if it is absent, True if it has no value.

    :raises falcon.HTTPBadRequest: for any other value.
    """
    if name not in req.params:
        return False
    word = str(req.get_param(name) or "").lower()
    if word in TRUE or word in FALSE:
        return word in TRUE
    raise falcon.HTTPBadRequest(description=f"{name} must be true or false")
