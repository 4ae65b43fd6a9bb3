"""One listener process: starts the consumer, the timers, the delivery worker and the subscriptions."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Callable

from oslo_config import cfg

from eventalarm import conf as options
from eventalarm.app import waiting
from eventalarm.app.build import build_cache, build_engine, build_recorder, build_sender, build_timers
from eventalarm.app.consumer import ConsumerAssembly, ProcessSignals
from eventalarm.app.partitions import Consumer
from eventalarm.app.worker_states import Lack
from eventalarm.delivery import enqueue, spans
from eventalarm.delivery import options as delivery_options
from eventalarm.delivery import worker as worker_module
from eventalarm.delivery.profiling import ProfileObserver
from eventalarm.delivery.senders import signer as signer_module
from eventalarm.delivery.senders.base import Sender, TracedSender
from eventalarm.evaluator.batch import BatchReport
from eventalarm.evaluator.definitions_cache import AlarmCache
from eventalarm.evaluator.listener import BatchServer
from eventalarm.evaluator.rehearsal import rehearse
from eventalarm.exceptions import InvalidRule, Retryable
from eventalarm.ifa_shim.subscriptions import build as build_module
from eventalarm.metrics import Metrics
from eventalarm.model import AlarmDefinition, Event, OperationalType
from eventalarm.operational import build as operational
from eventalarm.storage.database import Database
from eventalarm.storage.outbox import Outbox
from eventalarm.trace import Trace
from eventalarm.watchdog import Loop, Watchdog

LOG = logging.getLogger(__name__)

STOP_GRACE = 10.0

InvalidRuleHook = Callable[[AlarmDefinition, InvalidRule], None]


class ListenerProcess:
    """The consumer, the evaluator, the timers, the delivery worker and the subscriptions of one process.

    :param trace: observer of single events, used by the demo.
    :param own_process: True if nothing else runs in the process, so that the watchdog may end it.
    :param ready: called once messages are being consumed.
    :param progressing: called every few seconds while no thread is stalled, also before *ready*.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        metrics: Metrics | None = None,
        trace: Trace | None = None,
        *,
        own_process: bool = False,
        ready: Callable[[], None] = lambda: None,
        progressing: Callable[[], None] = lambda: None,
    ) -> None:
        self._conf = conf
        self.metrics = metrics or Metrics()
        self._signals = ProcessSignals(trace)
        self._own_process = own_process
        self._ready = ready
        self._watchdog = self._build_watchdog(progressing)
        self._stack = contextlib.ExitStack()
        self._server: Consumer | None = None
        self._waiting_for = Lack.DATABASE
        # What must hold besides, so that events are handled.
        self._conditions: dict[Lack, Callable[[], bool]] = {}

    def lacks(self) -> Lack:
        """Return what is missing so that messages are consumed and their deliveries sent."""
        found = self._waiting_for
        for lack, holds in list(self._conditions.items()):
            if not holds():
                found |= lack
        return found

    def start(self) -> None:
        """Wait for the database and the broker, then start; returns once messages are being consumed.

        Returns without having started everything if the process is stopped meanwhile.

        :raises InvalidOption: when an option can never work.
        :raises Retryable: when the database failed after it had answered.
        """
        self._watchdog.start()
        database = waiting.wait_for_database(self._conf, self._signals.stopping)
        if database is None:
            return
        self._stack.callback(database.dispose)
        notifications = build_module.Notifications(self._conf, database)
        worker = self._start_delivery(database, notifications)
        self._stack.callback(worker.stop, STOP_GRACE)
        self._waiting_for = Lack.BROKER
        self._conditions[Lack.LEASE] = lambda: worker.owner is not None
        enqueuer = enqueue.OutboxEnqueuer(Outbox(database), worker, announce=notifications.publisher.announce)
        cache = build_cache(self._conf, database, self.metrics, self._start_reporter(database))
        if not self._start_consumer(database, cache, enqueuer):
            return
        timers = build_timers(self._conf, database, cache, enqueuer, self.metrics)
        timers.start()
        self._stack.callback(timers.stop)
        notifier = notifications.notifier(worker)
        notifier.start()
        self._stack.callback(notifier.stop)
        self._watchdog.watch("delivery loop", Loop(worker.call_soon))
        LOG.info("Listening on topic %s", self._conf[options.GROUP].topic)
        self._ready()

    def _start_consumer(
        self, database: Database, cache: AlarmCache, enqueuer: enqueue.OutboxEnqueuer
    ) -> bool:
        """Start consuming once the broker allows it; return False if the process is stopped before."""
        assembly = ConsumerAssembly(
            self._conf,
            database,
            self.metrics,
            self._signals,
            stack=self._stack,
            prepare=lambda: self._rehearse(database),
        )
        recorder = build_recorder(self._conf, database, self.metrics)
        if recorder is not None:
            recorder.start()
            self._stack.callback(recorder.stop)
        engine = build_engine(
            self._conf,
            database,
            cache,
            enqueuer,
            self._signals.trace,
            progress=self._signals.progress,
            recorder=recorder,
        )
        server, loader = assembly.build(engine, cache)
        LOG.info("Waiting for the broker")
        if not waiting.wait_for_broker(self._conf, self._signals.stopping):
            return False
        server.begin()
        self._conditions[Lack.CONSUMER] = lambda: not assembly.report.failing
        self._server = server
        self._waiting_for = Lack.NOTHING
        for stop in (server.wait, server.stop, loader.stop):
            self._stack.callback(stop)
        if self._conf[options.GROUP].preload and isinstance(server, BatchServer):
            loader.preload()
        return True

    def _build_watchdog(self, progressing: Callable[[], None]) -> Watchdog:
        group = self._conf[options.GROUP]
        watchdog = Watchdog(
            warn=group.watchdog_warn,
            exit_after=group.watchdog_exit if self._own_process else 0.0,
            stalled=lambda name: self.metrics.count("stalls", thread=name),
            progressing=progressing,
            own_process=self._own_process,
        )
        watchdog.watch("evaluator", self._signals.progress)
        return watchdog

    def _rehearse(self, database: Database) -> None:
        """Evaluate a synthetic event, so that the first real one finds full caches and open connections."""

        def build(within: Database) -> Callable[[list[Event]], BatchReport]:
            unsent = enqueue.OutboxEnqueuer(Outbox(within), enqueue.NoWorker())
            cache = build_cache(self._conf, within, self.metrics)
            return build_engine(self._conf, within, cache, unsent).process

        rehearse(database, build, self._conf[options.GROUP].owner_traits[0])
        with contextlib.suppress(Retryable):
            # Both connections stay with the evaluating thread; opening one takes longer than an event.
            database.now()
            with database.begin():
                pass

    def _start_reporter(self, database: Database) -> InvalidRuleHook | None:
        """Start to publish operational events, unless there are none; return what takes invalid rules."""
        reported = self._conf[options.GROUP].operational_events
        if not reported:
            return None
        sender = operational.EventSender(self._conf)
        self._stack.callback(sender.close)
        reporter = operational.build_reporter(self._conf, database, sender)
        reporter.start()
        self._stack.callback(reporter.stop)
        return reporter.invalid_rule if OperationalType.RULE_INVALID.subject in reported else None

    def _start_delivery(
        self, database: Database, notifications: build_module.Notifications
    ) -> worker_module.DeliveryWorker:
        settings = delivery_options.from_conf(self._conf)
        signer = signer_module.from_conf(self._conf, database)
        subscribers = notifications.sender(settings, signer)
        sender = self._watched(build_sender(self._conf, settings, subscribers, signer))
        span_sender = spans.configured(self._conf[options.GROUP].profile_spans)
        if span_sender is not None:
            self._stack.callback(span_sender.close)
        worker = worker_module.DeliveryWorker(
            Outbox(
                database,
                settings.attempts_kept,
                self._conf[options.GROUP].operational_events,
                find_superseded=settings.skip_superseded,
            ),
            sender,
            settings,
            host=socket.gethostname(),
            metrics=self.metrics,
            last_event=self._signals.last_event,
            on_database_failure=self._suspect,
            rounds=[signer.run_once],
            profiles=ProfileObserver(self.metrics, span_sender),
        )
        worker.start()
        return worker

    def _suspect(self) -> None:
        """Let the consumer check the database before it takes more messages."""
        if self._server is not None and not self._signals.stopping.is_set():
            self._server.suspect()

    def _watched(self, sender: Sender) -> Sender:
        return sender if self._signals.trace is None else TracedSender(sender, self._signals.trace)

    def stop(self) -> None:
        """Finish the current batch and the calls in progress, return the rest; may be called twice."""
        self._signals.stopping.set()
        if self._server is not None:
            self._server.end()
        self._watchdog.stop()
        self._stack.close()
