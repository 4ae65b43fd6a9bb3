"""The wiring: configuration in, running parts out. The only module that knows everything."""

from __future__ import annotations

import contextlib
import functools
import gc
import logging
import math
import pathlib
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import cotyledon
import cotyledon.types
import oslo_messaging
from oslo_config import cfg

from eventalarm import broker, bus, service
from eventalarm import conf as options
from eventalarm.backoff import Backoff
from eventalarm.delivery import enqueue
from eventalarm.delivery import options as delivery_options
from eventalarm.delivery import worker as worker_module
from eventalarm.delivery.options import DeliveryOptions
from eventalarm.delivery.senders.aodh_topic import AodhTopicSender
from eventalarm.delivery.senders.base import Router, Sender, TracedSender
from eventalarm.delivery.senders.http import HttpSender
from eventalarm.delivery.senders.plugins import PluginSender
from eventalarm.delivery.senders.trust import TrustSender
from eventalarm.evaluator import decide
from eventalarm.evaluator.cache_watch import CacheWatch
from eventalarm.evaluator.definitions_cache import AlarmCache, CacheOptions
from eventalarm.evaluator.engine import BatchReport, Engine, EngineOptions
from eventalarm.evaluator.handler import BatchHandler, Readiness
from eventalarm.evaluator.interruptions import Interruptions
from eventalarm.evaluator.listener import PRIORITY, BatchServer
from eventalarm.evaluator.locked_alarms import LOCKED, LockedRetry
from eventalarm.evaluator.options import event_limits
from eventalarm.evaluator.project_loader import ProjectLoader
from eventalarm.evaluator.redelivery import Redelivery, RedeliveryOptions
from eventalarm.evaluator.rehearsal import rehearse
from eventalarm.evaluator.timer_loop import TimerLoop
from eventalarm.evaluator.timer_service import TimerRunner
from eventalarm.evaluator.unit_of_work import Enqueuer
from eventalarm.exceptions import InvalidRule, Retryable
from eventalarm.ifa_shim.subscriptions import build as build_module
from eventalarm.metrics import Metrics
from eventalarm.metrics_server import Endpoint, check_free, shared_folder
from eventalarm.model import AlarmDefinition, Event, JSONDict, Transition
from eventalarm.storage import blame
from eventalarm.storage.alarms import AlarmReader
from eventalarm.storage.database import Database
from eventalarm.storage.outbox import Outbox
from eventalarm.storage.suspects import Suspects
from eventalarm.trace import LastEvent, Trace
from eventalarm.watchdog import Loop, Progress, Watchdog

LOG = logging.getLogger(__name__)

S = TypeVar("S")

ALARM_TYPES = (decide.EVENT_TYPE, decide.NOTIFICATION_TYPE)
STOP_GRACE = 10.0
SWITCH_INTERVAL = 0.0005


def check_options(conf: cfg.ConfigOpts) -> None:
    """Find options that can never work before anything is started.

    :raises InvalidOption: naming the option and the remedy.
    """
    service.database_url(conf)
    delivery_options.from_conf(conf)
    bus.get_transport(conf).cleanup()


def _counts_deliveries(conf: cfg.ConfigOpts) -> bool:
    """Return True if the broker takes back messages and can count that: RabbitMQ."""
    return bus.driver_name(bus.transport_url(conf)) in bus.RABBIT_DRIVERS


def build_sender(
    conf: cfg.ConfigOpts, settings: DeliveryOptions, subscribers: Sender | None = None
) -> Sender:
    """Assemble the ways to carry out actions: ours or aodh-notifier's; *subscribers* are always ours."""
    if settings.mode == "aodh":
        # Not ours but aodh-notifier's queue: declared as Aodh declares it.
        transport = oslo_messaging.get_notification_transport(conf)

        def publish(payload: JSONDict) -> None:
            bus.send(
                transport,
                topic=conf.notifier_topic,
                exchange=conf.control_exchange,
                event_type="alarm.update",
                payload=payload,
            )

        return Router({}, AodhTopicSender(publish, settings), subscribers, settings.action_schemes)
    http = HttpSender(settings)
    trust = TrustSender(conf, settings, http)
    senders: dict[str, Sender] = {"http": http, "https": http, "trust+http": trust, "trust+https": trust}
    senders |= build_module.action_senders(conf, http)
    return Router(senders, PluginSender(conf, settings), subscribers, settings.action_schemes)


