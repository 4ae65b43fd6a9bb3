"""Builds the consumer of the event queue with its batch handler from the options."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence

from oslo_config import cfg

from eventalarm import bus
from eventalarm import conf as options
from eventalarm.app.broker_report import BrokerReport
from eventalarm.app.resender import Resender, counts_deliveries
from eventalarm.app.signals import ProcessSignals
from eventalarm.backoff import Backoff
from eventalarm.evaluator.cache_watch import CacheWatch
from eventalarm.evaluator.definitions_cache import AlarmCache
from eventalarm.evaluator.engine import Engine
from eventalarm.evaluator.handler import BatchHandler, Readiness
from eventalarm.evaluator.interruptions import Interruptions
from eventalarm.evaluator.listener import BatchServer
from eventalarm.evaluator.locked_alarms import LOCKED, LockedRetry
from eventalarm.evaluator.options import event_limits
from eventalarm.evaluator.project_loader import ProjectLoader
from eventalarm.evaluator.redelivery import Redelivery, RedeliveryOptions
from eventalarm.metrics import Metrics
from eventalarm.model import Event, JSONDict
from eventalarm.storage import blame
from eventalarm.storage.database import Database
from eventalarm.storage.suspects import Suspects


class ConsumerAssembly:
    """Builds the consumer of one listener process.

    :param signals: what the consumer shares with the rest of the process.
    :param stack: closes what the consumer opens, in reverse order.
    :param prepare: called in the evaluating thread before the first message is taken.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        database: Database,
        metrics: Metrics,
        signals: ProcessSignals,
        *,
        stack: contextlib.ExitStack,
        prepare: Callable[[], None],
    ) -> None:
        self._conf = conf
        self._database = database
        self._metrics = metrics
        self._signals = signals
        self._stack = stack
        self._prepare = prepare
        self._resender = Resender(conf)
        stack.callback(self._resender.close)

    def build(self, engine: Engine, cache: AlarmCache) -> tuple[BatchServer, ProjectLoader]:
        """Return the consumer, not yet started, and the loader of large projects."""
        group = self._conf[options.GROUP]
        loader = ProjectLoader(cache, lambda project_id: server.resume(project_id))  # noqa: PLW0108 - made below

        def resumed(what: str) -> None:
            engine.retry_locked() if what == LOCKED else loader.release(what)

        locked_retry = LockedRetry(lambda what: server.resume(what))  # noqa: PLW0108 - made below
        self._stack.callback(locked_retry.stop)
        handler = self._build_handler(engine, cache, loader=loader, when_locked=locked_retry)

        def dropped() -> None:
            handler.forget_unfinished()
            engine.forget_unfinished()

        def handle(messages: Sequence[JSONDict]) -> dict[int, str] | None:
            with self._signals.progress.work():
                return handler(messages)

        server = BatchServer(
            bus.get_transport(self._conf, prefetch=group.prefetch),
            topic=group.topic,
            exchange=group.exchange,
            handler=handle,
            batch_size=group.batch_size,
            resumed=resumed,
            dropped=dropped,
            ready=self._build_readiness(lambda: server.release()),  # noqa: PLW0108 - made here
            redelivery=self._build_redelivery(),
            interruptions=self._build_interruptions(),
            first_prefetch=group.first_prefetch,
            report=BrokerReport(bus.describe(self._conf)),
            prepare=self._prepare,
        )
        return server, loader

    def _build_handler(
        self,
        engine: Engine,
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
            self._metrics,
            self._signals.stopping,
            when_locked=when_locked,
            backoff=Backoff(group.retry_initial, group.retry_max),
            limits=event_limits(group),
            trace=self._signals.trace,
            pulse=self._signals.last_event,
            after_batch=CacheWatch(cache, self._metrics),
            awaits=awaits,
            hold=group.hold_batch if counts_deliveries(self._conf) else math.inf,
            answers=lambda: blame.answers(self._database),
            culprit=blame.may_be_content,
        )

    def _build_redelivery(self) -> Redelivery | None:
        if not counts_deliveries(self._conf):
            return None
        group = self._conf[options.GROUP]
        return Redelivery(
            RedeliveryOptions(renew_after=group.renew_after, most=group.max_deliveries),
            self._metrics,
            renew=self._resender.renew,
            set_aside=self._resender.set_aside,
        )

    def _build_readiness(self, away: Callable[[], None]) -> Readiness:
        group = self._conf[options.GROUP]
        return Readiness(
            self._database.now,
            self._signals.stopping,
            backoff=Backoff(group.retry_initial, group.retry_max),
            away=away,
        )

    def _build_interruptions(self) -> Interruptions:
        return Interruptions(
            Suspects(self._database),
            self._metrics,
            most=self._conf[options.GROUP].max_interruptions,
            set_aside=self._resender.set_aside,
        )
