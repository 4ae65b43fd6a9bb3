"""The watched guests of this host: what happens to one, and what must be reported of it. Without I/O."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from eventalarm.guest import tracker
from eventalarm.guest.events_of_libvirt import DomainEvent, Kind
from eventalarm.guest.hypervisor import Domain
from eventalarm.guest.metadata import Defaults, GuestSettings, UnreadableDomain, read_domain
from eventalarm.guest.reports import event_of, state_from_json, state_to_json
from eventalarm.guest.tracker import Changed, Check, GuestState
from eventalarm.model import JSONDict

LOG = logging.getLogger(__name__)

REMOVED = "the guest is no longer on this host, or no longer watched"


@dataclasses.dataclass(slots=True)
class Watched:
    """A guest, what is known of it, and *wake*, which ends the pause before its next challenge."""

    settings: GuestSettings
    state: GuestState
    running: bool
    wake: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)

    @property
    def lost(self) -> bool:
        """Return True if the guest is reported as lost."""
        return Check.AGENT in self.state.faults


class Guests:
    """Keeps the state of each guest, and passes the events of its changes to *send*.

    :param host: the name of this host in events.
    :param now: the current time, aware UTC.
    :param send: gets events, and the states of all guests after them.
    """

    def __init__(
        self,
        defaults: Defaults,
        host: str,
        stored: Mapping[str, JSONDict],
        *,
        now: Callable[[], datetime.datetime],
        send: Callable[[tuple[JSONDict, ...], Mapping[str, JSONDict]], None],
    ) -> None:
        self._defaults = defaults
        self._host = host
        self._now = now
        self._send = send
        self._stored = dict(stored)
        self._warned: set[str] = set()
        self.watched: dict[str, Watched] = {}

    def refresh(self, domains: Iterable[Domain]) -> list[Watched]:
        """Take over a complete listing; return the guests that were not watched before."""
        found = {
            one.instance_id: (one, domain) for domain in domains if (one := self._read(domain)) is not None
        }
        for instance_id in [known for known in self.watched if known not in found]:
            self._forget(instance_id)
        added = []
        for instance_id, (settings, domain) in found.items():
            if instance_id not in self.watched:
                self.watched[instance_id] = Watched(settings, self._known(instance_id), domain.running)
                added.append(self.watched[instance_id])
            self.watched[instance_id].settings = settings
            self._set_running(self.watched[instance_id], domain)
        self._forget_stored()
        return added

    def _read(self, domain: Domain) -> GuestSettings | None:
        try:
            settings = read_domain(domain.xml, self._defaults)
        except UnreadableDomain as exc:
            LOG.warning("%s", exc)
            return None
        if settings is not None and settings.instance_id not in self._warned:
            self._warned.add(settings.instance_id)
            if settings.problem:
                LOG.warning("Guest %s: its flavor %s", settings.instance_id, settings.problem)
            if not settings.has_agent:
                LOG.warning(
                    "Guest %s has no channel for a guest agent (image property hw_qemu_guest_agent): only "
                    "events of libvirt are reported",
                    settings.instance_id,
                )
        return settings

    def _known(self, instance_id: str) -> GuestState:
        body = self._stored.pop(instance_id, None)
        if body is not None:
            try:
                return state_from_json(body)
            except (KeyError, TypeError, ValueError, AttributeError) as exc:
                LOG.warning("The stored state of guest %s cannot be read: %r", instance_id, exc)
        return GuestState(self._now())

    def _set_running(self, one: Watched, domain: Domain) -> None:
        """Correct what an event of libvirt should have told."""
        if domain.running and not one.running:
            one.wake.set()
        if not domain.active:
            self._change(one, tracker.stopped(one.state, self._now(), "the guest was stopped"))
        one.running = domain.running

    def _forget_stored(self) -> None:
        """Report the end of faults of guests that left while no monitor ran."""
        stored, self._stored = self._stored, {}
        for instance_id, body in stored.items():
            try:
                state = state_from_json(body)
                settings = _former(instance_id, body)
            except (KeyError, TypeError, ValueError, AttributeError):
                continue
            self._change(Watched(settings, state, False), tracker.gone(state, self._now(), REMOVED))

    def _forget(self, instance_id: str) -> None:
        one = self.watched.pop(instance_id)
        self._warned.discard(instance_id)
        one.running = False
        one.wake.set()
        self._change(one, tracker.gone(one.state, self._now(), REMOVED))

    def happened(self, event: DomainEvent) -> bool:
        """Take over an event of libvirt; return True if the guests must be listed again."""
        one = self.watched.get(event.instance_id)
        if one is None:
            return event.kind is Kind.STARTED
        now = self._now()
        if event.kind is Kind.REMOVED:
            return True
        if event.kind is Kind.CRASHED:
            details = {"libvirt_reason": event.reason}
            self._change(one, tracker.failed(one.state, Check.CRASH, now, event.reason, details))
        elif event.kind in (Kind.WATCHDOG, Kind.DISK):
            check = Check.WATCHDOG if event.kind is Kind.WATCHDOG else Check.DISK
            self._change(one, tracker.failed(one.state, check, now, event.reason, event.details))
        elif event.kind is Kind.STARTED:
            self._change(one, tracker.started(one.state, one.settings, now))
        elif event.kind is Kind.RESUMED:
            self._change(one, tracker.resumed(one.state, now))
        if event.stops:
            self._change(one, tracker.stopped(one.state, now, event.reason))
        one.running = _runs(one.running, event)
        if event.kind in (Kind.STARTED, Kind.RESUMED, Kind.AGENT):
            one.wake.set()
        # The settings of a guest that starts again may be others.
        return event.kind is Kind.STARTED

    def missed(self, one: Watched, reason: str, startup_grace: float) -> None:
        """Take over a missed challenge, unless the guest was stopped or paused meanwhile."""
        if one.running:
            self._change(one, tracker.missed(one.state, one.settings, self._now(), reason, startup_grace))

    def answered(self, one: Watched, health: Any) -> None:
        """Take over an answer with the guest's health."""
        before = one.state
        self._change(one, tracker.answered(before, one.settings, self._now(), health))
        if not before.answered:
            self._send((), self.states())

    def resend(self) -> None:
        """Report all faults again, since events were dropped."""
        for one in self.watched.values():
            changes = tracker.again(one.state, self._now())
            self._report(one, changes)

    def states(self) -> dict[str, JSONDict]:
        """Return what must survive a restart."""
        return {key: state_to_json(one.state, one.settings) for key, one in self.watched.items()}

    def _change(self, one: Watched, changed: Changed) -> None:
        one.state, changes = changed
        self._report(one, changes)

    def _report(self, one: Watched, changes: tuple[tracker.Change, ...]) -> None:
        for change in changes:
            log = LOG.warning if change.failed else LOG.info
            state = "failed" if change.failed else "ok"
            log("Guest %s: %s %s: %s", one.settings.instance_id, change.check, state, change.reason)
        if changes:
            events = tuple(event_of(change, one.settings, self._host) for change in changes)
            self._send(events, self.states())


def _runs(running: bool, event: DomainEvent) -> bool:
    if event.kind in (Kind.STARTED, Kind.RESUMED):
        return True
    return running and not event.stops and event.kind is not Kind.PAUSED


def _former(instance_id: str, body: Mapping[str, Any]) -> GuestSettings:
    """Return as much of the settings of a guest as its stored state has."""
    names = (str(body["name"]), str(body["domain"]), str(body["project_id"]))
    return GuestSettings(instance_id, *names, "", 1.0, 0.1, 1, False, False)
