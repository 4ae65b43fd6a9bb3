"""Builds the consumer of the event queue with its batch handler from the options."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable

from oslo_config import cfg

from eventalarm import bus
from eventalarm import conf as options
from eventalarm.app.broker_report import BrokerReport
from eventalarm.app.resender import Resender, counts_deliveries
from eventalarm.app.signals import ProcessSignals
from eventalarm.backoff import Backoff
from eventalarm.evaluator.cache_watch import CacheWatch
from eventalarm.evaluator.consumer import ListenerOptions
from eventalarm.evaluator.definitions_cache import AlarmCache
from eventalarm.evaluator.engine import Engine
from eventalarm.evaluator.handler import BatchHandler
from eventalarm.evaluator.interruptions import Interruptions
from eventalarm.evaluator.listener import BatchServer
from eventalarm.evaluator.locked_alarms import LockedRetry
from eventalarm.evaluator.options import event_limits
from eventalarm.evaluator.outage import DatabaseOutage
from eventalarm.evaluator.project_loader import ProjectLoader
from eventalarm.evaluator.redelivery import Redelivery, RedeliveryOptions
from eventalarm.metrics import Metrics
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

        locked_retry = LockedRetry(lambda what: server.resume(what))  # noqa: PLW0108 - made below
        self._stack.callback(locked_retry.stop)
        handler = BatchHandler(
            engine,
            self._metrics,
            self._build_outage(),
            loader=loader,
            locked_retry=locked_retry,
            cache_watch=CacheWatch(cache, self._metrics),
            limits=event_limits(group),
            trace=self._signals.trace,
            pulse=self._signals.last_event,
            progress=self._signals.progress,
            prepare=self._prepare,
        )
        listener_options = ListenerOptions(
            group.topic, group.exchange, group.batch_size, first_prefetch=group.first_prefetch
        )
        server = BatchServer(
            bus.get_transport(self._conf, prefetch=group.prefetch),
            listener_options,
            handler,
            redelivery=self._build_redelivery(),
            interruptions=self._build_interruptions(),
            report=BrokerReport(bus.describe(self._conf)),
        )
        return server, loader

    def _build_outage(self) -> DatabaseOutage:
        group = self._conf[options.GROUP]
        return DatabaseOutage(
            self._metrics,
            self._signals.stopping,
            Backoff(group.retry_initial, group.retry_max),
            self._database,
            hold=group.hold_batch if counts_deliveries(self._conf) else math.inf,
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

    def _build_interruptions(self) -> Interruptions:
        return Interruptions(
            Suspects(self._database),
            self._metrics,
            most=self._conf[options.GROUP].max_interruptions,
            set_aside=self._resender.set_aside,
        )
