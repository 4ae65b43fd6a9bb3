"""Which GET is cheap for which service of the catalogue. Pure.

A good one is answered from the service's own database for the project of the token, and returns little, since
a version document is answered also by a service that has lost its database.
"""

from __future__ import annotations

import dataclasses
import re
import urllib.parse
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

_VERSION: Final = re.compile(r"/v\d+(\.\d+)?(?=/|$)")


@dataclasses.dataclass(frozen=True, slots=True)
class _Resource:
    """What is requested: *path* below the version, which endpoints may contain already.

    *for_operators* if the default policy of the service refuses it to a tenant.
    """

    version: str
    path: str
    for_operators: bool = False


_RESOURCES: Final[Mapping[str, _Resource]] = {
    "identity": _Resource("v3", "/auth/catalog"),
    "image": _Resource("v2", "/images?limit=1"),
    "compute": _Resource("v2.1", "/servers?limit=1"),
    "network": _Resource("v2.0", "/networks?limit=1&fields=id"),
    "block-storage": _Resource("v3", "/volumes?limit=1"),
    "placement": _Resource("", "/resource_providers?name=none", for_operators=True),
    "orchestration": _Resource("v1", "/stacks?limit=1"),
    "alarming": _Resource("v2", "/alarms?limit=1"),
    "alarm": _Resource("v2", "/alarms?limit=1"),
    "metric": _Resource("v1", "/metric?limit=1"),
    "dns": _Resource("v2", "/zones?limit=1"),
    "load-balancer": _Resource("v2", "/lbaas/loadbalancers?limit=1&fields=id"),
    "key-manager": _Resource("v1", "/secrets?limit=1"),
    "object-store": _Resource("v1", "?limit=1"),
    "shared-file-system": _Resource("v2", "/shares?limit=1"),
    "container-infrastructure-management": _Resource("v1", "/clusters?limit=1"),
    "baremetal": _Resource("v1", "/nodes?limit=1&fields=uuid", for_operators=True),
    "instance-ha": _Resource("v1", "/segments?limit=1", for_operators=True),
    "workflow": _Resource("v2", "/workflows?limit=1&fields=id"),
    "nfv-alarm": _Resource("ifa/v1", "/fault-types"),
}
# Types that clouds use for the same service.
_ALIASES: Final[Mapping[str, str]] = {
    "volume": "block-storage",
    "volumev2": "block-storage",
    "volumev3": "block-storage",
    "block-store": "block-storage",
    "share": "shared-file-system",
    "sharev2": "shared-file-system",
    "container-infra": "container-infrastructure-management",
    "ha": "instance-ha",
    "workflowv2": "workflow",
}


@dataclasses.dataclass(frozen=True, slots=True)
class ServiceUrl:
    """What is requested of one endpoint.

    :ivar target: the service and its region, and what else is needed to tell it from others.
    :ivar known: whether it is a resource that needs a token. If not it is the document of versions, or
        whatever else the service answers there.
    """

    target: str
    url: str
    known: bool


def service_urls(
    catalogue: Iterable[Mapping[str, Any]],
    *,
    interfaces: Collection[str],
    regions: Collection[str],
    exclude: Collection[str],
    tenant: bool,
) -> list[ServiceUrl]:
    """Return what to request: each URL once, in the order of the catalogue.

    :param catalogue: the catalogue of a token of Keystone's API v3.
    :param regions: if empty, all.
    :param tenant: whether the token is that of a tenant, to whom some resources are forbidden.
    """
    found: dict[str, tuple[str, bool]] = {}
    for service in catalogue:
        kind, name = str(service.get("type") or ""), str(service.get("name") or service.get("type") or "")
        if kind in exclude or name in exclude:
            continue
        for endpoint in service.get("endpoints") or ():
            region = str(endpoint.get("region_id") or endpoint.get("region") or "")
            if endpoint.get("interface") not in interfaces or (regions and region not in regions):
                continue
            url, known = _request(kind, str(endpoint.get("url") or ""), tenant)
            place = ", ".join(filter(None, [region, endpoint["interface"] if len(interfaces) > 1 else ""]))
            found.setdefault(url, (f"{name} ({place})" if place else name, known))
    often = Counter(target for target, _ in found.values())
    return [
        ServiceUrl(target if often[target] == 1 else f"{target} {_root(url)}", url, known)
        for url, (target, known) in found.items()
    ]


def _request(kind: str, endpoint: str, tenant: bool) -> tuple[str, bool]:
    """Return the URL, and whether it is a resource."""
    resource = _RESOURCES.get(_ALIASES.get(kind, kind))
    base = endpoint.rstrip("/")
    if resource is None or (resource.for_operators and tenant):
        return _root(base), False
    if kind == "identity":
        # Old catalogues name version 2, which is gone.
        base = _root(base).rstrip("/")
    version = f"/{resource.version}" if resource.version and not _VERSION.search(_path(base)) else ""
    return f"{base}{version}{resource.path}", True


def _path(url: str) -> str:
    return urllib.parse.urlsplit(url).path


def _root(url: str) -> str:
    """Return *url* up to its version: there are the versions, without authentication."""
    parts = urllib.parse.urlsplit(url)
    version = _VERSION.search(parts.path)
    path = parts.path[: version.start()] if version else parts.path
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc, f"{path.rstrip('/')}/", "", ""))
