"""The WSGI application of the ingest API: its resources, their paths and the middleware."""

from __future__ import annotations

import datetime
import pathlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import falcon
from oslo_config import cfg

from eventalarm import bus
from eventalarm.catalogue import fault_files
from eventalarm.catalogue.entries import BadFile
from eventalarm.conf import DELIVERY_GROUP, GROUP, IFA_GROUP, INGEST_GROUP, INSPECTOR_GROUP
from eventalarm.delivery import options as delivery_options
from eventalarm.delivery.signatures import SigningKeys
from eventalarm.evaluator.options import event_limits, rule_limits
from eventalarm.evaluator.simulation import SimulationOptions
from eventalarm.exceptions import InvalidOption
from eventalarm.http import application as http_application
from eventalarm.http import openapi
from eventalarm.http.application import Api
from eventalarm.http.auth import Guard
from eventalarm.http.deploy import deploy
from eventalarm.http.openapi import Schemas
from eventalarm.http.parameters import BadParameter
from eventalarm.http.responses import BadMarker
from eventalarm.ingest import ingest_policies
from eventalarm.ingest.answers import AnswerSender
from eventalarm.ingest.cloud_health import CloudHealth, HealthContext
from eventalarm.ingest.deliveries import (
    DeliveryContext,
    DeliveryList,
    DeliveryReplay,
    DeliveryRetry,
    OneDelivery,
)
from eventalarm.ingest.destinations import DestinationEnabling, DestinationList
from eventalarm.ingest.dryrun import DryRunOptions, RuleTest
from eventalarm.ingest.event_explanation import EventExplanation
from eventalarm.ingest.events import Events, Gateway
from eventalarm.ingest.health_check import HealthCheckRun
from eventalarm.ingest.hosts import HostContext, HostMaintenanceResource
from eventalarm.ingest.monitors import MonitorReader, read_alertmanager, read_collectd, read_zabbix
from eventalarm.ingest.past_test import PastTest
from eventalarm.ingest.profiles import Handled, HandledContext, ProfileList
from eventalarm.ingest.project_secrets import (
    ProjectSecretResource,
    PublicKeys,
    SecretContext,
    SecretRotation,
)
from eventalarm.ingest.reading import Bounds, EventReader
from eventalarm.ingest.recorded_events import AllEvents, EventContext, OneEvent
from eventalarm.ingest.reports import Report, ReportConverter
from eventalarm.ingest.sessions import Session, SessionAnswer, SessionContext, SessionList
from eventalarm.publisher.codec import Encoded
from eventalarm.publisher.partitions import Partitioning
from eventalarm.publisher.sending import BrokerStatus
from eventalarm.storage.database import Database
from eventalarm.vault import Vault

DOCUMENT: Final = "/v1/openapi.json"
DOCUMENT_FILE: Final = pathlib.Path(__file__).with_name("openapi.yaml")
PREFIXES: Final = ("/v1",)
# What it cannot accept events without: while the database is down, it still accepts them.
HEALTH_BACKENDS: Final = ("eventalarm_broker",)

# What reads the body of a request.
Reading = Callable[[Any], list[Encoded]]


class Once:
    """Opens the database with *make* on first use and keeps it; :meth:`close` disposes of it."""

    def __init__(self, make: Callable[[], Database]) -> None:
        self._make = make
        self._made: Database | None = None
        self._lock = threading.Lock()

    def __call__(self) -> Database:
        """Return the database; after an error of *make*, which is raised, the next call tries again."""
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    def close(self) -> None:
        """Dispose of the database if it was opened."""
        with self._lock:
            if self._made is not None:
                self._made.dispose()


def application(conf: cfg.ConfigOpts, transport: Any, database: Callable[[], Database]) -> Any:
    """Return the WSGI application behind the middleware that *conf* asks for; see :func:`build`."""
    app = build(conf, transport, database)
    return deploy(app, conf, auth_mode=conf[INGEST_GROUP].auth_mode, backends=HEALTH_BACKENDS)


