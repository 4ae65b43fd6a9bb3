"""Lists what there is in a cloud, by a connection of openstacksdk, page by page."""

from __future__ import annotations

import contextlib
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from keystoneauth1 import adapter
from keystoneauth1 import exceptions as auth_exceptions

from eventalarm.exceptions import EventAlarmError
from eventalarm.pulse.comparison import BrokenService
from eventalarm.pulse.inventory import SERVICE_TYPES, Item, Kind

MARKER: Final = "nextpage_opaque_marker"
# Ports that agents create and delete by themselves.
AGENT_PORTS: Final = frozenset(
    {"network:dhcp", "network:distributed", "network:router_ha_interface", "network:floatingip_agent_gateway"}
)


class SurveyFailed(EventAlarmError):
    """A service did not list its resources."""


class Survey:
    """Lists the resources of one project, or of all.

    :param connection: a connection of openstacksdk.
    :param errors: what openstacksdk raises.
    :param project_id: whose resources are listed; empty for those of all projects, which administrators see.
    """

    def __init__(
        self, connection: Any, errors: tuple[type[Exception], ...], *, page_size: int, project_id: str = ""
    ) -> None:
        self._connection = connection
        self._errors: tuple[type[Exception], ...] = (*errors, auth_exceptions.ClientException)
        self._page_size = page_size
        self._project_id = project_id
        self._lists: Mapping[Kind, Callable[[], Iterator[Item]]] = {
            Kind.SERVER: self._servers,
            Kind.VOLUME: self._volumes,
            Kind.NETWORK: lambda: self._of_network("networks", Kind.NETWORK),
            Kind.ROUTER: lambda: self._of_network("routers", Kind.ROUTER),
            Kind.PORT: lambda: self._of_network("ports", Kind.PORT),
            Kind.FLOATING_IP: lambda: self._of_network("ips", Kind.FLOATING_IP),
            Kind.LOAD_BALANCER: self._load_balancers,
            Kind.ALARM: self._alarms,
            Kind.SUBSCRIPTION: self._subscriptions,
        }

    def offered(self, kinds: Iterable[Kind]) -> tuple[Kind, ...]:
        """Return the kinds whose service is in the catalog.

        :raises SurveyFailed: when there is no catalog to read.
        """
        with self._sorting_errors():
            return tuple(kind for kind in kinds if self._is_offered(SERVICE_TYPES[kind]))

    def _is_offered(self, service_type: str) -> bool:
        try:
            return bool(self._adapter(service_type).get_endpoint())
        except auth_exceptions.EndpointNotFound:
            return False

    def items(self, kind: Kind) -> Iterator[Item]:
        """Yield the resources of a kind.

        :raises SurveyFailed: when its service fails.
        """
        with self._sorting_errors(f"{kind.words}s: "):
            yield from self._lists[kind]()

    def everything(self, kinds: Iterable[Kind]) -> Iterator[Item | BrokenService]:
        """Yield the resources of all *kinds*; a service that is gone or fails is yielded as such, once."""
        wanted = tuple(kinds)
        offered = self.offered(wanted)
        for service_type in dict.fromkeys(SERVICE_TYPES[kind] for kind in wanted):
            left = [kind for kind in wanted if SERVICE_TYPES[kind] == service_type]
            if left[0] not in offered:
                yield BrokenService(service_type, tuple(left))
                continue
            try:
                while left:
                    yield from self.items(left[0])
                    del left[0]
            except SurveyFailed as exc:
                yield BrokenService(service_type, tuple(left), str(exc))

    @contextlib.contextmanager
    def _sorting_errors(self, prefix: str = "") -> Iterator[None]:
        try:
            yield
        except self._errors as exc:
            raise SurveyFailed(prefix + (" ".join(str(exc).split())[:300] or type(exc).__name__)) from exc
        except (KeyError, TypeError, ValueError) as exc:
            raise SurveyFailed(f"{prefix}an answer is not as expected: {exc!r}"[:300]) from exc

    def _servers(self) -> Iterator[Item]:
        found = self._connection.compute.servers(all_projects=not self._project_id, limit=self._page_size)
        return (_item(Kind.SERVER, one, one.status) for one in found)

    def _volumes(self) -> Iterator[Item]:
        storage = self._connection.block_storage
        found = storage.volumes(all_projects=not self._project_id, limit=self._page_size)
        return (_item(Kind.VOLUME, one, one.status) for one in found)

    def _of_network(self, listed: str, kind: Kind) -> Iterator[Item]:
        """Return what Neutron lists; it shows administrators the resources of all, and others shared ones."""
        found = getattr(self._connection.network, listed)(limit=self._page_size, **self._owner())
        return (
            _item(kind, one, one.status)
            for one in found
            if kind is not Kind.PORT or one.device_owner not in AGENT_PORTS
        )

    def _load_balancers(self) -> Iterator[Item]:
        found = self._connection.load_balancer.load_balancers(limit=self._page_size, **self._owner())
        return (
            _item(Kind.LOAD_BALANCER, one, f"{one.provisioning_status}/{one.operating_status}")
            for one in found
        )

    def _owner(self) -> dict[str, str]:
        return {"project_id": self._project_id} if self._project_id else {}

    def _alarms(self) -> Iterator[Item]:
        """Return Aodh's alarms, whose API openstacksdk does not have."""
        requests = self._adapter(SERVICE_TYPES[Kind.ALARM])
        query: dict[str, Any] = {"limit": self._page_size, "sort": "alarm_id:asc"}
        if not self._project_id:
            query |= {"q.field": "all_projects", "q.op": "eq", "q.value": "true"}
        while page := requests.get("/v2/alarms", params=query).json():
            for one in page:
                state = "ENABLED" if one["enabled"] else "DISABLED"
                yield Item(Kind.ALARM, one["alarm_id"], one["name"], state, one["project_id"] or "")
            query["marker"] = page[-1]["alarm_id"]

    def _subscriptions(self) -> Iterator[Item]:
        """Return the subscriptions of eventalarm-ifa-api, which does not name their projects."""
        requests = self._adapter(SERVICE_TYPES[Kind.SUBSCRIPTION])
        query = {} if self._project_id else {"all_projects": "true"}
        while True:
            answer = requests.get("/vnffm/v1/subscriptions", params=query)
            for one in answer.json():
                yield Item(Kind.SUBSCRIPTION, one["id"], project_id=self._project_id)
            following = urllib.parse.urlsplit(answer.links.get("next", {}).get("url", ""))
            marker = dict(urllib.parse.parse_qsl(following.query)).get(MARKER)
            if marker is None:
                return
            query[MARKER] = marker

    def _adapter(self, service_type: str) -> adapter.Adapter:
        config = self._connection.config
        return adapter.Adapter(
            self._connection.session,
            service_type=service_type,
            interface=config.get_interface(service_type),
            region_name=config.get_region_name(service_type),
            endpoint_override=config.get_endpoint(service_type),
        )


def _item(kind: Kind, one: Any, state: str | None) -> Item:
    return Item(kind, one.id, one.name or "", (state or "").upper(), one.project_id or "")
