"""Checks with Keystone whether the users of subscriptions still have the roles that they require."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from oslo_log import log

from eventalarm.conf import IFA_GROUP
from eventalarm.storage.subscriptions import Subscription

LOG = log.getLogger(__name__)

# Seconds for which answers are awaited before the leader lease is checked.
KEEP_EVERY: Final = 0.5

# Returns the names of the roles of a user on a project; none if either is deleted or disabled.
Roles = Callable[[str, str], frozenset[str]]
# Returns True if a user with these roles may have the subscription.
Allows = Callable[[Subscription, frozenset[str]], bool]


class RightsCheck:
    """Finds the subscriptions whose users have lost the right to them, every *interval* seconds.

    :param roles: asks Keystone; called in a separate thread. After an error every subscription stays.
    :param allows: decides by the policy of the IFA API.
    """

    def __init__(
        self,
        roles: Roles,
        allows: Allows,
        interval: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._roles = roles
        self._allows = allows
        self._interval = interval
        self._monotonic = monotonic
        self._next = 0.0

    def lost(self, known: Sequence[Subscription], keep: Callable[[], bool]) -> list[Subscription]:
        """Return those of *known* whose users have lost the right to them; none between two checks.

        *keep* is called every :data:`KEEP_EVERY` seconds; the check stops when it returns False.
        """
        if self._monotonic() < self._next:
            return []
        self._next = self._monotonic() + self._interval
        owners: dict[tuple[str, str], list[Subscription]] = {}
        for one in known:
            if one.user_id and one.project_id:
                owners.setdefault((one.user_id, one.project_id), []).append(one)
        found = self._ask(list(owners), keep)
        return [
            one for owner, roles in found.items() for one in owners[owner] if not self._allows(one, roles)
        ]

    def _ask(
        self, owners: list[tuple[str, str]], keep: Callable[[], bool]
    ) -> dict[tuple[str, str], frozenset[str]]:
        """Return the roles of users on projects, as far as Keystone answered before *keep* returned False."""
        answers: queue.SimpleQueue[tuple[tuple[str, str], frozenset[str]] | None] = queue.SimpleQueue()
        stopped = threading.Event()
        threading.Thread(
            target=self._ask_all, args=(owners, answers.put, stopped), name="ifa-rights", daemon=True
        ).start()
        found: dict[tuple[str, str], frozenset[str]] = {}
        try:
            while keep():
                try:
                    answer = answers.get(timeout=KEEP_EVERY)
                except queue.Empty:
                    continue
                if answer is None:
                    break
                found[answer[0]] = answer[1]
        finally:
            stopped.set()
        return found

    def _ask_all(
        self,
        owners: Sequence[tuple[str, str]],
        put: Callable[[tuple[tuple[str, str], frozenset[str]] | None], None],
        stopped: threading.Event,
    ) -> None:
        try:
            for user_id, project_id in owners:
                if stopped.is_set():
                    return
                put(((user_id, project_id), self._roles(user_id, project_id)))
        except Exception as exc:  # noqa: BLE001 - after any error of the libraries, subscriptions stay
            LOG.warning(
                "Cannot check the rights of subscribers, all subscriptions stay: %s: %s. The user of "
                "[service_credentials] must be allowed to read users, projects and role assignments",
                type(exc).__name__,
                str(exc)[:300],
            )
        finally:
            put(None)


def from_conf(conf: Any) -> RightsCheck | None:
    """Return the check that *conf* asks for; None if it is off or cannot be made.

    It needs ``auth_mode=keystone`` and Aodh's ``[service_credentials]``.
    """
    group = conf[IFA_GROUP]
    if group.auth_mode != "keystone" or not group.rights_interval:
        return None
    # Imported here: Keystone's client is needed only for this check.
    from aodh import keystone_client  # noqa: PLC0415
    from keystoneauth1 import exceptions  # noqa: PLC0415

    keystone_client.register_keystoneauth_opts(conf)
    try:
        client = keystone_client.get_client(conf)
    except exceptions.MissingRequiredOptions as exc:
        LOG.warning("The rights of subscribers are not checked: [service_credentials] is incomplete: %s", exc)
        return None
    return RightsCheck(KeystoneRoles(client), _by_policy(conf), group.rights_interval)


class KeystoneRoles:
    """Reads the roles of users from Keystone's API v3.

    :param client: a ``keystoneclient.v3`` client.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def __call__(self, user_id: str, project_id: str) -> frozenset[str]:
        """Return the names of the effective roles of a user on a project, those of groups included."""
        if not (
            self._enabled(self._client.users, user_id) and self._enabled(self._client.projects, project_id)
        ):
            return frozenset()
        assignments = self._client.role_assignments.list(
            user=user_id, project=project_id, effective=True, include_names=True
        )
        return frozenset(one.role["name"] for one in assignments)

    @staticmethod
    def _enabled(manager: Any, found_by: str) -> bool:
        from keystoneauth1 import exceptions  # noqa: PLC0415 - as above

        try:
            return bool(manager.get(found_by).enabled)
        except exceptions.NotFound:
            return False


def _by_policy(conf: Any) -> Allows:
    # Imported here: making the rules takes a quarter of a second of each start.
    from oslo_policy import policy  # noqa: PLC0415

    from eventalarm.ifa_shim import ifa_policies  # noqa: PLC0415

    enforcer = policy.Enforcer(conf)
    enforcer.register_defaults(ifa_policies.list_rules())

    def allows(one: Subscription, roles: frozenset[str]) -> bool:
        rule = ifa_policies.SUBSCRIBE_ALL_PROJECTS if one.all_projects else ifa_policies.SUBSCRIBE
        credentials = {"user_id": one.user_id, "project_id": one.project_id, "roles": sorted(roles)}
        return bool(enforcer.authorize(rule, {"project_id": one.project_id}, credentials))

    return allows
