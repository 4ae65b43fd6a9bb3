"""Requests to Nova and Neutron about a host that is down; off by default."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import logging
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Final

from eventalarm.exceptions import Retryable
from eventalarm.inspector.cloud import Cloud, CloudUnavailable
from eventalarm.metrics import Metrics
from eventalarm.model import InfrastructureFault, Resource, ResourceKind

LOG = logging.getLogger(__name__)

# The entry of the fault catalogue that says that a host is down.
HOST_DOWN: Final = "host-down"

Request = Callable[[], None]
# Returns which of some hosts are in planned maintenance.
InMaintenance = Callable[[Collection[str]], Collection[str]]


@dataclasses.dataclass(frozen=True, slots=True)
class ReactionOptions:
    """The requests to make about a host that is down; ``workers`` at a time, at most ``waiting`` queued."""

    force_down: bool
    reset_state: bool
    data_plane_status: bool
    workers: int
    waiting: int

    @property
    def any(self) -> bool:
        """Return True if any request is enabled."""
        return self.force_down or self.reset_state or self.data_plane_status


class Reactions:
    """Makes the requests in threads, so that no fault waits for Nova or Neutron.

    A request that fails is logged and counted, but not repeated. A host in maintenance is left alone.

    :param in_maintenance: returns which hosts are in planned maintenance.
    """

    def __init__(
        self, cloud: Cloud, in_maintenance: InMaintenance, options: ReactionOptions, metrics: Metrics
    ) -> None:
        self._cloud = cloud
        self._in_maintenance = in_maintenance
        self._options = options
        self._metrics = metrics
        self._room = threading.BoundedSemaphore(options.waiting)
        self._threads = concurrent.futures.ThreadPoolExecutor(options.workers, "reaction")

    def __call__(self, fault: InfrastructureFault, resources: Sequence[Resource]) -> None:
        """Queue the requests about a fault that was raised or has ended; returns at once."""
        if fault.name == HOST_DOWN:
            self._submit(lambda: self._react(fault, resources))

    def _react(self, fault: InfrastructureFault, resources: Sequence[Resource]) -> None:
        if self._in_maintenance(fault.hosts):
            LOG.info("No requests are made about host %s: it is in maintenance", fault.source)
            self._metrics.count("inspector_reactions", result="maintenance")
            return
        service = self._cloud.compute_service(fault.source) if self._options.any else None
        disabled = service is not None and service.status == "disabled"
        if disabled and fault.raised:
            LOG.info("No requests to Nova are made about host %s: its service is disabled", fault.source)
        for request in self._requests(fault, resources, None if disabled else service):
            self._submit(request)

    def _requests(
        self, fault: InfrastructureFault, resources: Sequence[Resource], service: Any
    ) -> Iterator[Request]:
        """Yield the requests about a fault; none to Nova without its *service*."""
        options = self._options
        if options.force_down and service is not None and service.is_forced_down is not fault.raised:
            yield lambda: self._cloud.force_down(service, fault.raised)
        for one in resources:
            if one.kind is ResourceKind.PORT and options.data_plane_status:
                status = "DOWN" if fault.raised else "ACTIVE"
                yield _bound(self._cloud.set_data_plane_status, one.resource_id, status)
            elif one.kind is ResourceKind.SERVER and options.reset_state and service and fault.raised:
                yield _bound(self._cloud.reset_state, one.resource_id)

    def _submit(self, request: Request) -> None:
        if not self._room.acquire(blocking=False):
            self._metrics.count("inspector_reactions", result="dropped")
            LOG.warning("A request to Nova or Neutron is dropped: too many wait (option max_reactions)")
            return
        self._threads.submit(self._make, request)

    def _make(self, request: Request) -> None:
        try:
            request()
            self._metrics.count("inspector_reactions", result="done")
        except (CloudUnavailable, Retryable) as exc:
            self._metrics.count("inspector_reactions", result="failed")
            LOG.warning("A request to Nova or Neutron failed: %s", exc)
        except Exception:
            LOG.exception("A request to Nova or Neutron failed")
        finally:
            self._room.release()

    def stop(self) -> None:
        """End the threads after their current requests."""
        self._threads.shutdown(wait=True, cancel_futures=True)


def _bound(function: Callable[..., None], *arguments: str) -> Request:
    return lambda: function(*arguments)
