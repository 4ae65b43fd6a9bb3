"""A stand-in of the HTTP APIs of Nova, Neutron and Masakari for a real openstacksdk.

It holds servers, ports, services of hosts, and the hosts that Masakari watches, by Masakari's ids; and what
else Neutron, Cinder and Octavia list.

Only what ``eventalarm-inspector`` and ``eventalarm-pulse`` request is there, in the form of the API
reference. There is no Keystone: clouds.yaml names the endpoints (``auth_type: none``), or a real Keystone
lists ``SERVICES``. Tokens are ignored.
"""

from __future__ import annotations

import http.server
import json
import pathlib
import re
import threading
import urllib.parse
from typing import Any

import yaml

SEGMENT = "3a5b0c1e-6a0f-4d0a-9d59-2f0c7a2f6a01"

# The path of each service below the URL of the stand-in.
SERVICES = {
    "compute": "/compute/v2.1",
    "network": "/network",
    "block-storage": "/volume/v3",
    "load-balancer": "/load-balancer",
}
LISTS = (
    "/network/v2.0/networks",
    "/network/v2.0/routers",
    "/network/v2.0/floatingips",
    "/volume/v3/volumes",
    "/volume/v3/volumes/detail",
    "/load-balancer/v2/lbaas/loadbalancers",
    "/load-balancer/v2.0/lbaas/loadbalancers",
)