def build_cache(conf: cfg.ConfigOpts, database: Database, metrics: Metrics) -> AlarmCache:
    """Assemble the cache of alarm definitions from the options."""
    group = conf[options.GROUP]

    def bad_rule(definition: AlarmDefinition, error: InvalidRule) -> None:
        metrics.count("bad_rules", field=error.field.partition("[")[0])
        LOG.warning("Alarm %s cannot be evaluated: %s", definition.alarm_id, error)

    def crowded(project_id: str, scanned: int) -> None:
        metrics.count("crowded_projects")
        LOG.warning(
            "Every event of project %s may be tested against %d rules, since they have no equality: give "
            "them a condition eq or in on a trait, or a resource_id (option max_scan_groups)",
            project_id or "(none)",
            scanned,
        )

    return AlarmCache(
        AlarmReader(database, ALARM_TYPES, group.full_reload_interval),
        CacheOptions(
            resource_traits=tuple(group.resource_traits),
            overlap=group.definitions_overlap,
            reload_interval=group.full_reload_interval,
            max_alarms=group.max_cached_alarms,
            max_scan_groups=group.max_scan_groups,
        ),
        clears=lambda definition: decide.clears(group.clear_event_alarms, definition),
        bad_rule=bad_rule,
        crowded=crowded,
        monotonic=time.monotonic,
    )


def build_engine(
    conf: cfg.ConfigOpts,
    database: Database,
    cache: AlarmCache,
    letters: Enqueuer[S],
    trace: Trace | None = None,
    *,
    step: Callable[[], None] = lambda: None,
) -> Engine[S]:
    """Assemble the evaluator from the options."""
    group = conf[options.GROUP]
    engine_options = EngineOptions(
        types=ALARM_TYPES,
        owner_traits=tuple(group.owner_traits),
        resource_traits=tuple(group.resource_traits),
        infrastructure_projects=tuple(group.infrastructure_projects),
        clear_mode=group.clear_event_alarms,
        record_history=conf.record_history,
        beside_aodh_listener=group.beside_aodh_listener,
        max_candidates=group.max_candidates,
        max_occurrences=group.max_occurrences_per_alarm,
        max_event_size=group.max_event_size,
        max_transaction_size=group.max_transaction_size,
        max_batch_time=group.max_batch_time,
    )
    return Engine(database, cache, letters, engine_options, trace=trace, step=step)


def build_timers(
    conf: cfg.ConfigOpts, database: Database, cache: AlarmCache, letters: Enqueuer[S], metrics: Metrics
) -> TimerLoop:
    """Assemble what makes timers fire from the options; they are counted like what events do."""
    group = conf[options.GROUP]

    def report(transitions: Sequence[Transition], reasons: Counter[str]) -> None:
        for transition in transitions:
            metrics.count("transitions", kind=transition.kind.value)
        for reason, number in reasons.items():
            metrics.count("timers", number, reason=reason)

    runner = TimerRunner(
        database,
        cache,
        letters,
        record_history=conf.record_history,
        overlap=group.definitions_overlap,
        look_at_all=group.full_reload_interval,
        max_occurrences=group.max_occurrences_per_alarm,
        report=report,
    )
    return TimerLoop(runner.step, database.leave)


