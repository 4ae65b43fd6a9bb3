"""Events as they may come: every type of trait, bad traits beside good ones, hostile shapes, times."""

from __future__ import annotations

import copy
import datetime
from typing import Any

import pytest

from eventalarm.exceptions import InvalidEvent
from eventalarm.model import UTC, Event, Notification, convert, parse_time
from tests.support.builders import NOW, event, event_body

NOON = datetime.datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2026-05-01T12:00:00", NOON),  # no zone means UTC
        ("2026-05-01T12:00:00Z", NOON),
        ("2026-05-01T14:00:00+02:00", NOON),
        ("2026-05-01T06:30:00-05:30", NOON),
        ("2026-05-01 12:00:00.000", NOON),
        ("20260501T120000Z", NOON),
        ("2026-05-01T12", NOON),
        (" 2026-05-01T12:00:00 ", NOON),
        ("2026-5-1 12:00:0", NOON),
        ("2026-05-01", NOON.replace(hour=0)),
        ("2026-05", NOON.replace(hour=0)),
        ("2026", NOON.replace(month=1, hour=0)),
        ("2026-05-01T12:00:00.123456789", NOON.replace(microsecond=123456)),
        (datetime.datetime(2026, 5, 1, 12), NOON),
        (datetime.datetime(2026, 5, 1, 14, tzinfo=datetime.timezone(datetime.timedelta(hours=2))), NOON),
    ],
)
def test_parse_time(value: Any, moment: datetime.datetime) -> None:
    assert parse_time(value) == moment
    assert parse_time(value).utcoffset() == datetime.timedelta(0)


@pytest.mark.parametrize(
    "value",
    [
        *[
            "",
            "soon",
            "2026-13-01",
            "2026-05-32",
            "2026-05-01T25:00:00",
            "12:00",
            "\ud800",
            "\x00",
            "9" * 5000,
        ],
        *["0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00", "٢٠٢٦-٠٥-٠١", None, 0, 1.5, True, [], {}],
    ],
)
def test_parse_time_refuses(value: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_time(value)


@pytest.mark.parametrize(
    ("value", "dtype", "result"),
    [
        ("a", 1, "a"),
        (5, 1, "5"),
        (None, 1, "None"),
        (True, "string", "True"),
        ("a", None, "a"),
        ("a", 99, "a"),
        ("5", 2, 5),
        (5.9, 2, 5),
        (" 5 ", "integer", 5),
        (True, 2, 1),
        ("1.5", 3, 1.5),
        (1, "float", 1.0),
        ("inf", 3, float("inf")),
        ("2026-05-01T12:00:00", 4, NOON),
        ("2026-05-01T12:00:00", "datetime", NOON),
    ],
)
def test_convert(value: Any, dtype: Any, result: Any) -> None:
    assert convert(value, dtype) == result
    assert type(convert(value, dtype)) is type(result)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        *[("a", 2), ("1.5", 2), (None, 2), ([], 2), (float("nan"), 2), (float("inf"), 2), ("9" * 5000, 2)],
        *[("a", 3), (None, 3), ({}, 3), (10**400, 3), ("a", 4), (None, 4), (5, 4)],
    ],
)
def test_convert_refuses(value: Any, dtype: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        convert(value, dtype)


@pytest.mark.parametrize(
    ("body", "reason", "event_id"),
    [
        (None, "not_a_mapping", ""),
        ([], "not_a_mapping", ""),
        ("event", "not_a_mapping", ""),
        ({}, "no_message_id", ""),
        ({"message_id": "", "event_type": "a"}, "no_message_id", ""),
        ({"message_id": 5, "event_type": "a"}, "no_message_id", ""),
        ({"message_id": "m"}, "no_event_type", "m"),
        ({"message_id": "m", "event_type": ""}, "no_event_type", "m"),
        ({"message_id": "m", "event_type": ["a"]}, "no_event_type", "m"),
    ],
)
def test_invalid_events_are_refused(body: Any, reason: str, event_id: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        Event.parse(body)
    assert (caught.value.reason, caught.value.event_id) == (reason, event_id)


def test_traits_have_their_type() -> None:
    the_event = event(
        project=None,
        traits=[["s", 1, "a"], ["i", 2, "5"], ["f", 3, 5], ["d", 4, "2026-05-01T12:00:00"], ["o", 9, 1]],
    )
    assert [the_event.trait(name) for name in "sifdo"] == ["a", 5, 5.0, NOON, "1"]
    assert the_event.trait("absent") is None
    assert the_event.bad_traits == []


def test_of_two_traits_with_one_name_the_last_counts() -> None:
    the_event = event(traits=[["a", 1, "first"], ["a", 2, "2"]])
    assert the_event.trait("a") == 2
    hidden = event(traits=[["a", 1, "good"], ["a", 2, "bad"]])
    assert hidden.trait("a") is None


def test_a_bad_trait_is_absent_and_reported_once() -> None:
    the_event = event(state="error", traits=[["count", 2, "many"], ["when", 4, "soon"]])
    for _ in range(3):
        assert the_event.trait("count") is None
        assert the_event.trait("when") is None
    assert the_event.trait("state") == "error"
    assert the_event.bad_traits == ["count", "when"]


@pytest.mark.parametrize(
    "bad",
    [
        None,
        7,
        "abc",
        "ab",
        [],
        ["name"],
        ["name", 1],
        [["name"], 1, "a"],
        {"name": "state", "dtype": 1, "value": "x"},
        {"state": 1, "b": 2, "c": 3},
    ],
)
def test_an_invalid_trait_affects_no_other(bad: Any) -> None:
    the_event = event(traits=[["before", 1, "a"], bad, ["after", 1, "b"]])
    assert (the_event.trait("before"), the_event.trait("after")) == ("a", "b")
    assert the_event.trait("name") is None
    assert the_event.trait("state") is None
    assert the_event.trait("a") is None
    assert the_event.bad_traits == [repr(bad)[:80]]


def test_a_trait_of_more_parts_counts_as_in_aodh() -> None:
    the_event = event(traits=[["state", 1, "error", "and more"], ["b", 1, "c"]])
    assert (the_event.trait("state"), the_event.bad_traits) == ("error", [])


@pytest.mark.parametrize("traits", [{}, "abc", 5, True, {"state": "error"}])
def test_traits_of_another_shape_are_bad_as_a_whole(traits: Any) -> None:
    the_event = Event.parse(event_body() | {"traits": traits})
    assert the_event.trait("state") is None
    assert the_event.bad_traits == ["traits"]


@pytest.mark.parametrize("body", [{"traits": None}, {"traits": []}, {}])
def test_no_traits_at_all_is_fine(body: dict[str, Any]) -> None:
    the_event = Event.parse({"message_id": "m", "event_type": "a", **body})
    assert (the_event.trait("state"), the_event.bad_traits) == (None, [])


def test_a_long_bad_trait_is_not_kept_whole() -> None:
    (bad,) = event(traits=["x" * 10_000]).bad_traits
    assert len(bad) <= 80


def test_reading_changes_nothing_in_the_body() -> None:
    body = event_body(state="error", traits=[["a", 2, "1"], ["b", 2, "bad"], None])
    before = copy.deepcopy(body)
    the_event = Event.parse(body)
    the_event.trait("a")
    the_event.trait("b")
    the_event.path(("raw", "x"))
    the_event.time(NOW)
    assert the_event.body is body
    assert body == before


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("event_type",), "a"),
        (("raw", "b", "c"), 3),
        (("raw", "b"), {"c": 3}),
        (("raw", "b", "c", "d"), None),
        (("raw", "nothing"), None),
        (("traits", "state"), None),
        (("",), None),
        ((), "whole"),
    ],
)
def test_path(path: tuple[str, ...], value: Any) -> None:
    the_event = event("a", raw={"b": {"c": 3}})
    assert the_event.path(path) == (the_event.body if value == "whole" else value)


