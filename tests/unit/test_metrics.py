"""Every metric has one name: in the code, in the documentation, in the dashboard."""

from __future__ import annotations

import datetime
import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import pytest

from eventalarm import metrics
from eventalarm.evaluator.cached_project import CacheFigures
from eventalarm.evaluator.handler import LOOK_INTERVAL, CacheWatch
from eventalarm.model import UTC

ROOT = pathlib.Path(__file__).parents[2]
NAME = re.compile(r"\beventalarm_[a-z_]+")
DASHBOARD = json.loads((ROOT / "eventalarm/etc/grafana-eventalarm.json").read_text())
NOW = datetime.datetime(2026, 5, 1, 12, tzinfo=UTC)


def filled() -> metrics.Metrics:
    """Return metrics in which everything was counted once."""
    made = metrics.Metrics()
    for name, (_, labels) in metrics.COUNTERS.items():
        marks: dict[str, Any] = dict.fromkeys(labels, "x")
        made.count(name, **marks)
    for name, (_, labels, _) in metrics.HISTOGRAMS.items():
        made.observe(name, 0.5, **dict.fromkeys(labels, "x"))
    for name in metrics.GAUGES:
        made.set(name, 2.0)
    return made


def samples() -> dict[str, set[str]]:
    """Return the names of all samples with the names of their labels."""
    families = filled().registry.collect()
    return {sample.name: set(sample.labels) for family in families for sample in family.samples}


def documented() -> dict[str, set[str]]:
    """Return the names in the tables of the documentation, with their labels."""
    text = (ROOT / "doc/source/admin/metrics.rst").read_text()
    rows = re.findall(r"^``(eventalarm_\w+)``  +(.*)$", text, re.M)
    found = {}
    for name, rest in rows:
        first = re.split(r"  +", rest)[0]
        found[name] = set() if first == "none" or " " in first.replace(", ", ",") else set(first.split(", "))
    return found


def expressions(part: Any) -> Iterator[str]:
    """Return every query of the dashboard."""
    if isinstance(part, dict):
        yield from (part[key] for key in ("expr", "query") if isinstance(part.get(key), str))
        for value in part.values():
            yield from expressions(value)
    elif isinstance(part, list):
        for value in part:
            yield from expressions(value)


def test_the_documentation_names_every_metric_with_its_labels_and_no_others() -> None:
    known = {f"eventalarm_{name}_total": set(labels) for name, (_, labels) in metrics.COUNTERS.items()}
    known |= {f"eventalarm_{name}": set(labels) for name, (_, labels, _) in metrics.HISTOGRAMS.items()}
    known |= {f"eventalarm_{name}": set() for name in metrics.GAUGES}
    assert documented() == known


def test_every_query_of_the_dashboard_finds_its_metric_and_labels() -> None:
    known = samples()
    queries = list(expressions(DASHBOARD))
    used = {name for query in queries for name in NAME.findall(query)}
    assert len(used) > 20
    assert used - set(known) == set()
    for query in queries:
        labels = {
            label.strip() for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(",")
        }
        for name in NAME.findall(query):
            assert labels <= known[name], query


def test_the_dashboard_shows_every_metric() -> None:
    text = " ".join(expressions(DASHBOARD))
    assert [name for name in documented() if name not in text] == []


def test_panels_do_not_overlap() -> None:
    places = [
        (x, y)
        for grid in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(places) == len(set(places))
    assert max(x for x, _ in places) < 24


@pytest.mark.parametrize(
    ("moment", "seconds"),
    [
        (NOW - datetime.timedelta(seconds=1.5), 1.5),
        (NOW + datetime.timedelta(days=1), 0.0),
        (datetime.datetime(1, 1, 1, tzinfo=UTC), 86400.0),
    ],
)
def test_invalid_dates_do_not_affect_an_age(moment: datetime.datetime, seconds: float) -> None:
    assert metrics.age(moment, NOW) == seconds


def test_the_cache_is_measured_only_occasionally() -> None:
    class Cache:
        looks = 0

        def figures(self) -> CacheFigures:
            self.looks += 1
            return CacheFigures(alarms=3, projects=self.looks, scanned=1, refreshed_at=NOW)

    times = iter([0.0, 0.1, LOOK_INTERVAL - 0.1, LOOK_INTERVAL, LOOK_INTERVAL + 0.1])
    made, cache = metrics.Metrics(), Cache()
    watch = CacheWatch(cache, made, lambda: next(times))  # type: ignore[arg-type]
    for _ in range(5):
        watch()
    assert cache.looks == 2
    value = made.registry.get_sample_value
    assert (value("eventalarm_cache_projects"), value("eventalarm_cache_alarms")) == (2, 3)
    assert value("eventalarm_cache_refreshed_timestamp_seconds") == NOW.timestamp()