class BrokerReport:
    """Says once why the broker does not let us consume any more, and once that it does again."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._said = ""

    def __call__(self, error: Exception | None) -> None:
        """Take note of an error, or of its end."""
        if error is None:
            if self._said:
                LOG.warning("The broker %s lets us take messages again", self._where)
            self._said = ""
            return
        text = str(broker.unusable(error))
        if text != self._said:
            LOG.error("The broker %s does not let us take messages: %s", self._where, text)
        self._said = text


class ListenerProcess:
    """Everything that one listener process runs: the bus edge, the evaluator and the delivery worker.

    :param trace: somebody who watches single events pass, as the demo does.
    :param own_process: whether the process is ours alone, so that it may end when a thread stands still.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        metrics: Metrics | None = None,
        trace: Trace | None = None,
        *,
        own_process: bool = False,
    ) -> None:
        self._conf = conf
        self._trace = trace
        self.metrics = metrics or Metrics()
        self._pulse = LastEvent()
        self._progress = Progress()
        self._sending = functools.cache(lambda: bus.get_transport(conf))
        self._own_process = own_process
        self._stopping = threading.Event()
        self._stops: list[Callable[[], Any]] = []
        self._server: BatchServer | None = None

    def start(self) -> None:
        """Wait for database and broker, then begin to work; returns when messages are being taken.

        :raises InvalidOption: when an option can never work.
        """
        database = service.wait_for_database(self._conf, self._stopping)
        if database is None:
            return
        self._stops.append(database.dispose)
        notifications = build_module.Notifications(self._conf, database)
        worker = self._start_delivery(database, notifications)
        self._stops.append(lambda: worker.stop(STOP_GRACE))
        letters = enqueue.OutboxEnqueuer(Outbox(database), worker, announcer=notifications.publisher)
        cache = build_cache(self._conf, database, self.metrics)
        engine = build_engine(self._conf, database, cache, letters, self._trace, step=self._progress.step)
        server, loader = self._build_server(database, engine, cache)
        LOG.info("Waiting for the broker")
        if not service.wait_for_broker(self._conf, self._stopping):
            return
        server.begin()
        self._server = server
        self._stops.extend((server.wait, server.stop, loader.stop))
        if self._conf[options.GROUP].preload:
            loader.preload()
        timers = build_timers(self._conf, database, cache, letters, self.metrics)
        timers.start()
        self._stops.append(timers.stop)
        notifier = notifications.notifier(worker)
        notifier.start()
        self._stops.append(notifier.stop)
        self._watch(worker)
        LOG.info("Listening on topic %s", self._conf[options.GROUP].topic)

    def _watch(self, worker: worker_module.DeliveryWorker) -> None:
        group = self._conf[options.GROUP]
        watchdog = Watchdog(
            warn=group.watchdog_warn,
            exit_after=group.watchdog_exit if self._own_process else 0.0,
            stalled=lambda name: self.metrics.count("stalls", thread=name),
            own_process=self._own_process,
        )
        watchdog.watch("evaluator", self._progress)
        watchdog.watch("delivery loop", Loop(worker.call_soon))
        watchdog.start()
        self._stops.append(watchdog.stop)

    def _rehearse(self, database: Database) -> None:
        """Evaluate an event of ours, so that the first real one finds everything warm."""

        def build(within: Database) -> Callable[[list[Event]], BatchReport]:
            unsent = enqueue.OutboxEnqueuer(Outbox(within), enqueue.NoWorker())
            cache = build_cache(self._conf, within, self.metrics)
            return build_engine(self._conf, within, cache, unsent).process

        rehearse(database, build, self._conf[options.GROUP].owner_traits[0])
        with contextlib.suppress(Retryable):
            # Both connections stay with the thread that evaluates: making one takes longer than an event.
            database.now()
            with database.begin():
                pass

    def _start_delivery(
        self, database: Database, notifications: build_module.Notifications
    ) -> worker_module.DeliveryWorker:
        settings = delivery_options.from_conf(self._conf)
        sender = self._watched(build_sender(self._conf, settings, notifications.sender(settings)))
        worker = worker_module.DeliveryWorker(
            Outbox(database),
            sender,
            settings,
            host=socket.gethostname(),
            metrics=self.metrics,
            last_event=self._pulse,
            on_database_failure=self._suspect,
        )
        worker.start()
        return worker

    def _suspect(self) -> None:
        """Let the listener find out whether the database is away, before it is handed messages."""
        if self._server is not None and not self._stopping.is_set():
            self._server.suspect()

    def _watched(self, sender: Sender) -> Sender:
        return sender if self._trace is None else TracedSender(sender, self._trace)

    def _build_server(
        self, database: Database, engine: Engine[Any], cache: AlarmCache
    ) -> tuple[BatchServer, ProjectLoader]:
        group = self._conf[options.GROUP]
        loader = ProjectLoader(cache, lambda project_id: server.resume(project_id))  # noqa: PLW0108 - made below

        def resumed(what: str) -> None:
            engine.retry_locked() if what == LOCKED else loader.release(what)

        locked_retry = LockedRetry(lambda what: server.resume(what))  # noqa: PLW0108 - made below
        self._stops.append(locked_retry.stop)
        handler = self._build_handler(database, engine, cache, loader=loader, when_locked=locked_retry)

        def dropped() -> None:
            handler.forget_unfinished()
            engine.forget_unfinished()

        def handle(messages: Sequence[JSONDict]) -> dict[int, str] | None:
            with self._progress.work():
                return handler(messages)

        server = BatchServer(
            bus.get_transport(self._conf, prefetch=group.prefetch),
            topic=group.topic,
            exchange=group.exchange,
            handler=handle,
            batch_size=group.batch_size,
            resumed=resumed,
            dropped=dropped,
            ready=self._build_readiness(database, lambda: server.release()),  # noqa: PLW0108 - made here
            redelivery=self._build_redelivery(),
            interruptions=self._build_interruptions(database),
            first_prefetch=group.first_prefetch,
            report=BrokerReport(bus.describe(self._conf)),
            prepare=lambda: self._rehearse(database),
        )
        return server, loader

    def _build_handler(
        self,
        database: Database,
        engine: Engine[Any],
        cache: AlarmCache,
        *,
        loader: ProjectLoader,
        when_locked: LockedRetry,
    ) -> BatchHandler:
        group = self._conf[options.GROUP]

        def awaits(event: Event) -> str | None:
            return next((p for p in engine.projects(event) if not loader.ready(p)), None)

        return BatchHandler(
            engine,
            self.metrics,
            self._stopping,
            when_locked=when_locked,
            backoff=Backoff(group.retry_initial, group.retry_max),
            limits=event_limits(group),
            trace=self._trace,
            pulse=self._pulse,
            after_batch=CacheWatch(cache, self.metrics),
            awaits=awaits,
            hold=group.hold_batch if _counts_deliveries(self._conf) else math.inf,
            answers=lambda: blame.answers(database),
            culprit=blame.may_be_content,
        )

    def _send_again(self, message: JSONDict, priority: str) -> None:
        group = self._conf[options.GROUP]
        bus.resend(self._sending(), message, topic=group.topic, exchange=group.exchange, priority=priority)

    def _build_redelivery(self) -> Redelivery | None:
        if not _counts_deliveries(self._conf):
            return None
        group = self._conf[options.GROUP]
        return Redelivery(
            RedeliveryOptions(renew_after=group.renew_after, most=group.max_deliveries),
            self.metrics,
            renew=lambda message: self._send_again(message, PRIORITY),
            set_aside=lambda message: self._send_again(message, bus.DEAD),
        )

    def _build_readiness(self, database: Database, away: Callable[[], None]) -> Readiness:
        group = self._conf[options.GROUP]
        return Readiness(
            database.now,
            self._stopping,
            backoff=Backoff(group.retry_initial, group.retry_max),
            away=away,
        )

    def _build_interruptions(self, database: Database) -> Interruptions:
        return Interruptions(
            Suspects(database),
            self.metrics,
            most=self._conf[options.GROUP].max_interruptions,
            set_aside=lambda message: self._send_again(message, bus.DEAD),
        )

    def stop(self) -> None:
        """Finish the batch in hand and the calls under way, give back the rest; safe to call twice."""
        self._stopping.set()
        if self._server is not None:
            self._server.end()
        while self._stops:
            self._stops.pop()()


