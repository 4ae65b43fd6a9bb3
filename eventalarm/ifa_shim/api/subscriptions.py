"""``/vnffm/v1/subscriptions``: subscriptions to notifications of alarms (SOL003 clause 7.4.4)."""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import threading
import urllib.parse
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import falcon

from eventalarm.exceptions import EventAlarmError
from eventalarm.http.auth import Caller, caller_of, flag
from eventalarm.http.requests import JSON
from eventalarm.http.responses import MARKER, BadMarker, decode_marker, encode_marker
from eventalarm.ifa_shim import ifa_policies
from eventalarm.ifa_shim.alarms import Marker
from eventalarm.ifa_shim.api.context import ApiContext
from eventalarm.ifa_shim.api.vnffm import read_body, read_filter
from eventalarm.ifa_shim.filter_match import why_never
from eventalarm.ifa_shim.filters import SUBSCRIPTION_ATTRIBUTES
from eventalarm.ifa_shim.queries import subscription_query
from eventalarm.ifa_shim.resource_states import as_document
from eventalarm.ifa_shim.resources import ResourceQuery
from eventalarm.ifa_shim.subscriptions.callbacks import BadCallback, Callbacks
from eventalarm.storage.subscriptions import Subscription, Subscriptions
from eventalarm.vault import Vault

LOG = logging.getLogger(__name__)

Document = dict[str, Any]

# A confirmation of a subscription is recorded at most this often during its lifetime.
CONFIRM_EVERY: Final = 10
# The most pages of resources that are read for the answer to a new subscription.
RESOURCE_PAGES: Final = 5
# Seconds in Retry-After while too many callbacks are being tested.
TEST_AGAIN: Final = 5
UNTESTED: Final = (
    "the test of the callback failed: a GET of callbackUri must return 204, without a redirect, "
    "from an address that this service may call; see the service log for the reason"
)


class NoSlot(EventAlarmError):
    """Every slot that the project may use is taken."""


class Slots:
    """*limit* slots; a project may hold as many as are still free. Safe to share between threads."""

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._held: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def taken(self, project: str) -> Iterator[None]:
        """Hold a slot for *project*.

        :raises NoSlot: at once, when none is free for it.
        """
        with self._lock:
            if self._held[project] >= self._free:
                raise NoSlot("no slot is free")
            self._free -= 1
            self._held[project] += 1
        try:
            yield
        finally:
            with self._lock:
                self._free += 1
                self._held[project] -= 1
                if not self._held[project]:
                    del self._held[project]


