"""Who is asking, and whether he may: Keystone's headers and oslo.policy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Final

import falcon
from oslo_context import context as oslo_context
from oslo_policy import policy

from eventalarm.ifa_shim import policies

CONFIRMED: Final = "Confirmed"
TRUE: Final = frozenset({"", "1", "true", "yes"})
FALSE: Final = frozenset({"0", "false", "no"})


@dataclasses.dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking; ``project_id`` is empty for a token that is not bound to a project."""

    user_id: str
    project_id: str
    credentials: dict[str, Any]


class Identity:
    """Falcon middleware: puts the caller into ``req.context.caller``, or answers 401.

    *keystone* tells that keystonemiddleware stands before us with ``delay_auth_decision``, so that its
    refusals become problem details too; otherwise the headers are believed.
    """

    def __init__(self, *, keystone: bool, auth_uri: Callable[[], str], public: frozenset[str]) -> None:
        self._keystone = keystone
        self._auth_uri = auth_uri
        self._public = public

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Find out who is asking."""
        req.context.caller = None
        if req.path.rstrip("/") in self._public:
            return
        if self._keystone and req.env.get("HTTP_X_IDENTITY_STATUS") != CONFIRMED:
            challenge = f'Keystone uri="{self._auth_uri()}"'
            raise falcon.HTTPUnauthorized(
                description="a valid token of Keystone is needed", challenges=[challenge]
            )
        found = oslo_context.RequestContext.from_environ(req.env)
        if not self._keystone and not found.project_id:
            raise falcon.HTTPUnauthorized(
                description="say who you are: X-Project-Id, X-User-Id, X-Roles", challenges=["None"]
            )
        req.context.caller = Caller(
            found.user_id or "", found.project_id or "", dict(found.to_policy_values())
        )


def caller_of(req: falcon.Request) -> Caller:
    """Return the caller that :class:`Identity` found."""
    caller: Caller = req.context.caller
    return caller


class Guard:
    """Decides by the rules of :mod:`eventalarm.ifa_shim.policies`."""

    def __init__(self, enforcer: policy.Enforcer) -> None:
        self._enforcer = enforcer

    @classmethod
    def from_conf(cls, conf: Any) -> Guard:
        """Return a guard by the policy file that *conf* names."""
        enforcer = policy.Enforcer(conf)
        enforcer.register_defaults(policies.list_rules())
        return cls(enforcer)

    def allows(self, caller: Caller, rule: str, project_id: str) -> bool:
        """Tell whether *caller* may, in a project."""
        return bool(self._enforcer.authorize(rule, {"project_id": project_id}, caller.credentials))

    def require(self, caller: Caller, rule: str, project_id: str | None = None) -> None:
        """Return if *caller* may.

        :raises falcon.HTTPForbidden: when he may not.
        """
        if not self.allows(caller, rule, caller.project_id if project_id is None else project_id):
            raise falcon.HTTPForbidden(description=f"the policy {rule} does not allow it")

    def reach(self, req: falcon.Request, rule: str, everywhere: str) -> str | None:
        """Return the project that a listing is about, or None for all: what ``all_projects`` asks for.

        :raises falcon.HTTPForbidden: when the caller may not list, or not everywhere.
        """
        caller = caller_of(req)
        if flag(req, "all_projects"):
            self.require(caller, everywhere)
            return None
        self.require(caller, rule)
        if not caller.project_id:
            raise falcon.HTTPForbidden(
                description="your token is bound to no project: ask for all_projects=true"
            )
        return caller.project_id

    def visible(self, req: falcon.Request, rule: str, everywhere: str) -> str | None:
        """Return the project in which a thing may be found by its id, or None for any."""
        caller = caller_of(req)
        if self.allows(caller, everywhere, caller.project_id):
            return None
        self.require(caller, rule)
        return caller.project_id


def flag(req: falcon.Request, name: str) -> bool:
    """Return a parameter that is true or false; alone, without a value, it is true.

    :raises falcon.HTTPBadRequest: for any other value.
    """
    if name not in req.params:
        return False
    word = str(req.get_param(name) or "").lower()
    if word in TRUE or word in FALSE:
        return word in TRUE
    raise falcon.HTTPBadRequest(description=f"{name} is true or false")
