"""The scan list: it is counted, reported once for each project, and still evaluated."""

from __future__ import annotations

from typing import cast

from eventalarm.evaluator.decide import NOTIFICATION_TYPE
from eventalarm.evaluator.definitions_cache import AlarmCache
from eventalarm.evaluator.options import CacheOptions
from eventalarm.model import AlarmDefinition
from eventalarm.storage.alarms import AlarmReader
from tests.support.builders import PROJECT, RESOURCE_TRAITS, condition, definition, event, rule
from tests.support.definitions_cache import Source


def crowd(count: int, *, project: str = PROJECT, version: float = 0) -> list[AlarmDefinition]:
    """Alarms without an equality, each with its own rule."""
    return [
        definition(
            f"{project}-{n}", rule("*", condition("count", n, "ge")), project_id=project, version=version
        )
        for n in range(count)
    ]


class Watched:
    """A cache with a limit of ten, and what it reported."""

    def __init__(self) -> None:
        self.source = Source()
        self.reports: list[tuple[str, int]] = []
        self.cache = AlarmCache(
            cast(AlarmReader, self.source),
            CacheOptions(RESOURCE_TRAITS, 10.0, 600.0, 10**6, max_scan_groups=10),
            clears=lambda d: d.has_ok_actions,
            bad_rule=lambda d, e: None,
            crowded=lambda project_id, scanned: self.reports.append((project_id, scanned)),
            monotonic=self.source.monotonic,
        )

    def found(self, project: str = PROJECT) -> int:
        self.cache.refresh()
        return len(self.cache.project(project).candidates(event(count=100)))


def test_a_crowded_project_is_reported_once_and_evaluated() -> None:
    watched = Watched()
    watched.source.put(*crowd(11), *crowd(10, project="quiet"))
    assert watched.found() == 11
    assert watched.found("quiet") == 10
    assert watched.reports == [(PROJECT, 11)]
    watched.source.seconds = 700
    assert watched.found() == 11, "after a full reload"
    assert watched.reports == [(PROJECT, 11)]


def test_a_project_that_becomes_crowded_is_reported() -> None:
    watched = Watched()
    watched.source.put(*crowd(10))
    assert watched.found() == 10
    assert watched.reports == []
    watched.source.seconds = 20
    watched.source.put(*crowd(12, version=20))
    assert watched.found() == 12
    assert watched.reports == [(PROJECT, 11)]


def test_indexed_and_equal_rules_do_not_count_as_crowded() -> None:
    watched = Watched()
    watched.source.put(*(definition(f"same-{n}", rule("*", condition("count", 5, "ge"))) for n in range(50)))
    watched.source.put(*(definition(f"own-{n}", rule("*", host=f"h{n}")) for n in range(50)))
    assert watched.found() == 50
    assert watched.reports == []


def test_a_rule_that_cannot_be_measured_affects_no_other() -> None:
    watched = Watched()
    query: object = {"field": "traits.x", "value": "a"}
    for _ in range(3000):
        query = {"not": query}
    deep = definition("deep", {"query": query}, type=NOTIFICATION_TYPE)
    watched.source.put(*crowd(3))
    source = watched.source.of_project
    watched.source.of_project = lambda project_id: [deep, *source(project_id)]  # type: ignore[method-assign]
    assert watched.found() == 3
