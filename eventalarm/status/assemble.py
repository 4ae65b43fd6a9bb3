"""Builds the checks from the configuration, in the order of the path of an event."""

from __future__ import annotations

import dataclasses
import pathlib
import socket
import threading
from collections.abc import Callable

from oslo_config import cfg

from eventalarm import bus, service
from eventalarm.conf import GROUP, INSPECTOR_GROUP
from eventalarm.delivery import options as delivery_options
from eventalarm.delivery.senders.network import EgressFilter
from eventalarm.exceptions import EventAlarmError
from eventalarm.model import JSONDict
from eventalarm.publisher.partitions import Partitioning
from eventalarm.status import broker, canary, ceilometer_files, definitions, pipeline, queue_limits, upgrade
from eventalarm.status.checks import Check, Finding, Level
from eventalarm.status.database import (
    check_alarms,
    check_clocks,
    check_failed,
    check_listeners,
    check_outbox,
    check_resource_map,
    check_schema,
    check_secrets,
    check_subscriptions,
)
from eventalarm.status.database_server import check_server
from eventalarm.storage.database import Database
from eventalarm.storage.stats import live_listeners
from eventalarm.storage.synthetic_alarms import remove_alarm
from eventalarm.trace import CANARY

LOOPBACK = "127.0.0.1"
DISCARD_PORT = 9
# An address of the documentation network (RFC 5737): it is reached by the default route.
ANYWHERE = "192.0.2.1"
# What a probe needs to know: a service cannot work without these.
QUICK = frozenset({"configuration", "broker", "database", "schema", "listeners"})


@dataclasses.dataclass(frozen=True, slots=True)
class CheckOptions:
    """The options of the command line: times in seconds, ``canary_address`` as HOST[:PORT] or empty."""

    event_pipeline: str = ""
    event_definitions: str = ""
    ceilometer_conf: str = ""
    rabbitmqctl: str = ""
    canary: bool = False
    quick: bool = False
    canary_address: str = ""
    timeout: float = 10.0
    warn_after: float = 30.0
    fail_after: float = 300.0
    longest_silence: float = 86400.0


