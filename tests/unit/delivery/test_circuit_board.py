"""The circuits that a process knows: whose deliveries are deferred, and whose word counts."""

from __future__ import annotations

import dataclasses
import datetime
import logging
from typing import Any

import pytest

from eventalarm.delivery import circuit_board
from eventalarm.delivery.circuit import CircuitRules
from eventalarm.delivery.circuit_board import CircuitBoard
from eventalarm.delivery.retry import of_status
from eventalarm.exceptions import DeliveryError
from eventalarm.model import Circuit, CircuitState, Delivery
from tests.support.deliveries import NOW, longest, make_delivery

HOST = "http://hooks.example.org:80"
REFUSED = DeliveryError("connect", "refused")


def item(**fields: Any) -> Delivery:
    action = fields.pop("action", "http://hooks.example.org/a?token=s3cret")
    return make_delivery(action, **{"destination": HOST, **fields})


@pytest.fixture
def clock() -> list[datetime.datetime]:
    return [NOW]


@pytest.fixture
def board(clock: list[datetime.datetime]) -> CircuitBoard:
    return CircuitBoard(CircuitRules(failures=2), lambda: clock[0], longest)


def fail(board: CircuitBoard, one: Delivery, error: DeliveryError = REFUSED, times: int = 2) -> None:
    for _ in range(times):
        board.note((one,), error)


def store(board: CircuitBoard) -> list[Circuit]:
    """Store what changed, as the database does; return what is stored."""
    stored = []
    for one in board.unsaved():
        stored.append(dataclasses.replace(one, version=one.version + 1))
        board.saved(one, stored[-1])
    return stored


def test_only_the_project_whose_deliveries_fail_waits(board: CircuitBoard) -> None:
    """Red when circuits are by destination alone."""
    fail(board, item())
    assert board.defers((item(),))
    assert not board.defers((item(project_id="other"),))
    assert not board.defers((item(destination="http://hooks.example.org:8080"),))
    board.note((item(project_id="other"),))
    assert board.defers((item(),))


def test_a_call_counts_once_however_many_deliveries_it_carries(board: CircuitBoard) -> None:
    board.note([item() for _ in range(5)], REFUSED)
    assert not board.defers((item(),))


def test_subscribers_and_actions_without_a_destination_have_no_circuit(board: CircuitBoard) -> None:
    for one in (item(subscription_id="s"), item(destination="")):
        fail(board, one, times=5)
        assert not board.defers((one,))
    fail(board, item())
    assert not board.defers((item(subscription_id="s"),))


def test_without_the_option_nothing_is_deferred_or_disabled() -> None:
    board = CircuitBoard(CircuitRules(failures=0), lambda: NOW, longest)
    fail(board, item(), of_status(410), times=5)
    assert not board.defers((item(),))
    assert board.disabled(item()) is None


def test_a_probe_passes_and_its_success_closes(board: CircuitBoard, clock: list[datetime.datetime]) -> None:
    fail(board, item())
    (known,) = store(board)
    assert board.due() == []
    clock[0] += datetime.timedelta(seconds=1)
    assert board.due() == [known]
    assert board.saved(known, dataclasses.replace(board.probing(known), version=2)) == []
    probe = item()
    board.send_as_probe(probe)
    assert not board.defers((probe,))
    assert board.defers((item(),))
    board.note((probe,))
    assert not board.defers((item(),))
    (closed,) = board.unsaved()
    assert (closed.state, closed.version) == (CircuitState.CLOSED, 2)
    (done,) = board.saved(closed, dataclasses.replace(closed, version=3))
    assert done.destination == HOST
    assert board.unsaved() == []


def test_a_probe_that_says_nothing_is_followed_by_another(
    board: CircuitBoard, clock: list[datetime.datetime]
) -> None:
    fail(board, item())
    (known,) = store(board)
    probe = item()
    board.saved(known, dataclasses.replace(board.probing(known), version=2))
    board.send_as_probe(probe)
    board.note((probe,), DeliveryError("keystone", "Unauthorized"))
    clock[0] += datetime.timedelta(seconds=120)
    (due,) = board.due()
    assert due.state == CircuitState.OPEN


def test_a_probe_given_up_without_an_attempt_is_followed_by_another_at_once(board: CircuitBoard) -> None:
    fail(board, item())
    (known,) = store(board)
    half_open = dataclasses.replace(board.probing(known), version=2)
    board.saved(known, half_open)
    probe = item()
    board.send_as_probe(probe)
    board.gave_up((item(),))
    assert board.due() == []
    board.gave_up((probe,))
    (due,) = board.due()
    assert (due.state, due.probes) == (CircuitState.OPEN, half_open.probes)
    assert board.defers((probe,))


def test_nothing_waits_for_the_destination_of_a_disabled_url(board: CircuitBoard) -> None:
    """Red when the circuit of the destination is asked alone: it would become a probe that is never sent."""
    fail(board, item(), of_status(410), times=1)
    fail(board, item(action=f"{HOST}/b"))
    assert board.defers((item(action=f"{HOST}/b"),))
    assert not board.defers((item(),))


def test_the_database_wins_over_what_is_older(board: CircuitBoard) -> None:
    fail(board, item())
    (known,) = store(board)
    newer = dataclasses.replace(known, version=5, probes=9)
    assert board.learn([newer, dataclasses.replace(known, version=4, state=CircuitState.CLOSED)]) == []
    assert board.defers((item(),))
    closed = Circuit("p", HOST, version=6)
    assert board.learn([closed]) == [closed]
    assert not board.defers((item(),))
    # What another process opened is known here too.
    board.learn([dataclasses.replace(known, version=7)])
    assert board.defers((item(),))


def test_a_lost_race_keeps_the_newer_result_for_the_next_write(board: CircuitBoard) -> None:
    fail(board, item())
    (mine,) = board.unsaved()
    theirs = dataclasses.replace(mine, version=3, probes=4)
    # While it is written, a straggler succeeds.
    board.note((item(),))
    assert board.saved(mine, theirs) == []
    assert board.unsaved() == []
    assert not board.defers((item(),))
    board.learn([theirs])
    assert board.defers((item(),))


def test_a_project_cannot_open_any_number(board: CircuitBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circuit_board, "MOST_OPEN", 3)
    places = [item(destination=f"http://h{number}:80") for number in range(5)]
    for one in places:
        fail(board, one)
    assert [board.defers((one,)) for one in places] == [True, True, True, False, False]
    fail(board, item(project_id="other"))
    assert board.defers((item(project_id="other"),))


def test_a_url_that_is_gone_is_disabled_alone(board: CircuitBoard) -> None:
    """Red when 410 disables the destination: other URLs of the host are those of other consumers."""
    board.note((item(),), of_status(410))
    assert board.disabled(item()) is not None
    assert board.disabled(item(action="http://hooks.example.org/other")) is None
    assert not board.defers((item(),))


def test_a_url_that_is_gone_closes_the_circuit_of_its_destination(board: CircuitBoard) -> None:
    fail(board, item())
    board.note((item(action="http://hooks.example.org/other"),), of_status(410))
    assert not board.defers((item(),))
    assert board.disabled(item()) is None


def test_a_disabled_url_is_logged_once_without_secrets(
    board: CircuitBoard, caplog: pytest.LogCaptureFixture
) -> None:
    fail(board, item(), of_status(410), times=3)
    circuit = board.disabled(item())
    assert circuit is not None
    assert (circuit.status, board.disabled(item(project_id="other"))) == (410, None)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "HTTP 410" in record.getMessage()
    assert "s3cret" not in record.getMessage()