def build(conf: cfg.ConfigOpts, transport: Any, database: Callable[[], Database]) -> falcon.App[Any, Any]:
    """Return the application alone, which trusts the identity headers that keystonemiddleware sets.

    :param transport: where events go (``bus.get_transport``).
    :param database: opens Aodh's database, for dry runs of alarms; called on first use.
    """
    group, ingest = conf[GROUP], conf[INGEST_GROUP]
    document = openapi.load(DOCUMENT_FILE)
    schemas = Schemas(document)
    bounds = Bounds(ingest.max_body_size, ingest.max_events, event_limits(group))
    reader = EventReader(schemas, bounds, group.resource_traits)
    gateway = _gateway(conf, transport)
    guard = Guard(conf, ingest_policies.RULES)
    routes: dict[str, Any] = {
        path: Events(guard, read, gateway, max_body=ingest.max_body_size, retry_after=ingest.retry_after)
        for path, read in _forms(conf, schemas, bounds, reader).items()
    }
    routes |= {
        ingest_policies.TEST_PATH: RuleTest(
            guard,
            schemas,
            reader,
            database=database,
            options=_dry_run_options(group, ingest),
            past=PastTest(_simulation_options(group), group.record_events, ingest.max_tested_events),
        ),
    }
    routes |= _deliveries(conf, guard, schemas, database)
    routes |= _recorded_events(conf, guard, routes[ingest_policies.EVENTS_PATH], database)
    routes |= _maintenance(conf, guard, schemas, gateway, database)
    routes |= _signatures(conf, guard, schemas, database)
    routes |= {
        ingest_policies.HEALTH_PATH: CloudHealth(HealthContext(guard, ingest_policies.HEALTH_ALL, database)),
        ingest_policies.HEALTH_CHECK_PATH: HealthCheckRun(guard, conf),
    }
    api = Api(
        document,
        DOCUMENT,
        ingest.auth_mode,
        public=frozenset({ingest_policies.KEYS_PATH}),
        signed=frozenset({ingest_policies.HANDLED_PATH}),
    )
    return http_application.create(conf, api, routes, bad_requests=[BadMarker, BadParameter])


def _gateway(conf: cfg.ConfigOpts, transport: Any) -> Gateway:
    group = conf[GROUP]
    status = BrokerStatus(f"{bus.describe(conf)} topic {group.topic}", time.monotonic)
    split = Partitioning.configured(conf).split
    send = bus.events_sender(
        transport, split=split, exchange=group.exchange, publisher_id="eventalarm.ingest"
    )
    return Gateway(send, conf[INGEST_GROUP].max_message_size, status)


def _maintenance(
    conf: cfg.ConfigOpts, guard: Guard, schemas: Schemas, gateway: Gateway, database: Callable[[], Database]
) -> dict[str, Any]:
    """Return the resources of planned maintenance by their paths."""
    ingest = conf[INGEST_GROUP]
    answers = AnswerSender(delivery_options.from_conf(conf), ingest.maintenance_token_hosts)
    context = SessionContext(guard, schemas, database, answers, ingest.max_body_size)
    hosts = HostContext(
        guard,
        schemas,
        database,
        gateway,
        max_body=ingest.max_body_size,
        retry_after=ingest.retry_after,
        timeout=datetime.timedelta(seconds=conf[INSPECTOR_GROUP].maintenance_timeout),
    )
    return {
        ingest_policies.SESSIONS_PATH: SessionList(context),
        ingest_policies.SESSION_PATH: Session(context),
        ingest_policies.ANSWER_PATH: SessionAnswer(context),
        ingest_policies.HOST_PATH: HostMaintenanceResource(hosts),
    }


def _signatures(
    conf: cfg.ConfigOpts, guard: Guard, schemas: Schemas, database: Callable[[], Database]
) -> dict[str, Any]:
    """Return the resources of the signatures of webhooks by their paths.

    :raises InvalidOption: when a key is not valid.
    """
    ingest = conf[INGEST_GROUP]
    context = SecretContext(
        guard,
        schemas,
        database,
        Vault(conf[IFA_GROUP].credentials_key),
        overlap=ingest.secret_overlap,
        max_body=ingest.max_body_size,
    )
    return {
        ingest_policies.SIGNING_PATH: ProjectSecretResource(context),
        ingest_policies.ROTATION_PATH: SecretRotation(context),
        ingest_policies.KEYS_PATH: PublicKeys(SigningKeys(conf[DELIVERY_GROUP].signing_key)),
    }