class ListenerService(cotyledon.Service):
    """One listener process under cotyledon."""

    name = "eventalarm-listener"

    def __init__(self, worker_id: cotyledon.types.WorkerId, conf: cfg.ConfigOpts) -> None:
        super().__init__(worker_id)
        self._process = ListenerProcess(conf, own_process=True)

    def run(self) -> None:
        """Start working; called by cotyledon in the new process."""
        self._process.start()
        # Modules and options stay for good; walking through them would pause the process again and again.
        gc.collect()
        gc.freeze()
        # A project that is loaded aside is work without a pause. Those who do wait for the database or for a
        # webhook get the interpreter back this soon, ten times for an event.
        sys.setswitchinterval(SWITCH_INTERVAL)

    def terminate(self) -> None:
        """Stop on SIGTERM."""
        self._process.stop()


class EndpointService(cotyledon.Service):
    """The Prometheus endpoint under cotyledon, in a process of its own."""

    name = "eventalarm-metrics"

    def __init__(
        self, worker_id: cotyledon.types.WorkerId, conf: cfg.ConfigOpts, folder: pathlib.Path
    ) -> None:
        super().__init__(worker_id)
        group = conf[options.GROUP]
        self._endpoint = Endpoint(
            folder,
            group.metrics_host,
            group.metrics_port,
            lambda: service.database(conf),
            group.metrics_outbox_interval,
        )

    def run(self) -> None:
        """Begin to answer; called by cotyledon in the new process."""
        self._endpoint.start()

    def terminate(self) -> None:
        """Stop on SIGTERM."""
        self._endpoint.stop()


def run_listener(conf: cfg.ConfigOpts) -> None:
    """Run ``[eventalarm] workers`` listener processes until told to stop, and their endpoint for metrics.

    :raises InvalidOption: when the endpoint cannot be opened.
    """
    group = conf[options.GROUP]
    with contextlib.ExitStack() as stack:
        folder = None
        if group.metrics_port:
            check_free(group.metrics_host, group.metrics_port)
            folder = stack.enter_context(shared_folder())
        manager = cotyledon.ServiceManager()
        manager.add(ListenerService, workers=group.workers, args=(conf,))
        if folder is not None:
            manager.add(EndpointService, workers=1, args=(conf, folder))
        manager.run()
