"""Counters and histograms by name; every reason in the logs has a label of the same name here."""

from __future__ import annotations

import prometheus_client

PREFIX = "eventalarm_"
LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

# name -> (help, labels)
COUNTERS = {
    "events": ("Events taken from the bus, by outcome", ("outcome",)),
    "messages": ("Messages taken from the bus, by outcome", ("outcome",)),
    "decisions": ("Events that concerned an alarm, by what they did to it", ("reason",)),
    "bad_traits": ("Traits that could not be read and were ignored", ()),
    "bad_rules": ("Alarm definitions that cannot be evaluated", ("field",)),
    "crowded_projects": ("Projects reported for rules that every event must be tested against", ()),
    "batches": ("Batches worked off, by outcome", ("outcome",)),
    "deliveries": ("Attempts to call an action, by result", ("result",)),
}
HISTOGRAMS = {
    "batch_seconds": "Time from taking a batch to its commit",
    "delivery_seconds": "Time of one attempt to call an action",
}


class Metrics:
    """The metrics of one process, in a registry of their own. Safe to call from any thread."""

    def __init__(self, registry: prometheus_client.CollectorRegistry | None = None) -> None:
        self.registry = registry or prometheus_client.CollectorRegistry()
        self._counters = {
            name: prometheus_client.Counter(PREFIX + name, text, labels, registry=self.registry)
            for name, (text, labels) in COUNTERS.items()
        }
        self._histograms = {
            name: prometheus_client.Histogram(
                PREFIX + name, text, buckets=LATENCY_BUCKETS, registry=self.registry
            )
            for name, text in HISTOGRAMS.items()
        }

    def count(self, name: str, value: float = 1, **labels: str) -> None:
        """Add *value* to a counter of COUNTERS."""
        counter = self._counters[name]
        (counter.labels(**labels) if labels else counter).inc(value)

    def observe(self, name: str, seconds: float) -> None:
        """Record a duration in a histogram of HISTOGRAMS."""
        self._histograms[name].observe(seconds)
