"""Which redelivered messages are counted, and how often."""

from __future__ import annotations

import pathlib
import types
from collections.abc import Iterator
from typing import Any

import pytest

from eventalarm.evaluator.redelivery import Interruptions
from eventalarm.metrics import Metrics
from eventalarm.storage.events import Suspects
from tests.support.engine_harness import create_schemas, open_database

MOST = 3


class Message:
    """A message of the bus; ``redelivered`` as the broker reports it."""

    def __init__(self, message_id: str, redelivered: bool = True) -> None:
        raw = types.SimpleNamespace(delivery_info={"redelivered": redelivered}, headers={})
        self.message = Body(raw, message_id=message_id)
        self.acknowledged = False

    def acknowledge(self) -> None:
        self.acknowledged = True


class Body(dict[str, Any]):
    """The body of a message with the raw message that oslo.messaging attaches."""

    def __init__(self, raw: Any, **fields: Any) -> None:
        super().__init__(fields)
        self._raw_message = raw


class Restarts:
    """Successive listeners, each ended by the evaluation of a message."""

    def __init__(self, counts: Suspects) -> None:
        self.counts = counts
        self.set_aside: list[dict[str, Any]] = []

    def start(self) -> Interruptions:
        """Return the objects of a new process."""
        return Interruptions(self.counts, Metrics(), most=MOST, set_aside=self.set_aside.append)


@pytest.fixture
def restarts(tmp_path: pathlib.Path) -> Iterator[Restarts]:
    with open_database(f"sqlite:///{tmp_path}/db") as database:
        create_schemas(database)
        yield Restarts(Suspects(database))


@pytest.mark.parametrize("others", [0, 2], ids=["alone", "among others"])
def test_each_evaluation_is_counted_once(restarts: Restarts, others: int) -> None:
    """Fails when a message that is alone in its batch at its first redelivery is counted twice."""
    for began in range(1, MOST + 1):
        interruptions = restarts.start()
        batch = [Message("poison"), *(Message(f"new-{n}", redelivered=False) for n in range(others))]
        part = next(p for p in interruptions.parts(batch) if batch[0] in p.messages)
        interruptions.begins(part)
        assert restarts.counts.tries(["poison"]) == {"poison": began}
        assert restarts.set_aside == []
    batch = [Message("poison")]
    assert restarts.start().parts(batch) == []
    assert batch[0].acknowledged
    assert [body["message_id"] for body in restarts.set_aside] == ["poison"]


def test_an_evaluation_that_ends_is_not_counted(restarts: Restarts) -> None:
    interruptions = restarts.start()
    for _ in range(MOST + 1):
        (part,) = interruptions.parts([Message("slow")])
        interruptions.begins(part)
        interruptions.ended(part.messages)
    assert restarts.counts.tries(["slow"]) == {}


def test_a_suspect_is_evaluated_last_and_alone(restarts: Restarts) -> None:
    restarts.start().parts([Message("poison"), Message("good")])
    batch = [Message("poison"), Message("new", redelivered=False), Message("other")]
    parts = restarts.start().parts(batch)
    assert [(p.messages, p.suspect) for p in parts] == [([batch[1], batch[2]], False), ([batch[0]], True)]
