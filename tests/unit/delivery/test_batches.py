"""Which deliveries are sent together, and when: single cases, and a property against a model."""

from __future__ import annotations

import json

import hypothesis
import hypothesis.strategies as st

from eventalarm.delivery.batches import REFUSED_FOR, BatchWindows, first_of_each, make_batch
from eventalarm.delivery.queues import Call
from eventalarm.delivery.senders.base import Destination
from tests.support.deliveries import make_delivery

URLS = ("http://a/1", "http://a/2", "https://b/")


def call(url: str = "http://a/", **fields: str) -> Call:
    return Call("me", make_delivery(url, **fields), Destination("http", "a", 80, 16))


def test_the_first_is_sent_at_once_and_the_others_together() -> None:
    windows = BatchWindows(1.0, 10)
    some = [call() for _ in range(4)]
    assert [windows.hold(one, 0.1 * n) for n, one in enumerate(some)] == [False, True, True, True]
    assert windows.next_end() == 1.0
    assert list(windows.ripe(0.9)) == []
    assert list(windows.ripe(1.0)) == [some[1:]]
    # The batch opened the next window.
    late = call()
    assert windows.hold(late, 1.5)
    assert list(windows.ripe(1.9)) == []
    assert list(windows.ripe(2.0)) == [[late]]
    assert list(windows.ripe(3.0)) == []
    assert windows.next_end() is None
    assert not windows.hold(call(), 3.5)


def test_a_full_batch_is_sent_before_the_window_ends() -> None:
    windows = BatchWindows(1.0, 2)
    some = [call() for _ in range(3)]
    for one in some:
        windows.hold(one, 0.0)
    assert windows.next_end() == 0.0
    assert list(windows.ripe(0.1)) == [some[1:]]


def test_other_projects_actions_and_non_webhooks_do_not_share_a_batch() -> None:
    windows = BatchWindows(1.0, 10)
    assert not windows.hold(call(), 0.0)
    assert not windows.hold(call(project_id="q"), 0.0)
    assert not windows.hold(call("http://a/other"), 0.0)
    for url in ("log://", "trust+http://t@a/", "zaqar://x"):
        assert [windows.hold(call(url), 0.0) for _ in range(2)] == [False, False]
    assert [windows.hold(call(subscription_id="s"), 0.0) for _ in range(2)] == [False, False]


def test_a_consumer_that_refuses_batches_gets_none_for_a_while() -> None:
    windows = BatchWindows(1.0, 10)
    windows.refused([make_delivery("http://a/")], 0.0)
    assert [windows.hold(call(), 1.0) for _ in range(2)] == [False, False]
    assert [windows.hold(call(), REFUSED_FOR + 1) for _ in range(2)] == [False, True]


def test_a_batch_contains_each_body_with_its_id() -> None:
    deliveries = [make_delivery(), make_delivery()]
    batch = make_batch(deliveries)
    body = json.loads(json.dumps(batch.notification.body()))
    assert body == {"packed": [{"delivery_id": d.delivery_id, **d.notification.body()} for d in deliveries]}
    assert batch.delivery_id == make_batch(deliveries).delivery_id
    assert batch.delivery_id not in {d.delivery_id for d in deliveries}
    assert batch.delivery_id != make_batch(deliveries[::-1]).delivery_id


def test_only_the_first_of_an_alarm_may_be_sent_alone() -> None:
    one, two, three = make_delivery(alarm_id="a"), make_delivery(alarm_id="b"), make_delivery(alarm_id="a")
    assert first_of_each([one, two, three]) == ([one, two], [three])


ARRIVALS = st.lists(st.tuples(st.sampled_from(URLS), st.floats(0.0, 0.7), st.booleans()), max_size=40)


@hypothesis.given(ARRIVALS, st.integers(2, 5))
def test_nothing_is_lost_delayed_or_out_of_order(arrivals: list[tuple[str, float, bool]], limit: int) -> None:
    """Each delivery is sent once, within the window, in the order of its action; batches are bounded."""
    windows, now = BatchWindows(1.0, limit), 0.0
    came: dict[str, list[tuple[float, Call]]] = {url: [] for url in URLS}
    left: dict[str, list[tuple[float, Call]]] = {url: [] for url in URLS}

    def look(moment: float) -> None:
        for leaving in windows.ripe(moment):
            assert len(leaving) <= limit
            left[leaving[0].delivery.action] += [(moment, one) for one in leaving]

    for url, pause, prompt in arrivals:
        while prompt and (end := windows.next_end()) is not None and end <= now + pause:
            look(max(now, end))
        now += pause
        one = call(url)
        came[url].append((now, one))
        if not windows.hold(one, now):
            left[url].append((now, one))
    while (end := windows.next_end()) is not None:
        now = max(now, end)
        look(now)
    for url in URLS:
        assert [one for _, one in came[url]] == [one for _, one in left[url]]
        if all(prompt for _, _, prompt in arrivals):
            pairs = zip(came[url], left[url], strict=True)
            assert all(gone - at <= 1.0 + 1e-9 for (at, _), (gone, _) in pairs)
