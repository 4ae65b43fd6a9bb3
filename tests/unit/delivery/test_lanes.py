import hypothesis
import hypothesis.strategies as st
import pytest

from eventalarm.delivery.lanes import Lanes
from tests.unit.delivery.parts import make_parcel


def fill(lanes, host, count, limit=16):
    parcels = [make_parcel(host, limit) for _ in range(count)]
    return [parcel for parcel in parcels if lanes.put(parcel)]


def take_all(lanes):
    taken = []
    while (parcel := lanes.take()) is not None:
        taken.append(parcel)
    return taken


def prove(lanes, host):
    """Let one call to *host* end promptly."""
    fill(lanes, host, 1)
    parcel = lanes.take()
    assert parcel is not None
    assert parcel.destination.host == host
    lanes.finished(parcel, prompt=True)
    lanes.forget(parcel)


def hosts(parcels):
    return {parcel.destination.host for parcel in parcels}


def test_one_destination_leaves_in_order_up_to_its_limit():
    lanes = Lanes(1000, 100)
    parcels = fill(lanes, "a", 20, limit=3)
    assert take_all(lanes) == parcels[:3]
    lanes.finished(parcels[1], prompt=True)
    assert take_all(lanes) == parcels[3:4]


def test_slow_destinations_leave_room_for_another():
    lanes = Lanes(10000, 200)
    for number in range(20):
        fill(lanes, f"slow{number}", 300)
    slow = take_all(lanes)
    assert len(slow) > 100
    fill(lanes, "new", 5)
    assert hosts(take_all(lanes)) == {"new"}


def test_hundreds_of_slow_destinations_leave_known_good_ones_alone():
    lanes = Lanes(10000, 100)
    prove(lanes, "good")
    for number in range(300):
        fill(lanes, f"slow{number}", 3)
    slow = take_all(lanes)
    assert len(slow) == 75
    fill(lanes, "good", 10)
    assert len(take_all(lanes)) == 10
    # A slow answer costs the privilege.
    fill(lanes, "good", 1)
    parcel = lanes.take()
    lanes.finished(parcel, prompt=False)
    fill(lanes, "good", 1)
    assert lanes.take() is None


def test_memory_is_bounded_and_no_destination_takes_all_of_it():
    lanes = Lanes(100, 10)
    assert len(fill(lanes, "a", 200)) == 50
    assert lanes.full(make_parcel("a").destination)
    assert len(fill(lanes, "b", 200)) == 25
    assert lanes.room() == 25
    assert not lanes.full(make_parcel("c").destination)


def test_a_parcel_counts_until_it_is_forgotten():
    lanes = Lanes(10, 10)
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
    lanes = Lanes(100, 2)
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
    lanes = Lanes(4, concurrency)
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
def test_whatever_happens_bounds_hold_and_nothing_is_lost_or_doubled(  # noqa: C901
    steps, concurrency, capacity
):
    lanes = Lanes(capacity, concurrency)
    queued, running = [], []
    for step, number in steps:
        if step == "put":
            parcel = make_parcel(f"h{number}", limit=3)
            if lanes.put(parcel):
                queued.append(parcel)
        elif step == "take":
            parcel = lanes.take()
            if parcel is None:
                continue
            same = [p for p in queued if p.destination == parcel.destination]
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
        for host in hosts(running):
            assert sum(p.destination.host == host for p in running) <= 3
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