def _deliveries(
    conf: cfg.ConfigOpts, guard: Guard, schemas: Schemas, database: Callable[[], Database]
) -> dict[str, Any]:
    """Return the resources of deliveries by their paths."""
    ingest = conf[INGEST_GROUP]
    context = DeliveryContext(
        guard,
        ingest_policies.DELIVERY_ALL,
        schemas,
        database,
        page_size=ingest.page_size,
        max_replay=ingest.max_replay,
        attempts_kept=conf[DELIVERY_GROUP].attempts_kept,
        max_body=ingest.max_body_size,
        operational_events=conf[GROUP].operational_events,
    )
    return {
        ingest_policies.DELIVERIES_PATH: DeliveryList(context),
        ingest_policies.DELIVERY_PATH: OneDelivery(context),
        ingest_policies.RETRY_PATH: DeliveryRetry(context),
        ingest_policies.REPLAY_PATH: DeliveryReplay(context),
        ingest_policies.DESTINATIONS_PATH: DestinationList(context),
        ingest_policies.ENABLING_PATH: DestinationEnabling(context),
        ingest_policies.PROFILES_PATH: ProfileList(context),
        ingest_policies.HANDLED_PATH: Handled(
            HandledContext(
                guard, schemas, database, Vault(conf[IFA_GROUP].credentials_key), ingest.max_body_size
            )
        ),
    }


def _recorded_events(
    conf: cfg.ConfigOpts, guard: Guard, reports: Events, database: Callable[[], Database]
) -> dict[str, Any]:
    """Return the resources of recorded events by their paths; *reports* accepts new events."""
    group = conf[GROUP]
    context = EventContext(guard, ingest_policies.EVENT_ALL, database, conf[INGEST_GROUP].page_size)
    return {
        ingest_policies.EVENTS_PATH: AllEvents(reports, context),
        ingest_policies.EVENT_PATH: OneEvent(context),
        ingest_policies.EXPLAIN_PATH: EventExplanation(
            context, tuple(group.resource_traits), group.clear_event_alarms
        ),
    }


def _forms(conf: cfg.ConfigOpts, schemas: Schemas, bounds: Bounds, reader: EventReader) -> dict[str, Reading]:
    """Return what reads the requests of each path.

    :raises InvalidOption: naming the option that cannot be used.
    """
    group = conf[GROUP]
    try:
        catalogue = fault_files.load(group.fault_catalogue)
    except BadFile as exc:
        raise InvalidOption("fault_catalogue", exc.problem, exc.remedy) from exc
    event_types = tuple(conf[INGEST_GROUP].alert_event_types.items())
    for name, kind in event_types:
        if not name or not kind:
            problem = f"{name!r} has no event type" if name else f"no name of an alert for {kind!r}"
            raise InvalidOption("alert_event_types", problem, "write NAME:EVENT_TYPE,NAME:EVENT_TYPE")
    converter = ReportConverter(catalogue, event_types, group.resource_traits)

    def monitor(schema: str, read: Callable[[Any], Iterator[tuple[str, Report]]]) -> Reading:
        return MonitorReader(schemas, bounds, converter, schema, read).events

    return {
        ingest_policies.EVENTS_PATH: reader.events,
        ingest_policies.ALERTMANAGER_PATH: monitor("AlertmanagerWebhook", read_alertmanager),
        ingest_policies.ZABBIX_PATH: monitor("ZabbixProblem", read_zabbix),
        ingest_policies.COLLECTD_PATH: monitor("CollectdNotifications", read_collectd),
    }


def _simulation_options(group: Any) -> SimulationOptions:
    return SimulationOptions(
        resource_traits=tuple(group.resource_traits),
        clear_mode=group.clear_event_alarms,
        max_occurrences=group.max_occurrences_per_alarm,
        max_objects=group.max_objects_per_group,
        max_clock_skew=group.max_clock_skew,
    )


def _dry_run_options(group: Any, ingest: Any) -> DryRunOptions:
    return DryRunOptions(
        owner_traits=tuple(group.owner_traits),
        resource_traits=tuple(group.resource_traits),
        infrastructure_projects=tuple(group.infrastructure_projects),
        clear_mode=group.clear_event_alarms,
        rule=rule_limits(group),
        event=event_limits(group),
        max_body=ingest.max_body_size,
    )