class HealthChecks:
    """The checks of one deployment. The database is opened when it is first needed."""

    def __init__(self, conf: cfg.ConfigOpts, options: CheckOptions) -> None:
        self._conf = conf
        self._options = options
        self._lock = threading.Lock()
        self._database: Database | None = None
        self._in_flight = ""

    def checks(self) -> list[Check]:
        """Return the checks, in order."""
        options, schema = self._options, ("schema",)
        found = [
            Check("configuration", self._configuration),
            Check("pipeline", self._pipeline, ("configuration",)),
            Check("broker", lambda: broker.check_hosts(self._conf, options.timeout), ("configuration",)),
            Check("queue", lambda: broker.check_queue(self._conf, options.timeout), ("broker",)),
            Check(
                "broker limits",
                lambda: queue_limits.check_limits(self._conf, options.timeout, options.rabbitmqctl),
                ("broker",),
            ),
            Check(
                "inspector queue",
                lambda: broker.check_inspector_queue(self._conf, options.timeout),
                ("broker",),
            ),
            Check("database", self._of_database(self._server), ("configuration",)),
            Check("schema", self._of_database(check_schema), ("database",)),
            Check("clocks", self._of_database(self._clocks), schema),
            Check("listeners", self._of_database(check_listeners), schema),
            Check("alarms", self._of_database(check_alarms), schema),
            Check("outbox", self._of_database(self._outbox), schema),
            Check("failed deliveries", self._of_database(check_failed), schema),
            Check("subscriptions", self._of_database(self._subscriptions), schema),
            Check("secrets", self._of_database(self._secrets), schema),
            Check("resource map", self._of_database(self._resource_map), schema),
        ]
        if (path := definitions.definitions_file(options.event_definitions)) is not None:
            found.insert(2, Check("definitions", lambda: definitions.check_definitions(path)))
        if options.canary:
            needs = ("configuration", "listeners")
            found.append(Check("canary", self._of_database(self._canary), needs, extra=options.timeout))
        if options.quick:
            found = [check for check in found if check.name in QUICK]
        return [dataclasses.replace(check, run=self._returning_connections(check.run)) for check in found]

    def close(self) -> None:
        """Remove the alarm of a canary that was interrupted, and close the database.

        :raises Retryable: when the database failed; the next canary removes the alarm.
        """
        if self._database is not None:
            if self._in_flight:
                remove_alarm(self._database, self._in_flight)
            self._database.dispose()

    def _of_database(self, check: Callable[[Database], Finding]) -> Callable[[], Finding]:
        return lambda: check(self._opened())

    def _returning_connections(self, run: Callable[[], Finding]) -> Callable[[], Finding]:
        """Return the connections of the thread in which *run* runs to the pool."""

        def run_and_return() -> Finding:
            try:
                return run()
            finally:
                if self._database is not None:
                    self._database.leave()

        return run_and_return

    def _opened(self) -> Database:
        with self._lock:
            if self._database is None:
                self._database = service.database(self._conf)
            return self._database

    def _configuration(self) -> Finding:
        unknown = upgrade.unknown_options(self._conf)
        files = ", ".join(self._conf.config_file or []) or "no file, only defaults and the environment"
        if unknown:
            remedy = "correct or remove them; they have no effect"
            return Finding(Level.WARNING, f"read {files}; unknown options: {', '.join(unknown)}", remedy)
        return Finding(Level.OK, f"read {files}")

    def _server(self, database: Database) -> Finding:
        return check_server(database, self._conf[GROUP].max_event_size)

    def _clocks(self, database: Database) -> Finding:
        group = self._conf[GROUP]
        return check_clocks(database, group.definitions_overlap, group.max_clock_skew)

    def _outbox(self, database: Database) -> Finding:
        return check_outbox(database, self._options.warn_after, self._options.fail_after)

    def _subscriptions(self, database: Database) -> Finding:
        return check_subscriptions(database, self._conf.eventalarm_ifa.subscription_lifetime)

    def _secrets(self, database: Database) -> Finding:
        return check_secrets(database, self._conf.eventalarm_ifa.credentials_key)

    def _resource_map(self, database: Database) -> Finding:
        group = self._conf[INSPECTOR_GROUP]
        return check_resource_map(database, group.stale_after if group.snapshot_interval else None)

    def _pipeline(self) -> Finding:
        options = self._options
        named = (
            pathlib.Path(options.ceilometer_conf)
            if options.ceilometer_conf
            else ceilometer_files.CONFIGURATION
        )
        theirs = ceilometer_files.configuration(named) if options.ceilometer_conf or named.exists() else None
        path = pathlib.Path(options.event_pipeline) if options.event_pipeline else None
        if path is None:
            path = ceilometer_files.pipeline_file(theirs or ceilometer_files.configuration(named))
        feed = None
        if path is not None:
            group = self._conf[GROUP]
            target = pipeline.Target(
                group.topic,
                self._conf,
                theirs,
                partitions=group.partitions,
                owner_traits=group.owner_traits,
            )
            feed = pipeline.read(path, target)
            if theirs is not None and "event" not in theirs.notification.pipelines:
                problem = f"[notification] pipelines of {named} does not contain event"
                feed = pipeline.Feed(str(named), problem=problem, remedy="add it and restart the agent")
        return pipeline.pipeline_finding(feed, self._last_seen(), options.longest_silence)

    def _last_seen(self) -> pipeline.LastSeen | None:
        try:
            live = live_listeners(self._opened())
        except EventAlarmError:
            return None
        return pipeline.LastSeen(bool(live.hosts), live.last_event_at, live.now)

    def _canary(self, database: Database) -> Finding:
        settings = delivery_options.from_conf(self._conf)
        egress = EgressFilter(settings.deny_networks, settings.allow_networks)
        host, port = self._canary_address(live_listeners(database).hosts, egress)
        denied = egress.refuses(host)
        if denied:
            return Finding(
                Level.SKIPPED,
                f"{denied} denies webhooks to {host}",
                "name another address of this host: --canary-address",
            )
        group = self._conf[GROUP]
        options = canary.CanaryOptions(
            host, port, self._options.timeout, group.owner_traits[0], group.resource_traits[0]
        )
        transport = bus.get_transport(self._conf)

        def publish(event: JSONDict) -> None:
            for topic, events in Partitioning.configured(self._conf).split([event]):
                names = {"topic": topic, "exchange": group.exchange}
                bus.send(transport, event_type=CANARY, payload=events, **names)

        try:
            self._in_flight = canary.new_id()
            finding = canary.send(database, publish, options, self._in_flight)
            self._in_flight = ""
            return finding
        finally:
            transport.cleanup()

    def _canary_address(self, hosts: tuple[str, ...], egress: EgressFilter) -> tuple[str, int]:
        """Return the address at which listeners on *hosts* reach this host, preferably one that is allowed.

        That is the loopback interface if all of them run here.
        """
        if self._options.canary_address:
            host, _, port = self._options.canary_address.partition(":")
            return host, int(port or 0)
        candidates = [LOOPBACK] if set(hosts) <= {socket.gethostname()} else []
        candidates.extend(_local_addresses(bus.transport_url(self._conf)))
        return next((address for address in candidates if not egress.refuses(address)), candidates[0]), 0


def _local_addresses(url: object) -> list[str]:
    """Return the addresses of this host that face the broker and the default route; sends nothing."""
    destinations = [(host.hostname, host.port or DISCARD_PORT) for host in getattr(url, "hosts", ())]
    found = []
    for destination in (*destinations, (ANYWHERE, DISCARD_PORT)):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(destination)
            except OSError:
                continue
            found.append(str(probe.getsockname()[0]))
    return found or [LOOPBACK]
