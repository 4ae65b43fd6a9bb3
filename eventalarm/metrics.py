"""Prometheus metrics by name. A reason in a log has a label value of the same name.

doc/source/admin/metrics.rst explains each metric to operators.
"""

from __future__ import annotations

import datetime
from typing import Final

import prometheus_client

PREFIX: Final = "eventalarm_"
LONGEST_AGE: Final = 86400.0
LATENCY_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
AGE_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)

# name -> (help, labels)
COUNTERS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "events": ("Events taken from the bus, by outcome; unreadable ones by reason", ("outcome", "reason")),
    "messages": ("Messages taken from the bus, by outcome", ("outcome",)),
    "decisions": ("Decisions about events and alarms, by reason", ("reason",)),
    "timers": ("Decisions about timers that were due, by reason", ("reason",)),
    "transitions": ("Transitions committed, by kind", ("kind",)),
    "transitions_inhibited": ("Transitions not notified because of maintenance, by kind", ("kind",)),
    "inhibitions_released": ("Occurrences released at the end of maintenance, by outcome", ("outcome",)),
    "bad_traits": ("Traits that could not be read and were ignored", ()),
    "bad_rules": ("Alarm definitions that cannot be evaluated", ("field",)),
    "crowded_projects": ("Projects reported for too many rules without an equality", ()),
    "stalls": ("Times that a thread was found stalled, by thread", ("thread",)),
    "batches": ("Batches handled, by outcome", ("outcome",)),
    "recorded_events": ("Events that concern no alarm and are recorded, by outcome", ("outcome",)),
    "deliveries": ("Attempts to call an action, by result", ("result",)),
    "inspector_events": ("Events that the inspector read or published, by outcome", ("outcome",)),
    "inspector_reactions": ("Requests of the inspector to Nova and Neutron, by result", ("result",)),
    "pulse_findings": ("Findings of health checks of the cloud, by check and health", ("check", "health")),
    "circuit_probes": ("Deliveries sent as probes of destinations whose circuit is open", ()),
    "delivery_retries": ("Attempts that failed and will be repeated, by reason", ("reason",)),
}
# name -> (help, labels, buckets)
HISTOGRAMS: Final[dict[str, tuple[str, tuple[str, ...], tuple[float, ...]]]] = {
    "batch_seconds": ("Time from taking a batch to its commit", (), LATENCY_BUCKETS),
    "match_seconds": ("Time of a batch for refreshing definitions and matching", (), LATENCY_BUCKETS),
    "commit_seconds": ("Time of a batch for deciding and committing", (), LATENCY_BUCKETS),
    "delivery_seconds": ("Time of one attempt to call an action", (), LATENCY_BUCKETS),
    "stage_seconds": ("Time of each stage of profiled alarms", ("stage",), AGE_BUCKETS),
    "event_age_seconds": (
        "Age of the first event of a batch when received and committed, of each when answered",
        ("stage",),
        AGE_BUCKETS,
    ),
}
# name -> (help, how prometheus_client combines the values of several processes)
GAUGES: Final[dict[str, tuple[str, str]]] = {
    "cache_alarms": ("Alarm definitions cached, in all processes of this host", "livesum"),
    "cache_projects": ("Projects cached, in all processes of this host", "livesum"),
    "cache_scanned_rules": ("Cached rules that must be tested one after the other", "livesum"),
    "cache_refreshed_timestamp_seconds": ("When definitions were last refreshed, oldest process", "livemin"),
    "outbox_unfinished": ("Deliveries waiting or in progress, in the whole deployment", "livemostrecent"),
    "outbox_due": ("Deliveries that are due and not in progress", "livemostrecent"),
    "outbox_oldest_due_seconds": ("How long the longest due delivery has been waiting", "livemostrecent"),
    "outbox_failed": ("Deliveries given up and kept", "livemostrecent"),
    "outbox_looked_timestamp_seconds": ("When the outbox was last read", "livemostrecent"),
    "resource_map_resources": ("Servers, ports and volumes in the resource map", "livemostrecent"),
    "resource_map_timestamp_seconds": ("When the last complete snapshot began", "livemostrecent"),
    "infrastructure_faults": ("Faults of hosts and switches that are raised", "livemostrecent"),
    "listeners": ("Running listener processes, in the whole deployment", "livemostrecent"),
}


def age(moment: datetime.datetime, now: datetime.datetime) -> float:
    """Return the seconds from *moment* to *now*, between 0 and one day, so that no date can distort a sum."""
    return min(max(0.0, (now - moment).total_seconds()), LONGEST_AGE)


class Metrics:
    """The metrics of one process, in a separate registry. Safe to call from any thread."""

    def __init__(self, registry: prometheus_client.CollectorRegistry | None = None) -> None:
        self.registry = registry or prometheus_client.CollectorRegistry()
        self._counters = {
            name: prometheus_client.Counter(PREFIX + name, text, labels, registry=self.registry)
            for name, (text, labels) in COUNTERS.items()
        }
        self._histograms = {
            name: prometheus_client.Histogram(
                PREFIX + name, text, labels, buckets=buckets, registry=self.registry
            )
            for name, (text, labels, buckets) in HISTOGRAMS.items()
        }
        self._gauges: dict[str, prometheus_client.Gauge] = {}

    def count(self, name: str, value: float = 1, **labels: str) -> None:
        """Add *value* to a counter of COUNTERS."""
        counter = self._counters[name]
        (counter.labels(**labels) if labels else counter).inc(value)

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        """Record a duration in a histogram of HISTOGRAMS."""
        histogram = self._histograms[name]
        (histogram.labels(**labels) if labels else histogram).observe(seconds)

    def set(self, name: str, value: float) -> None:
        """Set a gauge of GAUGES; it is created on first use, so that no process reports an unknown value."""
        gauge = self._gauges.get(name)
        if gauge is None:
            text, mode = GAUGES[name]
            gauge = prometheus_client.Gauge(
                PREFIX + name,
                text,
                registry=self.registry,
                multiprocess_mode=mode,  # type: ignore[arg-type]
            )
            self._gauges[name] = gauge
        gauge.set(value)