@pytest.mark.parametrize(
    ("traits", "names", "value"),
    [
        ([["b", 1, "2"], ["a", 1, "1"]], ("a", "b"), "1"),
        ([["b", 1, "2"]], ("a", "b"), "2"),
        ([["a", 1, ""], ["b", 1, "2"]], ("a", "b"), "2"),
        ([["a", 2, "bad"], ["b", 1, "2"]], ("a", "b"), "2"),
        ([["a", 2, "5"]], ("a",), "5"),
        ([["a", 2, 0]], ("a",), "0"),
        ([], ("a", "b"), ""),
        ([["a", 1, "1"]], (), ""),
    ],
)
def test_first_trait(traits: list[Any], names: tuple[str, ...], value: str) -> None:
    assert event(project=None, traits=traits).first_trait(names) == value


@pytest.mark.parametrize(
    ("generated", "moment"),
    [
        ("2026-05-01T11:59:00+00:00", NOW - datetime.timedelta(minutes=1)),
        ("2026-05-01T12:00:00.000001", NOW),  # from the future: a fast clock must not make others late
        ("2036-01-01T00:00:00", NOW),
        ("1970-01-01T00:00:00", datetime.datetime(1970, 1, 1, tzinfo=UTC)),
        ("yesterday", NOW),
        (None, NOW),
        (5, NOW),
        ({}, NOW),
    ],
)
def test_time(generated: Any, moment: datetime.datetime) -> None:
    assert Event.parse(event_body() | {"generated": generated}).time(NOW) == moment


def test_time_of_an_event_without_one() -> None:
    assert Event.parse({"message_id": "m", "event_type": "a"}).time(NOW) == NOW


def test_an_event_shows_its_id_and_type_only() -> None:
    assert repr(event("a.b", message_id="m1", secret="x")) == "<Event m1 a.b>"


def test_the_webhook_body_has_aodhs_fields_in_aodhs_order() -> None:
    body = Notification("n", "a", "low", "ok", "alarm", "why", {"type": "event"}).body()
    names = ["alarm_name", "alarm_id", "severity", "previous", "current", "reason", "reason_data"]
    assert list(body) == names
    assert body["reason_data"] == {"type": "event"}
