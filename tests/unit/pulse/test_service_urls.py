"""Which requests are made for a catalogue."""

from __future__ import annotations

from typing import Any

import pytest

from eventalarm.pulse.plugins.service_urls import ServiceUrl, service_urls


def service(kind: str, *urls: str, name: str = "", region: str = "RegionOne") -> dict[str, Any]:
    endpoints = [{"interface": "public", "region_id": region, "url": url} for url in urls]
    return {"type": kind, "name": name or kind, "endpoints": endpoints}


def requested(*catalogue: dict[str, Any], tenant: bool = False, **options: Any) -> list[ServiceUrl]:
    filled = {"interfaces": ["public"], "regions": [], "exclude": []} | options
    return service_urls(catalogue, tenant=tenant, **filled)


@pytest.mark.parametrize(
    ("kind", "endpoint", "url"),
    [
        ("identity", "http://c/identity", "http://c/identity/v3/auth/catalog"),
        ("identity", "http://c:5000/v2.0", "http://c:5000/v3/auth/catalog"),
        ("identity", "http://c:5000/v3/", "http://c:5000/v3/auth/catalog"),
        ("image", "http://c:9292", "http://c:9292/v2/images?limit=1"),
        ("compute", "http://c:8774/v2.1/p1", "http://c:8774/v2.1/p1/servers?limit=1"),
        ("network", "http://c:9696/networking", "http://c:9696/networking/v2.0/networks?limit=1&fields=id"),
        ("volumev3", "http://c:8776/v3/p1", "http://c:8776/v3/p1/volumes?limit=1"),
        ("placement", "http://c/placement", "http://c/placement/resource_providers?name=none"),
        ("object-store", "http://c/swift/v1/AUTH_p1", "http://c/swift/v1/AUTH_p1?limit=1"),
        ("alarming", "http://c:8042", "http://c:8042/v2/alarms?limit=1"),
        ("nfv-alarm", "http://c:8043", "http://c:8043/ifa/v1/fault-types"),
    ],
)
def test_a_known_service_is_asked_for_something_small(kind: str, endpoint: str, url: str) -> None:
    assert requested(service(kind, endpoint)) == [ServiceUrl(f"{kind} (RegionOne)", url, True)]


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://c:8000/v1", "http://c:8000/"),
        ("http://c/app/v1.0/p1", "http://c/app/"),
        ("http://c:1/other?a=b", "http://c:1/other/"),
    ],
)
def test_another_service_is_asked_for_its_versions(endpoint: str, url: str) -> None:
    assert requested(service("new", endpoint)) == [ServiceUrl("new (RegionOne)", url, False)]


def test_a_tenant_asks_for_versions_where_the_resource_is_for_operators() -> None:
    (found,) = requested(service("placement", "http://c/placement"), tenant=True)
    assert (found.url, found.known) == ("http://c/placement/", False)


def test_each_url_is_requested_once_and_targets_differ() -> None:
    cinder = service("volumev3", "http://c/v3/p", "http://d/v3/p", name="cinder")
    found = requested(cinder, service("block-storage", "http://c/v3/p", name="again"))
    assert [(one.target, one.url) for one in found] == [
        ("cinder (RegionOne) http://c/", "http://c/v3/p/volumes?limit=1"),
        ("cinder (RegionOne) http://d/", "http://d/v3/p/volumes?limit=1"),
    ]


def test_interfaces_regions_and_excluded_services_are_left_out() -> None:
    admin = {"interface": "admin", "region_id": "RegionOne", "url": "http://admin"}
    nova = service("compute", "http://c") | {
        "endpoints": [admin, *service("compute", "http://c")["endpoints"]]
    }
    far = service("image", "http://far", region="Far")
    catalogue = (nova, far, service("object-store", "http://swift"))
    found = requested(*catalogue, regions=["RegionOne"], exclude=["object-store"])
    assert [one.url for one in found] == ["http://c/v2.1/servers?limit=1"]
    assert [one.target for one in requested(service("image", "http://c", region=""))] == ["image"]
    both = requested(*catalogue, interfaces=["public", "admin"])
    assert [one.target for one in both][:2] == ["compute (RegionOne, admin)", "compute (RegionOne, public)"]