class FaultSubscriptions:
    """``/vnffm/v1/subscriptions``."""

    def __init__(self, store: Subscriptions, context: ApiContext) -> None:
        self.store = store
        self._context = context
        self._callbacks = Callbacks(context.options.callback)
        self._vault = Vault(context.options.callback.credentials_key)
        self._tests = Slots(context.options.callback.tests_at_once)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Return a page of subscriptions."""
        project_id = self._context.guard.listed_project(
            req, ifa_policies.SHOW_SUBSCRIPTIONS, ifa_policies.SUBSCRIBE_ALL_PROJECTS
        )
        asked = read_filter(req, SUBSCRIPTION_ATTRIBUTES)
        text = req.get_param(MARKER)
        after = decode_marker(text) if text else ""
        if not isinstance(after, str):
            raise BadMarker
        size = self._context.options.page_size
        rows = self.store.page(project_id, after, size + 1, req.get_param("user_id"))
        marker = encode_marker(rows[size - 1].subscription_id) if len(rows) > size else None
        self._context.links.add_next(req, resp, marker)
        shown = [self.show(req, row) for row in rows[:size]]
        resp.text = json.dumps([one for one in shown if asked(one)])

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Create a subscription after testing its callback; 303 to an existing one with the same content."""
        everywhere = flag(req, "all_projects")
        with_resources = flag(req, "include_resources")
        caller = self._subscriber(req, everywhere=everywhere, with_resources=with_resources)
        body = read_body(self._context, req, "FmSubscriptionRequest", (JSON,))
        authentication = body.get("authentication")
        if problem := why_never(body.get("filter") or {}, None if everywhere else caller.project_id):
            raise falcon.HTTPUnprocessableEntity(description=problem)
        self._check(caller.project_id, body["callbackUri"], authentication)
        self._bound(caller.project_id)
        made = Subscription(
            subscription_id=str(uuid.uuid4()),
            project_id=caller.project_id,
            user_id=caller.user_id,
            all_projects=everywhere,
            callback_uri=body["callbackUri"],
            filter=body.get("filter") or {},
            created_at=self._context.now(),
            authentication=self._vault.close(authentication) if authentication else None,
            api_root=self._context.fault_management(req),
        )
        same = self.store.add(made)
        if same is not None:
            self._confirm(req, same)
        shown = self.show(req, same or made)
        resp.set_header("Location", shown["_links"]["self"]["href"])
        resp.status = falcon.HTTP_303 if same is not None else falcon.HTTP_201
        if same is None:
            # Read after the subscription was stored: what is raised from then on is notified.
            found = self._resources(req, made) if with_resources else {}
            resp.text = json.dumps(shown | found)

    def _subscriber(self, req: falcon.Request, *, everywhere: bool, with_resources: bool) -> Caller:
        """Return the caller, who may subscribe to alarms of one project or of all.

        :raises falcon.HTTPForbidden: when the policies or the scope of the token do not allow it.
        """
        caller = caller_of(req)
        rule = ifa_policies.SUBSCRIBE_ALL_PROJECTS if everywhere else ifa_policies.SUBSCRIBE
        self._context.guard.require(caller, rule)
        if not caller.project_id:
            raise falcon.HTTPForbidden(
                description="a subscription belongs to a project; use a project-scoped token"
            )
        if with_resources:
            self._context.guard.require(
                caller, ifa_policies.ALL_PROJECTS if everywhere else ifa_policies.RESOURCES
            )
        return caller

    def _resources(self, req: falcon.Request, made: Subscription) -> Document:
        """Return the resources with active alarms that the subscription covers, at most a page of them."""
        context = self._context
        project_id = None if made.all_projects else made.project_id
        query = ResourceQuery(project_id, subscription_query(made.filter, project_id))
        size, place = context.options.page_size, Marker()
        found: list[Document] = []
        for _ in range(RESOURCE_PAGES):
            listing = context.alarms.resources(query, place, size - len(found))
            found += [as_document(one) for one in listing.resources]
            if listing.next is None:
                return {"resources": found}
            place = listing.next
            if len(found) >= size:
                break
        everywhere = "?all_projects=true" if made.all_projects else ""
        return {
            "resources": found,
            "moreResources": f"{context.links.root(req)}/ifa/v1/resources{everywhere}",
        }

    def _confirm(self, req: falcon.Request, found: Subscription) -> None:
        """Confirm an existing subscription, if its user may still subscribe: its lifetime starts again."""
        lifetime, caller = self._context.options.callback.lifetime, caller_of(req)
        rule = ifa_policies.SUBSCRIBE_ALL_PROJECTS if found.all_projects else ifa_policies.SUBSCRIBE
        if lifetime and self._context.guard.allows(caller, rule, found.project_id):
            self.store.confirm(found, caller.user_id, datetime.timedelta(seconds=lifetime / CONFIRM_EVERY))

    def _check(self, project_id: str, uri: str, authentication: Document | None) -> None:
        if authentication and not self._vault.usable:
            raise falcon.HTTPUnprocessableEntity(
                description="this service does not store credentials: its operator must set credentials_key"
            )
        try:
            self._callbacks.check(uri, authentication)
        except BadCallback as exc:
            raise falcon.HTTPUnprocessableEntity(description=str(exc)) from exc
        if self._context.options.callback.test:
            self._test(project_id, uri, authentication)

    def _test(self, project_id: str, uri: str, authentication: Document | None) -> None:
        """Test the callback. The response gives no reason: it would turn this service into a port scanner."""
        try:
            with self._tests.taken(project_id):
                self._callbacks.test(uri, authentication)
        except NoSlot as exc:
            raise falcon.HTTPServiceUnavailable(
                description="too many callbacks are being tested; try again later", retry_after=TEST_AGAIN
            ) from exc
        except BadCallback as exc:
            reference = uuid.uuid4()
            place = urllib.parse.urlsplit(uri)
            LOG.info("Callback test %s of %s://%s failed: %s", reference, place.scheme, place.netloc, exc)
            raise falcon.HTTPUnprocessableEntity(description=f"{UNTESTED} (test {reference})") from exc

    def _bound(self, project_id: str) -> None:
        most = self._context.options.callback.max_subscriptions
        if len(self.store.page(project_id, "", most)) >= most:
            raise falcon.HTTPForbidden(description=f"a project may have at most {most} subscriptions")

    def find(self, req: falcon.Request, subscription_id: str, rule: str) -> Subscription:
        """Return a subscription that the caller may see.

        :raises falcon.HTTPNotFound: when there is none, also when it belongs to another project.
        """
        project_id = self._context.guard.visible_project(req, rule, ifa_policies.SUBSCRIBE_ALL_PROJECTS)
        found = self.store.get(subscription_id)
        if found is None or (project_id is not None and found.project_id != project_id):
            raise falcon.HTTPNotFound(description="subscription not found")
        return found

    def show(self, req: falcon.Request, found: Subscription) -> Document:
        """Return a subscription in SOL003's form, without its credentials."""
        href = f"{self._context.fault_management(req)}/subscriptions/{found.subscription_id}"
        shown: Document = {"id": found.subscription_id, "callbackUri": found.callback_uri}
        if found.filter:
            shown["filter"] = dict(found.filter)
        return shown | {"_links": {"self": {"href": href}}}


class FaultSubscription:
    """``/vnffm/v1/subscriptions/{subscriptionId}``."""

    def __init__(self, subscriptions: FaultSubscriptions) -> None:
        self._list = subscriptions

    def on_get(self, req: falcon.Request, resp: falcon.Response, subscription_id: str) -> None:
        """Return one subscription."""
        found = self._list.find(req, subscription_id, ifa_policies.SHOW_SUBSCRIPTIONS)
        resp.text = json.dumps(self._list.show(req, found))

    def on_delete(self, req: falcon.Request, resp: falcon.Response, subscription_id: str) -> None:
        """Delete a subscription."""
        found = self._list.find(req, subscription_id, ifa_policies.UNSUBSCRIBE)
        if not self._list.store.remove(found.subscription_id):
            raise falcon.HTTPNotFound(description="subscription not found")
        resp.status = falcon.HTTP_204
