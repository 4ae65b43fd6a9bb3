"""Builds the evaluator, its cache of definitions, its timers and the senders of actions from the options."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import oslo_messaging
from oslo_config import cfg

from eventalarm import bus
from eventalarm import conf as options
from eventalarm.delivery.enqueue import OutboxEnqueuer
from eventalarm.delivery.options import DeliveryOptions
from eventalarm.delivery.senders import cloudevents
from eventalarm.delivery.senders.aodh import AodhTopicSender, PluginSender
from eventalarm.delivery.senders.base import Router, Sender
from eventalarm.delivery.senders.http import HttpSender
from eventalarm.delivery.senders.signer import Signer
from eventalarm.delivery.senders.trust import TrustSender
from eventalarm.evaluator import decide
from eventalarm.evaluator.background_recorder import BackgroundRecorder, RecorderOptions
from eventalarm.evaluator.definitions_cache import AlarmCache
from eventalarm.evaluator.engine import Engine
from eventalarm.evaluator.options import CacheOptions, EngineOptions, NeverInhibited, ResourceOf
from eventalarm.evaluator.release import InhibitionRelease
from eventalarm.evaluator.sampling import Sampler
from eventalarm.evaluator.timer_service import TimerLoop, TimerRunner
from eventalarm.exceptions import InvalidRule
from eventalarm.ifa_shim import options as ifa_options
from eventalarm.ifa_shim.resource import recorded_resource
from eventalarm.ifa_shim.subscriptions import build as build_module
from eventalarm.log_fields import fields
from eventalarm.metrics import Metrics
from eventalarm.model import AlarmDefinition, Event, JSONDict, Transition
from eventalarm.storage.alarms import AlarmReader
from eventalarm.storage.column_types import to_key
from eventalarm.storage.database import Database
from eventalarm.trace import Trace
from eventalarm.watchdog import Progress

LOG = logging.getLogger(__name__)

ALARM_TYPES = (decide.EVENT_TYPE, decide.NOTIFICATION_TYPE)


def build_cache(
    conf: cfg.ConfigOpts,
    database: Database,
    metrics: Metrics,
    invalid_rule: Callable[[AlarmDefinition, InvalidRule], None] | None = None,
) -> AlarmCache:
    """Return the cache of alarm definitions; *invalid_rule* is called with each that is not valid."""
    group = conf[options.GROUP]

    def bad_rule(definition: AlarmDefinition, error: InvalidRule) -> None:
        metrics.count("bad_rules", field=error.field.partition("[")[0])
        about = fields(alarm_id=definition.alarm_id, project_id=definition.project_id)
        LOG.warning("Alarm %s cannot be evaluated: %s", definition.alarm_id, error, extra=about)
        if invalid_rule is not None:
            invalid_rule(definition, error)

    def crowded(project_id: str, scanned: int) -> None:
        metrics.count("crowded_projects")
        LOG.warning(
            "Each event of project %s may be tested against %d rules, because they have no equality: add a "
            "condition eq or in on a trait, or a resource_id (option max_scan_groups)",
            project_id or "(none)",
            scanned,
            extra=fields(project_id=project_id),
        )

    return AlarmCache(
        AlarmReader(database, ALARM_TYPES, group.full_reload_interval),
        _cache_options(group),
        clears=lambda definition: decide.clears(group.clear_event_alarms, definition),
        bad_rule=bad_rule,
        crowded=crowded,
        monotonic=time.monotonic,
    )


def _cache_options(group: Any) -> CacheOptions:
    return CacheOptions(
        resource_traits=tuple(group.resource_traits),
        overlap=group.definitions_overlap,
        reload_interval=group.full_reload_interval,
        max_alarms=group.max_cached_alarms,
        max_scan_groups=group.max_scan_groups,
    )


def resource_naming(conf: cfg.ConfigOpts) -> ResourceOf:
    """Return the function that names the resource of an occurrence, as the IFA API names it."""
    settings = ifa_options.settings(conf)

    def name(rule: Mapping[str, Any], managed_object: str, event: Event) -> str | None:
        found = recorded_resource(rule, managed_object, event, settings)
        return to_key(found) if found is not None else None

    return name


def never_inhibited(conf: cfg.ConfigOpts) -> NeverInhibited:
    """Return the function that recognizes, by the fault catalogue, what no maintenance inhibits."""
    return ifa_options.settings(conf).faults.never_inhibited


def build_engine(
    conf: cfg.ConfigOpts,
    database: Database,
    cache: AlarmCache,
    enqueuer: OutboxEnqueuer,
    trace: Trace | None = None,
    *,
    progress: Progress | None = None,
    recorder: BackgroundRecorder | None = None,
) -> Engine:
    """Return the evaluator."""
    group = conf[options.GROUP]
    return Engine(
        database,
        cache,
        enqueuer,
        _engine_options(conf),
        trace=trace,
        progress=progress,
        recorder=recorder,
        sampler=Sampler(group.profile_sampling, group.profile_interval),
    )


def _engine_options(conf: cfg.ConfigOpts) -> EngineOptions:
    group = conf[options.GROUP]
    return EngineOptions(
        types=ALARM_TYPES,
        owner_traits=tuple(group.owner_traits),
        resource_traits=tuple(group.resource_traits),
        infrastructure_projects=tuple(group.infrastructure_projects),
        clear_mode=group.clear_event_alarms,
        record_history=conf.record_history,
        beside_aodh_listener=group.beside_aodh_listener,
        max_candidates=group.max_candidates,
        max_occurrences=group.max_occurrences_per_alarm,
        max_objects=group.max_objects_per_group,
        max_event_size=group.max_event_size,
        max_transaction_size=group.max_transaction_size,
        max_batch_time=group.max_batch_time,
        max_clock_skew=group.max_clock_skew,
        resource_of=resource_naming(conf),
        never_inhibited=never_inhibited(conf),
        record_matched=group.record_events != "off",
    )


def build_recorder(conf: cfg.ConfigOpts, database: Database, metrics: Metrics) -> BackgroundRecorder | None:
    """Return what records events that concern no alarm, or None if they are not recorded."""
    group = conf[options.GROUP]
    if group.record_events not in ("project", "all"):
        return None
    recorder_options = RecorderOptions(
        resource_traits=tuple(group.resource_traits),
        everything=group.record_events == "all",
        backlog=group.recorded_events_backlog,
        max_event_size=group.max_event_size,
    )
    return BackgroundRecorder(database, recorder_options, metrics)


def build_timers(
    conf: cfg.ConfigOpts, database: Database, cache: AlarmCache, enqueuer: OutboxEnqueuer, metrics: Metrics
) -> TimerLoop:
    """Return the timer loop; its transitions are counted like those of events."""
    group = conf[options.GROUP]

    def report(transitions: Sequence[Transition], reasons: Counter[str]) -> None:
        for transition in transitions:
            metrics.count("transitions", kind=transition.kind.value)
            if transition.inhibited_by is not None:
                metrics.count("transitions_inhibited", kind=transition.kind.value)
        for reason, number in reasons.items():
            metrics.count("timers", number, reason=reason)

    def report_released(outcomes: Mapping[str, int]) -> None:
        for outcome, number in outcomes.items():
            metrics.count("inhibitions_released", number, outcome=outcome)

    runner = TimerRunner(
        database,
        cache,
        enqueuer,
        record_history=conf.record_history,
        overlap=group.definitions_overlap,
        look_at_all=group.full_reload_interval,
        max_occurrences=group.max_occurrences_per_alarm,
        report=report,
        resource_of=resource_naming(conf),
        never_inhibited=never_inhibited(conf),
        release=InhibitionRelease(database, enqueuer, report=report_released),
    )
    return TimerLoop(runner.run_once, database.leave)


def build_sender(
    conf: cfg.ConfigOpts,
    settings: DeliveryOptions,
    subscribers: Sender | None = None,
    signer: Signer | None = None,
) -> Sender:
    """Return the sender of all actions: eventalarm's senders, or aodh-notifier in the mode ``aodh``.

    *subscribers* sends notifications of subscriptions in both modes; *signer* signs what eventalarm sends.
    """
    if settings.mode == "aodh":
        # The queue belongs to aodh-notifier, so it is declared as Aodh declares it.
        transport = oslo_messaging.get_notification_transport(conf)
        topic = conf.notifier_topic

        def publish(payload: JSONDict) -> None:
            bus.send(
                transport,
                topic=topic,
                exchange=conf.control_exchange,
                event_type="alarm.update",
                payload=payload,
            )

        return Router({}, AodhTopicSender(publish, settings), subscribers, settings.action_schemes)
    http = HttpSender(settings, signer=signer)
    trust = TrustSender(conf, settings, http)
    senders: dict[str, Sender] = {"http": http, "https": http, "trust+http": trust, "trust+https": trust}
    senders |= dict.fromkeys(cloudevents.SCHEMES, cloudevents.CloudEventsSender(http))
    senders |= build_module.action_senders(conf, http)
    return Router(senders, PluginSender(conf, settings), subscribers, settings.action_schemes)
