import collections
import dataclasses

import hypothesis
import hypothesis.strategies as st
import pytest

from eventalarm.delivery.scheduler import SUSPECT, Scheduler
from tests.unit.delivery.parts import make_parcel

PLENTY = 1 << 30


def make_lanes(capacity, concurrency, max_bytes=PLENTY):
    return Scheduler(capacity, concurrency, max_bytes)


def fill(lanes, host, count, limit=16, project="p", **fields):
    parcels = [make_parcel(host, limit, project_id=project, **fields) for _ in range(count)]
    return [parcel for parcel in parcels if lanes.put(parcel)]


def take_all(lanes):
    taken = []
    while (parcel := lanes.take()) is not None:
        taken.append(parcel)
    return taken


def prove(lanes, host, project="p"):
    """Let one call to *host* end promptly."""
    fill(lanes, host, 1, project=project)
    parcel = lanes.take()
    assert parcel is not None
    assert parcel.destination.host == host
    lanes.finished(parcel, prompt=True)
    lanes.forget(parcel)


def hosts(parcels):
    return {parcel.destination.host for parcel in parcels}


def hosts_of(parcels):
    return [parcel.destination.host for parcel in parcels]


def key(parcel):
    return parcel.delivery.project_id, parcel.destination


def projects(parcels):
    return collections.Counter(parcel.delivery.project_id for parcel in parcels)


def test_one_destination_leaves_in_order_up_to_its_limit():
    lanes = make_lanes(1000, 100)
    parcels = fill(lanes, "a", 20, limit=3)
    assert take_all(lanes) == parcels[:3]
    lanes.finished(parcels[1], prompt=True)
    assert take_all(lanes) == parcels[3:4]


def test_slow_destinations_leave_room_for_another():
    lanes = make_lanes(10000, 200)
    for number in range(20):
        fill(lanes, f"slow{number}", 300)
    slow = take_all(lanes)
    assert len(slow) == 72
    fill(lanes, "new", 5)
    assert hosts(take_all(lanes)) == {"new"}


def test_hundreds_of_slow_destinations_leave_known_good_ones_alone():
    lanes = make_lanes(10000, 400)
    prove(lanes, "good")
    for number in range(600):
        fill(lanes, f"slow{number}", 3)
    slow = take_all(lanes)
    assert len(slow) == 150  # the share of one project in what is not reserved
    fill(lanes, "new", 1)
    assert take_all(lanes) == []
    fill(lanes, "good", 10)
    assert len(take_all(lanes)) == 10
    # A slow answer costs the privilege.
    fill(lanes, "good", 1)
    parcel = lanes.take()
    lanes.finished(parcel, prompt=False)
    fill(lanes, "good", 1)
    assert lanes.take() is None


def test_memory_is_bounded_and_no_destination_takes_all_of_it():
    lanes = make_lanes(100, 10)
    assert len(fill(lanes, "a", 200)) == 34
    assert lanes.full("p", make_parcel("a").destination)
    assert not lanes.full("p", make_parcel("b").destination)
    assert len(fill(lanes, "b", 200)) == 11
    assert not lanes.full("p")


def test_memory_is_bounded_and_no_project_takes_all_of_it():
    lanes = make_lanes(100, 10)
    held = [len([n for n in range(200) if fill(lanes, f"h{n}", 1, project=p)]) for p in "abc"]
    assert held == [50, 25, 13]
    assert lanes.full("a")
    assert not lanes.full("d")


def test_memory_is_bounded_in_bytes_too():
    lanes = make_lanes(10_000, 10, max_bytes=1_000_000)
    assert len(fill(lanes, "a", 20, body="x" * 100_000)) == 5
    assert lanes.full("p") is True
    assert len(fill(lanes, "b", 20, project="q", body="x" * 100_000)) == 2
    # What is larger than everything is sent alone.
    lanes = make_lanes(10_000, 10, max_bytes=1_000_000)
    (parcel,) = fill(lanes, "a", 2, body="x" * 2_000_000)
    assert take_all(lanes) == [parcel]


def test_bytes_under_way_are_shared_between_projects():
    lanes = make_lanes(10_000, 100, max_bytes=4_000_000)
    for n in range(16):
        fill(lanes, f"h{n}", 1, body="x" * 100_000)
    taken = take_all(lanes)
    assert len(taken) == 16
    lanes = make_lanes(10_000, 100, max_bytes=1_000_000)
    for n in range(9):
        fill(lanes, f"h{n}", 1, body="x" * 100_000)
    assert len(take_all(lanes)) == 5
    fill(lanes, "small", 1, project="q", body="x")
    assert projects(take_all(lanes)) == {"q": 1}


def test_an_event_counts_once_however_many_tell_of_it():
    text = '{"a": "' + "x" * 1_000_000 + '"}'
    notification = dataclasses.replace(make_parcel("a").delivery.notification, event_json=text)
    lanes = make_lanes(10_000, 10, max_bytes=20_000_000)
    parcels = [parcel for n in range(500) for parcel in fill(lanes, f"h{n}", 1, notification=notification)]
    assert len(parcels) == 500
    for parcel in lanes.clear():
        lanes.forget(parcel)
    assert lanes.held.free_bytes() == 20_000_000


# ---- projects


def test_a_project_with_hundreds_of_hung_destinations_leaves_half_of_the_calls():
    lanes = make_lanes(10_000, 400)
    for number in range(1500):
        fill(lanes, f"hung{number}", 2, project="greedy")
    assert len(take_all(lanes)) == 150
    fill(lanes, "new", 5, project="healthy")
    assert projects(take_all(lanes)) == {"healthy": 5}