class OpenStack:
    """Serves on a free port; ``servers`` and ``ports`` may be changed at any time.

    ``lists`` holds the other resources, by the names that lists of them have in answers. Without
    ``all_tenants``, only the servers and volumes of ``project`` are shown, unless it is empty.
    ``changes`` are the requests that were made to change something; while ``fail`` is true, reading fails.
    """

    def __init__(self) -> None:
        self.servers: list[dict[str, Any]] = []
        self.ports: list[dict[str, Any]] = []
        self.lists: dict[str, list[dict[str, Any]]] = {_list_name(path): [] for path in LISTS}
        self.project = ""
        self.groups: list[dict[str, Any]] = []
        self.watched: dict[str, str] = {}
        self.disabled: set[str] = set()
        self.forced_down: set[str] = set()
        self.changes: list[tuple[str, str, Any]] = []
        self.pages: list[str] = []
        self.fail = False
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.openstack = self  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def add_server(self, name: str, project: str, host: str, volumes: tuple[str, ...] = ()) -> None:
        """Add a server with a port ``port-NAME``."""
        self.servers.append(
            {
                "id": name,
                "name": name,
                "tenant_id": project,
                "status": "ACTIVE",
                "OS-EXT-STS:vm_state": "active",
                "OS-EXT-SRV-ATTR:host": host,
                "os-extended-volumes:volumes_attached": [{"id": one} for one in volumes],
            }
        )
        self.ports.append(
            {
                "id": f"port-{name}",
                "project_id": project,
                "tenant_id": project,
                "device_id": name,
                "device_owner": "compute:nova",
                "binding:host_id": host,
                "status": "ACTIVE",
            }
        )

    def add(self, listed: str, name: str, project: str, **fields: Any) -> None:
        """Add a resource whose id is its name to one of ``lists``."""
        self.lists[listed].append(
            {"id": name, "name": name, "project_id": project, "status": "ACTIVE", **fields}
        )

    def move(self, name: str, host: str) -> None:
        """Move a server; its port follows."""
        for server in self.servers:
            if server["id"] == name:
                server["OS-EXT-SRV-ATTR:host"] = host
        for port in self.ports:
            if port["device_id"] == name:
                port["binding:host_id"] = host

    def clouds_yaml(self, folder: pathlib.Path) -> pathlib.Path:
        """Write a clouds.yaml with the cloud ``stand-in``, and return it."""
        cloud = {
            "auth_type": "none",
            "compute_endpoint_override": f"{self.url}/compute/v2.1",
            "network_endpoint_override": f"{self.url}/network",
            "block_storage_endpoint_override": f"{self.url}/volume/v3",
            "instance_ha_endpoint_override": f"{self.url}/masakari/v1",
            "compute_api_version": "2",
            "network_api_version": "2",
        }
        path = folder / "clouds.yaml"
        path.write_text(yaml.safe_dump({"clouds": {"stand-in": cloud}}))
        return path

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def service(self, host: str) -> dict[str, Any]:
        """Return the nova-compute service of a host."""
        return {
            "id": f"service-{host}",
            "binary": "nova-compute",
            "host": host,
            "status": "disabled" if host in self.disabled else "enabled",
            "state": "up",
            "forced_down": host in self.forced_down,
            "zone": "nova",
        }


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def cloud(self) -> OpenStack:
        return self.server.openstack  # type: ignore[attr-defined,no-any-return]

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if self.cloud.fail:
            self._answer({"error": "unavailable"}, 503)
            return
        self.cloud.pages.append(self.path)
        match url.path.rstrip("/"):
            case "/network/v2.0":
                self._answer(self._versions("/network"))
            case path if path in SERVICES.values():
                self._answer(self._versions(path))
            case "/compute/v2.1/servers/detail" | "/compute/v2.1/servers":
                self._page("servers", self.cloud.servers, query, url.path)
            case "/compute/v2.1/os-server-groups":
                offset = int(query.get("offset", 0))
                limit = int(query.get("limit", 1000))
                self._answer({"server_groups": self.cloud.groups[offset : offset + limit]})
            case "/compute/v2.1/os-services":
                self._answer({"services": [self.cloud.service(query["host"])]})
            case path if path.startswith("/masakari/v1"):
                self._answer_for_masakari(path.removeprefix("/masakari/v1"))
            case "/network/v2.0/ports":
                self._page("ports", self.cloud.ports, query, url.path)
            case path if path in LISTS:
                self._page(_list_name(path), self.cloud.lists[_list_name(path)], query, path)
            case _:
                self._answer({"error": f"the stand-in has no {url.path}"}, 404)

    def _versions(self, path: str) -> dict[str, Any]:
        url = f"{self.cloud.url}{path}/"
        match path.split("/")[1]:
            case "compute":
                return {"version": _version("v2.1", url, "2.96")}
            case "volume":
                return {"versions": [_version("v3.0", url, "3.70", "3.0")]}
            case _:
                return {"versions": [_version("v2.0", f"{url}v2.0/")]}

    def _answer_for_masakari(self, path: str) -> None:
        if path == "/segments":
            self._answer({"segments": [{"uuid": SEGMENT, "name": "row"}]})
        elif path == f"/segments/{SEGMENT}/hosts":
            self._answer({"hosts": [{"uuid": one, "name": name} for one, name in self.cloud.watched.items()]})
        else:
            self._answer({"version": _version("v1.0", f"{self.cloud.url}/masakari/v1/", "1.3", "1.0")})

    def _page(self, key: str, items: list[dict[str, Any]], query: dict[str, str], path: str) -> None:
        start = 0
        project = query.get("project_id", "")
        if key in ("servers", "volumes") and query.get("all_tenants", "").lower() not in ("1", "true"):
            project = self.cloud.project
        items = [one for one in items if project in ("", one.get("project_id", one.get("tenant_id")))]
        if marker := query.get("marker"):
            start = next(n for n, one in enumerate(items) if one["id"] == marker) + 1
        limit = int(query.get("limit", 1000))
        page = items[start : start + limit]
        body: dict[str, Any] = {key: page}
        if start + limit < len(items):
            following = urllib.parse.urlencode({**query, "marker": page[-1]["id"]})
            body[f"{key}_links"] = [{"rel": "next", "href": f"{self.cloud.url}{path}?{following}"}]
        self._answer(body)

    def do_PUT(self) -> None:
        self._change("PUT")

    def do_POST(self) -> None:
        self._change("POST")

    def _change(self, method: str) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"null")
        self.cloud.changes.append((method, self.path, body))
        if found := re.fullmatch(r"/compute/v2.1/os-services/service-(.*)", self.path):
            (self.cloud.forced_down.add if body["forced_down"] else self.cloud.forced_down.discard)(found[1])
            self._answer({"service": self.cloud.service(found[1])})
        elif found := re.fullmatch(r"/network/v2.0/ports/(.*)", self.path):
            self._answer({"port": {"id": found[1], **body["port"]}})
        else:
            self._answer(None, 202)

    def _answer(self, body: Any, status: int = 200) -> None:
        text = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def _list_name(path: str) -> str:
    return path.removesuffix("/detail").rpartition("/")[2]


def _version(name: str, url: str, newest: str = "", oldest: str = "2.1") -> dict[str, Any]:
    return {
        "id": name,
        "status": "CURRENT",
        "version": newest,
        "min_version": oldest if newest else "",
        "links": [{"rel": "self", "href": url}],
    }
