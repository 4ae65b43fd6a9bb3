"""Clients of eventalarm's HTTP APIs: requests, paging, and errors as readable messages."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import os
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any, Final, Self

from keystoneauth1 import adapter
from keystoneauth1 import exceptions as keystone
from osc_lib import exceptions

MARKER: Final = "nextpage_opaque_marker"

Document = dict[str, Any]


class NotReached(exceptions.CommandError):
    """The service did not answer or is unavailable; the same request can succeed later."""


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoint:
    """How a service is found: its type in the catalog, or the URL in an option or a variable."""

    service: str
    service_type: str
    option: str
    variable: str

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        """Add the option for the URL of the service, for clouds without a catalog entry."""
        parser.add_argument(
            f"--{self.option}",
            metavar="<url>",
            dest=self.attribute,
            default=os.environ.get(self.variable, ""),
            help=f"URL of {self.service}; by default from the service catalog, type {self.service_type} "
            f"(Env: {self.variable})",
        )

    @property
    def attribute(self) -> str:
        """The attribute of the parsed options."""
        return self.option.replace("-", "_")


class ServiceClient:
    """Requests to one service; every method raises CommandError with the service's error message."""

    ENDPOINT: Endpoint

    def __init__(self, requests: adapter.Adapter) -> None:
        self._requests = requests

    @classmethod
    def of(cls, app: Any) -> Self:
        """Return a client for the cloud of the ``openstack`` command *app*."""
        manager = app.client_manager
        manager.setup_auth()
        found = adapter.Adapter(
            manager.session,
            service_type=cls.ENDPOINT.service_type,
            interface=manager.interface,
            region_name=manager.region_name,
            endpoint_override=(getattr(app.options, cls.ENDPOINT.attribute, "") or "").rstrip("/") or None,
        )
        return cls(found)

    def _pages(self, path: str, filters: Mapping[str, Any], marker: str | None = None) -> Iterator[Any]:
        """Yield the answers with the pages of a listing, from *marker* on."""
        while True:
            params = {**filters, MARKER: marker} if marker is not None else dict(filters)
            # Encoded here: requests would encode a space as a plus sign, which the service reads literally.
            query = urllib.parse.urlencode(params, doseq=True, quote_via=urllib.parse.quote)
            answer = self._get(f"{path}?{query}" if query else path)
            yield answer
            # The host in the link may be known only in the service's own network.
            following = urllib.parse.urlsplit(answer.links.get("next", {}).get("url", ""))
            marker = dict(urllib.parse.parse_qsl(following.query)).get(MARKER)
            if marker is None:
                return

    def _listed(self, path: str, filters: Mapping[str, Any], limit: int | None = None) -> list[Document]:
        """Return what is on all pages of a listing, or the first *limit*."""
        found = (one for page in self._pages(path, filters) for one in page.json())
        return list(itertools.islice(found, limit))

    def _get(self, path: str, **how: Any) -> Any:
        return self._request("GET", path, **how)

    def _request(
        self, method: str, path: str, *, missing: bool = False, conflict: bool = False, **how: Any
    ) -> Any:
        """Return the response, with *missing* also a 404, with *conflict* also a 409."""
        try:
            answer = self._requests.request(path, method, raise_exc=False, **how)
        except keystone.EndpointNotFound as exc:
            raise exceptions.CommandError(
                f"no service of type {self.ENDPOINT.service_type} in the catalog; "
                f"set --{self.ENDPOINT.option} or {self.ENDPOINT.variable}"
            ) from exc
        except (keystone.ConnectFailure, keystone.SSLError) as exc:
            raise NotReached(str(exc)) from exc
        status = answer.status_code
        if status < 400 or (missing and status == 404) or (conflict and status == 409):
            return answer
        kind = NotReached if status in (429, 502, 503, 504) else exceptions.CommandError
        raise kind(f"{status}: {self._problem(answer)}")

    def _problem(self, answer: Any) -> str:
        try:
            return str(answer.json()["detail"])
        except (ValueError, KeyError, TypeError):
            return f"{answer.reason}; check that {answer.url} is {self.ENDPOINT.service}"


def quoted(name: str) -> str:
    """Return a name as part of a path."""
    return urllib.parse.quote(name, safe="")


def add_project(parser: argparse.ArgumentParser) -> None:
    """Add the option with which administrators act as another project."""
    parser.add_argument(
        "--of-project", metavar="<project-id>", default="", help="act as this project (administrators only)"
    )


def in_project(path: str, project_id: str) -> str:
    """Return *path* with the project of the request; without one it is the caller's."""
    return f"{path}?project_id={quoted(project_id)}" if project_id else path
