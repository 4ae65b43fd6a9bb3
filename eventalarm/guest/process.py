"""One eventalarm-guest-monitor, built from the options; and its commands that end by themselves."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
import pathlib
import random
import shlex
import signal
import socket
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Final

from oslo_config import cfg

from eventalarm.backoff import Backoff
from eventalarm.conf import GUEST_GROUP
from eventalarm.exceptions import InvalidOption
from eventalarm.guest import ingest_client, listing
from eventalarm.guest.agent import Challenger, SocketTransport
from eventalarm.guest.guests import Guests
from eventalarm.guest.hypervisor import Directory, Domain, Hypervisor
from eventalarm.guest.metadata import Defaults, GuestSettings, parse_flavors, read_domain
from eventalarm.guest.monitor import Monitor, MonitorOptions
from eventalarm.guest.protocol import Silent
from eventalarm.guest.reporter import Report, Reporter
from eventalarm.guest.reports import state_from_json
from eventalarm.guest.spool import Spool, read_states
from eventalarm.guest.tracker import GuestState
from eventalarm.model import JSONDict

LOG = logging.getLogger(__name__)

# Seconds before a request to the ingest API is repeated: at first, and at most.
FIRST_WAIT, LONGEST_WAIT = 0.5, 5.0
DIRECTORY: Final = "dir"


def now() -> datetime.datetime:
    """Return the present time, aware UTC."""
    return datetime.datetime.now(datetime.UTC)


def defaults(conf: cfg.ConfigOpts) -> Defaults:
    """Return the settings of guests that name none.

    :raises InvalidOption: when ``flavors`` is invalid.
    """
    group = conf[GUEST_GROUP]
    flavors = parse_flavors(group.flavors)
    return Defaults(group.interval, group.timeout, group.misses, group.watch == "agent", flavors)


def health_command(conf: cfg.ConfigOpts) -> list[str]:
    """Return the words of the health command.

    :raises InvalidOption: when it cannot be split into words.
    """
    try:
        return shlex.split(conf[GUEST_GROUP].health_command)
    except ValueError as exc:
        option = f"[{GUEST_GROUP}] health_command"
        raise InvalidOption(option, str(exc), "quote its words as in a shell") from exc


def hypervisor(conf: cfg.ConfigOpts) -> Hypervisor:
    """Return the configured hypervisor; it is not contacted yet.

    :raises InvalidOption: when libvirt-python is missing.
    """
    group = conf[GUEST_GROUP]
    uri = urllib.parse.urlsplit(group.uri)
    if uri.scheme == DIRECTORY:
        return Directory(pathlib.Path(uri.path), SocketTransport(group.max_response_size))
    # Imported here, since the directory of trials does not need it.
    from eventalarm.guest.libvirt_hypervisor import LibvirtHypervisor  # noqa: PLC0415

    return LibvirtHypervisor(group.uri, group.workers, group.max_response_size)


def _challenger(conf: cfg.ConfigOpts, found: Hypervisor) -> Challenger:
    return Challenger(found.transport, health_command(conf), conf[GUEST_GROUP].health_timeout)


def run(conf: cfg.ConfigOpts, progress: Callable[[bool], None]) -> None:
    """Watch and report until SIGTERM or SIGINT.

    :param progress: called every few seconds, and with True once the guests are known.
    :raises InvalidOption: when an option can never work.
    """
    group = conf[GUEST_GROUP]
    host = group.host or socket.gethostname()
    client = ingest_client.connect(conf)
    chosen = defaults(conf)
    found = hypervisor(conf)
    challenger = _challenger(conf, found)
    spool = Spool(pathlib.Path(group.spool_directory), group.spool_size)
    reporter = Reporter(spool, client.post, Backoff(FIRST_WAIT, LONGEST_WAIT))

    def send(events: tuple[JSONDict, ...], states: Mapping[str, JSONDict]) -> None:
        reporter.report(Report(events, states))

    guests = Guests(chosen, host, spool.load_states(), now=now, send=send)
    options = MonitorOptions(host, group.startup_grace, group.refresh_interval, group.beat_interval)
    monitor = Monitor(
        found,
        challenger,
        guests,
        reporter,
        options,
        now=now,
        uniform=random.uniform,
        progress=progress,
    )
    reporter.start()
    try:
        asyncio.run(_until_signal(monitor))
    finally:
        reporter.stop()
        spool.close()


async def _until_signal(monitor: Monitor) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await monitor.run(stopping)


def once(conf: cfg.ConfigOpts) -> list[listing.Row]:
    """Challenge every guest once, and return the results; nothing is reported.

    :raises HypervisorUnavailable: when the guests cannot be listed.
    """
    found = hypervisor(conf)
    challenger = _challenger(conf, found)
    chosen = defaults(conf)

    async def challenge_all() -> list[listing.Row]:
        try:
            domains = await found.domains()
            watched = [(read_domain(one.xml, chosen), one) for one in domains]
            rows = [_challenged(challenger, guest, one) for guest, one in watched if guest is not None]
            return list(await asyncio.gather(*rows))
        finally:
            found.close()

    return asyncio.run(challenge_all())


async def _challenged(challenger: Challenger, guest: GuestSettings, domain: Domain) -> listing.Row:
    if not domain.running or not guest.has_agent:
        return listing.stored_row(guest, None, domain.running)
    try:
        health = await challenger.challenge(guest, suspect=False)
    except Silent as exc:
        return listing.row(guest, "failed", str(exc))
    if health is None:
        return listing.row(guest, "ok")
    return listing.row(guest, "ok" if health.healthy else "failed", health.reason)


def stored(conf: cfg.ConfigOpts) -> list[listing.Row]:
    """Return the guests with the state that the running monitor stored; none is challenged.

    :raises HypervisorUnavailable: when the guests cannot be listed.
    """
    found = hypervisor(conf)
    chosen = defaults(conf)
    known = read_states(pathlib.Path(conf[GUEST_GROUP].spool_directory))

    async def list_all() -> list[Domain]:
        try:
            return await found.domains()
        finally:
            found.close()

    watched = [(read_domain(one.xml, chosen), one) for one in asyncio.run(list_all())]
    return [
        listing.stored_row(guest, _state(known.get(guest.instance_id)), one.running)
        for guest, one in watched
        if guest is not None
    ]


def _state(body: JSONDict | None) -> GuestState | None:
    with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
        return state_from_json(body or {})
    return None
