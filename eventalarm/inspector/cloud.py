"""Nova, Neutron and Masakari through openstacksdk, which is imported only when it is used."""

from __future__ import annotations

import contextlib
import datetime
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from keystoneauth1 import exceptions as auth_exceptions
from oslo_config import cfg

from eventalarm.conf import INSPECTOR_GROUP
from eventalarm.exceptions import EventAlarmError, InvalidOption
from eventalarm.inspector.observations import NOWHERE
from eventalarm.model import Resource, ResourceKind

COMPUTE_BINARY = "nova-compute"


class CloudUnavailable(EventAlarmError):
    """Nova, Neutron or Keystone did not answer as expected."""


class Cloud:
    """Reads the servers and ports of all projects, and changes their state and that of compute services.

    Every method raises CloudUnavailable when a service fails. Safe to use from several threads.
    """

    def __init__(self, connection: Any, errors: tuple[type[Exception], ...], page_size: int) -> None:
        self._connection = connection
        self._errors = errors
        self._page_size = page_size

    @contextlib.contextmanager
    def _sorting_errors(self) -> Iterator[None]:
        try:
            yield
        except self._errors as exc:
            raise CloudUnavailable(" ".join(str(exc).split())[:300] or type(exc).__name__) from exc

    def server_groups(self) -> dict[str, str]:
        """Return the server group of each server that is in one, by the id of the server."""
        found: dict[str, str] = {}
        for offset in itertools.count(0, self._page_size):
            page = self._server_groups(offset)
            found |= {member: group["id"] for group in page for member in group.get("members") or ()}
            if len(page) < self._page_size:
                break
        return found

    def _server_groups(self, offset: int) -> list[dict[str, Any]]:
        """Return one page; Nova pages by offset here, which openstacksdk does not support."""
        query = {"all_projects": "True", "limit": self._page_size, "offset": offset}
        with self._sorting_errors():
            answer = self._connection.compute.get("/os-server-groups", params=query)
            if answer.status_code >= 400:
                raise CloudUnavailable(f"{answer.url}: {answer.status_code} {answer.reason}")
            groups: list[dict[str, Any]] = answer.json()["server_groups"]
            return groups

    def servers(self, groups: Mapping[str, str], at: datetime.datetime) -> Iterator[list[Resource]]:
        """Yield each server with its volumes, as of *at* (aware UTC).

        Its host is unknown where Nova does not show it: to users who are not administrators.
        """
        with self._sorting_errors():
            found = self._connection.compute.servers(all_projects=True, limit=self._page_size)
            for server in found:
                group = groups.get(server.id, "")
                yield [_server(server, group, at), *_volumes(server, at)]

    def ports(self, at: datetime.datetime) -> Iterator[Resource]:
        """Yield the ports of all projects, as of *at* (aware UTC)."""
        with self._sorting_errors():
            for port in self._connection.network.ports(limit=self._page_size):
                if port.project_id:
                    yield _port(port, at)

    def host_ids(self, at: datetime.datetime) -> list[Resource]:
        """Return the hosts that Masakari watches, by its own ids, as of *at* (aware UTC).

        :raises CloudUnavailable: also where there is no Masakari.
        """
        with self._sorting_errors():
            masakari = self._connection.instance_ha
            segments = list(masakari.segments())
            return [
                Resource(ResourceKind.HOST_ID, one.uuid, at, host=one.name, host_at=at, checked_at=at)
                for segment in segments
                for one in masakari.hosts(segment.uuid)
            ]

    def compute_service(self, host: str) -> Any:
        """Return the nova-compute service of a host with ``status`` and ``is_forced_down``, or None."""
        with self._sorting_errors():
            found = self._connection.compute.services(host=host, binary=COMPUTE_BINARY)
            return next(iter(found), None)

    def force_down(self, service: Any, forced: bool) -> None:
        """Force a compute service down, or end that if *forced* is False."""
        with self._sorting_errors():
            self._connection.compute.update_service_forced_down(
                service, host=service.host, binary=COMPUTE_BINARY, forced=forced
            )

    def reset_state(self, server_id: str) -> None:
        """Set the state of a server to error."""
        with self._sorting_errors():
            self._connection.compute.reset_server_state(server_id, "error")

    def set_data_plane_status(self, port_id: str, status: str) -> None:
        """Set ``data_plane_status`` of a port to ACTIVE or DOWN."""
        with self._sorting_errors():
            self._connection.network.update_port(port_id, data_plane_status=status)

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()


def connect(conf: cfg.ConfigOpts) -> Cloud:
    """Return the configured cloud; nothing is requested yet.

    :raises InvalidOption: when openstacksdk is missing or the credentials cannot be used.
    """
    try:
        import openstack  # noqa: PLC0415 - part of the extra, and slow to import
    except ImportError as exc:
        raise InvalidOption(
            "[eventalarm_inspector] snapshot_interval",
            "needs openstacksdk, which is not installed",
            "pip install eventalarm[inspector], or set it to 0 and enable no reaction",
        ) from exc
    group = conf[INSPECTOR_GROUP]
    errors = (openstack.exceptions.SDKException, auth_exceptions.ClientException)
    try:
        connection = _connection(conf, openstack)
    except errors as exc:
        raise InvalidOption(
            "[eventalarm_inspector] cloud" if group.cloud else "[service_credentials]",
            " ".join(str(exc).split())[:300],
            "name a cloud of clouds.yaml, or set [service_credentials] as for Aodh",
        ) from exc
    return Cloud(connection, errors, group.page_size)


def _connection(conf: cfg.ConfigOpts, openstack: Any) -> Any:
    group = conf[INSPECTOR_GROUP]
    if group.cloud:
        return openstack.connect(
            cloud=group.cloud, app_name="eventalarm-inspector", api_timeout=group.request_timeout
        )
    from aodh import keystone_client  # noqa: PLC0415 - slow to import

    session = keystone_client.get_session(conf)
    session.timeout = session.timeout or group.request_timeout
    credentials = conf.service_credentials
    return openstack.connection.Connection(
        session=session, region_name=credentials.region_name, interface=credentials.interface
    )


def _server(server: Any, group: str, at: datetime.datetime) -> Resource:
    state = server.vm_state or (server.status or "").lower()
    known = bool(server.compute_host) or state in NOWHERE
    return Resource(
        ResourceKind.SERVER,
        server.id,
        at,
        project_id=server.project_id or "",
        state=state,
        host=server.compute_host or "",
        host_at=at if known else None,
        server_group=group,
        checked_at=at,
    )


def _volumes(server: Any, at: datetime.datetime) -> Iterator[Resource]:
    for volume in server.attached_volumes or ():
        yield Resource(
            ResourceKind.VOLUME,
            volume["id"],
            at,
            project_id=server.project_id or "",
            device_id=server.id,
            state="in-use",
            checked_at=at,
        )


def _port(port: Any, at: datetime.datetime) -> Resource:
    return Resource(
        ResourceKind.PORT,
        port.id,
        at,
        project_id=port.project_id,
        device_id=port.device_id or "",
        state=port.status or "",
        host=port.binding_host_id or "",
        host_at=at if port.binding_host_id else None,
        checked_at=at,
    )
