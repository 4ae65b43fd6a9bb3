"""The project in which a request reads or acts, by the parameters ``project_id`` and ``all_projects``."""

from __future__ import annotations

import dataclasses

import falcon

from eventalarm.http.auth import Guard, caller_of, flag
from eventalarm.storage.column_types import clean


@dataclasses.dataclass(frozen=True)
class ProjectScope:
    """*all_rule* is the policy rule for requests about other projects than the caller's."""

    guard: Guard
    all_rule: str

    def project(self, req: falcon.Request, rule: str) -> str:
        """Return the project that a request names, by default the caller's.

        :raises falcon.HTTPForbidden: when the policy does not allow it, or there is no project.
        """
        project_id = clean(self.guard.named_project(req, rule, self.all_rule))
        if not project_id:
            raise falcon.HTTPForbidden(description="the token is not scoped to a project; use project_id")
        return project_id

    def listed_project(self, req: falcon.Request, rule: str) -> str:
        """Return the project whose resources are listed, or an empty text for all (``all_projects=true``).

        :raises falcon.HTTPForbidden: when the policy does not allow it, or there is no project.
        """
        if flag(req, "all_projects"):
            self.guard.require(caller_of(req), self.all_rule)
            return ""
        return self.project(req, rule)

    def visible_project(self, req: falcon.Request, rule: str) -> str | None:
        """Return the project in which a request may look up an id, or None for all.

        :raises falcon.HTTPForbidden: when the policy allows neither.
        """
        if req.get_param("project_id"):
            return self.project(req, rule)
        return self.guard.visible_project(req, rule, self.all_rule)
