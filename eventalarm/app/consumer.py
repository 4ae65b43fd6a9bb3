"""Builds the consumer of the event queue with its batch handler from the options."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import threading
import time
from collections.abc import Callable, Collection
from typing import Any, Final

from oslo_config import cfg

from eventalarm import broker, bus
from eventalarm import conf as options
from eventalarm.app import partitions
from eventalarm.backoff import Backoff
from eventalarm.evaluator.definitions_cache import AlarmCache
from eventalarm.evaluator.engine import Engine
from eventalarm.evaluator.handler import BatchHandler, CacheWatch
from eventalarm.evaluator.listener import BatchServer
from eventalarm.evaluator.options import ListenerOptions, RedeliveryOptions, event_limits
from eventalarm.evaluator.outage import DatabaseOutage, LockedRetry
from eventalarm.evaluator.project_loader import ProjectLoader
from eventalarm.evaluator.redelivery import Interruptions, Redelivery
from eventalarm.metrics import Metrics
from eventalarm.model import JSONDict
from eventalarm.storage.database import Database
from eventalarm.storage.events import Suspects
from eventalarm.trace import LastEvent, Trace
from eventalarm.watchdog import Progress

LOG = logging.getLogger(__name__)

# Seconds of a poll after which the broker is considered not to answer: several times what one takes.
LONGEST_POLL: Final = 5.0


@dataclasses.dataclass(frozen=True)
class ProcessSignals:
    """Shared state of one listener process; each member is safe to use from any thread."""

    trace: Trace | None = None
    stopping: threading.Event = dataclasses.field(default_factory=threading.Event)
    last_event: LastEvent = dataclasses.field(default_factory=LastEvent)
    progress: Progress = dataclasses.field(default_factory=Progress)


class BrokerReport:
    """Logs once why the broker refuses the consumer, and once when messages are consumed again.

    :param where: the broker, for the log.
    """

    def __init__(self, where: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._where = where
        self._monotonic = monotonic
        self._reported = ""
        self._polls: dict[int, float] = {}

    @property
    def failing(self) -> bool:
        """True while the broker refuses the consumer, or has not answered a poll for LONGEST_POLL seconds."""
        before = self._monotonic() - LONGEST_POLL
        return bool(self._reported) or any(began < before for began in list(self._polls.values()))

    def begins(self) -> None:
        """Record that a poll of the calling thread begins."""
        self._polls[threading.get_ident()] = self._monotonic()

    def __call__(self, error: Exception | None) -> None:
        """Record the end of the poll and log its *error*; None means that messages are consumed."""
        self._polls.pop(threading.get_ident(), None)
        if error is None:
            if self._reported:
                LOG.warning("Consuming messages from the broker %s again", self._where)
            self._reported = ""
            return
        text = str(broker.unusable(error))
        if text != self._reported:
            LOG.error("Cannot consume messages from the broker %s: %s", self._where, text)
        self._reported = text


def counts_deliveries(conf: cfg.ConfigOpts) -> bool:
    """Return True if the broker counts the deliveries of a message that was returned to it: RabbitMQ."""
    return bus.driver_name(bus.transport_url(conf)) in bus.RABBIT_DRIVERS


class Resender:
    """Publishes messages to the topic of the listener over a transport that is opened on first use."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._conf = conf
        self._transport: Any = None

    def renew(self, message: JSONDict, routing_key: str) -> None:
        """Publish *message* again to its topic, so that the broker counts its deliveries from zero."""
        self._send(message, routing_key.removesuffix(f".{bus.PRIORITY}"), bus.PRIORITY)

    def set_aside(self, message: JSONDict) -> None:
        """Publish *message* to the queue of dead messages, which no listener consumes."""
        self._send(message, "", bus.DEAD)

    def _send(self, message: JSONDict, topic: str, priority: str) -> None:
        group = self._conf[options.GROUP]
        if self._transport is None:
            self._transport = bus.get_transport(self._conf)
        bus.resend(
            self._transport, message, topic=topic or group.topic, exchange=group.exchange, priority=priority
        )

    def close(self) -> None:
        """Close the transport if it was opened; a later message opens it again."""
        if self._transport is not None:
            self._transport.cleanup()
            self._transport = None


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
        self.report = BrokerReport(bus.describe(conf))
        stack.callback(self._resender.close)

    def build(self, engine: Engine, cache: AlarmCache) -> tuple[partitions.Consumer, ProjectLoader]:
        """Return the consumer, not yet started, and the loader of large projects.

        :raises Retryable: when the database failed.
        """
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
            last_event=self._signals.last_event,
            progress=self._signals.progress,
            prepare=self._prepare,
        )
        definitions = partitions.Definitions(
            cache, loader, group.partitions, group.infrastructure_projects, group.preload
        )
        server = partitions.build(
            self._conf, self._database, handler, definitions, self._server_builder(handler)
        )
        return server, loader

    def _server_builder(self, handler: BatchHandler) -> partitions.BuildServer:
        group = self._conf[options.GROUP]
        transport = bus.get_transport(self._conf, prefetch=group.prefetch)
        listener_options = ListenerOptions(group.topic, group.exchange, group.batch_size)
        redelivery, interruptions = self._build_redelivery(), self._build_interruptions()

        def build(topics: Collection[str], gated: Collection[str]) -> BatchServer:
            # Raising the prefetch count returns what was taken: a queue whose messages were returned before
            # would deliver those that it still holds first.
            first = group.prefetch if topics else group.first_prefetch
            return BatchServer(
                transport,
                dataclasses.replace(listener_options, first_prefetch=first),
                handler,
                redelivery=redelivery,
                interruptions=interruptions,
                report=self.report,
                topics=list(topics),
                gated=gated,
            )

        return build

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
