"""Which topic an event is put on."""

from __future__ import annotations

import zlib

import pytest

from eventalarm.publisher.partitions import Partition, Partitioning, all_of, of_project
from tests.support.cloud import make_event


def test_one_partition_is_the_topic_itself() -> None:
    bodies = [make_event(project="p"), make_event(project="q"), {"not": "an event"}]
    assert list(Partitioning("event_eval").split(bodies)) == [("event_eval", bodies)]
    assert [one.topic("event_eval") for one in all_of(1)] == ["event_eval"]


def test_events_of_a_project_keep_their_order_on_one_topic() -> None:
    bodies = [make_event(project=f"p{number % 7}") for number in range(70)]
    found = dict(Partitioning("event_eval", 3).split(bodies))
    assert set(found) == {"event_eval.3.0", "event_eval.3.1", "event_eval.3.2"}
    for project in {f"p{number}" for number in range(7)}:
        topic = f"event_eval.3.{zlib.crc32(project.encode()) % 3}"
        mine = [body for body in bodies if ["project_id", 1, project] in body["traits"]]
        assert [body for body in found[topic] if body in mine] == mine


@pytest.mark.parametrize("body", [{}, {"message_id": 7}, make_event(project="")])
def test_an_event_without_a_project_has_a_topic_too(body: dict[str, object]) -> None:
    ((topic, bodies),) = Partitioning("t", 4).split([body])
    assert (topic, bodies) == (of_project("", 4).topic("t"), [body])


def test_the_owner_is_found_by_the_traits_that_the_listeners_use() -> None:
    body = make_event(project="caller", tenant="owner")
    ((topic, _),) = Partitioning("t", 64, ("tenant",)).split([body])
    assert topic == of_project("owner", 64).topic("t")


def test_no_topic_is_one_of_two_numbers_of_partitions() -> None:
    topics = [one.topic("t") for count in range(1, 20) for one in all_of(count)]
    assert len(set(topics)) == len(topics)


@pytest.mark.parametrize("label", ["", "2", "2.2", "0.0", "2.-1", "2.0.1", "99999.1", "a.b"])
def test_other_text_is_no_label(label: str) -> None:
    assert Partition.parse(label) is None
    assert Partition.parse(Partition(12, 11).label) == Partition(12, 11)