def test_what_ends_is_given_to_those_with_the_fewest_calls():
    lanes = make_lanes(100_000, 400)
    taken = []
    for name in "abcdefghij":
        for number in range(300):
            fill(lanes, f"{name}{number}", 1, project=name)
        taken += take_all(lanes)
    fill(lanes, "new", 1, project="healthy")
    for parcel in taken[:4]:
        lanes.finished(parcel, prompt=False)
    assert projects(take_all(lanes))["healthy"] == 1


def test_projects_share_what_is_free_in_turn():
    lanes = make_lanes(10_000, 100)
    for name in "ab":
        for number in range(100):
            fill(lanes, f"{name}{number}", 1, project=name)
    counts = projects(take_all(lanes))
    assert abs(counts["a"] - counts["b"]) <= 1


def test_a_destination_is_called_by_several_projects_up_to_its_total():
    lanes = make_lanes(10_000, 400)
    for name in "abcdef":
        assert fill(lanes, "shared", 10, limit=2, project=name)
    taken = take_all(lanes)
    assert len(taken) == 8
    assert set(projects(taken)) == set("abcdef")
    waiting = {name for name, calls in projects(taken).items() if calls == 1}
    for parcel in taken:
        lanes.finished(parcel, prompt=True)
    again = take_all(lanes)
    assert len(again) == 8
    assert waiting <= set(projects(again))


def test_what_is_slow_for_one_project_does_not_make_it_slow_for_another():
    lanes = make_lanes(10_000, 100)
    prove(lanes, "shared", "good")
    fill(lanes, "shared", 1, project="bad")
    lanes.finished(take_all(lanes)[0], prompt=False)
    for name in "abcdefghijkl":
        for number in range(100):
            fill(lanes, f"{name}{number}", 1, project=name)
        take_all(lanes)
    fill(lanes, "shared", 1, project="good")
    fill(lanes, "shared", 1, project="bad")
    assert projects(take_all(lanes)) == {"good": 1}


def test_suspects_leave_one_at_a_time():
    lanes = make_lanes(100, 100)
    suspects = fill(lanes, "a", 3, losses=SUSPECT) + fill(lanes, "b", 1, project="q", losses=SUSPECT)
    fill(lanes, "c", 2)
    taken = take_all(lanes)
    assert len([one for one in taken if one in suspects]) == 1
    assert len(taken) == 3
    for _ in range(3):
        (under_way,) = [one for one in taken if one in suspects]
        lanes.finished(under_way, prompt=True)
        lanes.forget(under_way)
        taken = take_all(lanes)
    assert len(taken) == 1


def test_a_parcel_counts_until_it_is_forgotten():
    lanes = make_lanes(10, 10)
    (parcel,) = fill(lanes, "a", 1)
    assert lanes.put(parcel)
    lanes.take()
    lanes.finished(parcel, prompt=True)
    assert lanes.holds(parcel.delivery.delivery_id)
    assert lanes.room() == 9
    lanes.forget(parcel)
    assert not lanes.holds(parcel.delivery.delivery_id)
    assert lanes.room() == 10


def test_clear_takes_out_what_was_not_taken():
    lanes = make_lanes(100, 2)
    parcels = fill(lanes, "a", 3, limit=1)
    assert lanes.take() == parcels[0]
    assert lanes.clear() == parcels[1:]
    assert take_all(lanes) == []
    assert lanes.room() == 99
    lanes.finished(parcels[0], prompt=True)
    fill(lanes, "a", 1)
    assert len(take_all(lanes)) == 1


@pytest.mark.parametrize("concurrency", [1, 2, 3])
def test_the_smallest_limits_still_work(concurrency):
    lanes = make_lanes(4, concurrency)
    fill(lanes, "a", 1)
    parcel = lanes.take()
    assert parcel is not None
    lanes.finished(parcel, prompt=False)
    fill(lanes, "a", 1)
    assert lanes.take() is not None


@hypothesis.given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.integers(0, 4)),
            st.tuples(st.sampled_from(["take", "slow", "fast", "clear"]), st.integers(0, 50)),
        ),
        max_size=80,
    ),
    st.integers(1, 8),
    st.integers(1, 12),
)
def test_whatever_happens_bounds_hold_and_nothing_is_lost_or_doubled(steps, concurrency, capacity):
    lanes = make_lanes(capacity, concurrency)
    queued, running = [], []
    for step, number in steps:
        if step == "put":
            parcel = make_parcel(f"h{number % 3}", limit=3, total=4, project_id=f"p{number % 2}")
            if lanes.put(parcel):
                queued.append(parcel)
        elif step == "take":
            parcel = lanes.take()
            if parcel is None:
                continue
            same = [p for p in queued if key(p) == key(parcel)]
            assert same[0] is parcel
            queued.remove(parcel)
            running.append(parcel)
        elif step == "clear":
            assert sorted(map(id, lanes.clear())) == sorted(map(id, queued))
            queued = []
        elif running:
            parcel = running.pop(number % len(running))
            lanes.finished(parcel, prompt=step == "fast")
            lanes.forget(parcel)
        assert len(running) <= concurrency
        assert lanes.room() == capacity - len(queued) - len(running) >= 0
        assert all(number <= 3 for number in collections.Counter(map(key, running)).values())
        assert all(number <= 4 for number in collections.Counter(hosts_of(running)).values())
    # Nobody starves: with everything finished, all that is queued can leave.
    for parcel in running:
        lanes.finished(parcel, prompt=True)
        lanes.forget(parcel)
    while queued:
        parcel = lanes.take()
        assert parcel is not None
        queued.remove(parcel)
        lanes.finished(parcel, prompt=True)
        lanes.forget(parcel)
