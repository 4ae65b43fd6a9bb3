"""Acknowledgements: messages of a batch go together, but never one that is still held."""

from __future__ import annotations

from typing import Any

import pytest

from eventalarm.evaluator.acknowledgements import Acknowledgements, TrackedMessage


class Channel:
    """Records the frames that acknowledge."""

    def __init__(self) -> None:
        self.frames: list[tuple[int, bool]] = []
        self.closed = False

    def basic_ack(self, delivery_tag: int, multiple: bool = False) -> None:
        if self.closed:
            raise ConnectionError("connection already closed")
        self.frames.append((delivery_tag, multiple))


class Raw:
    """The part of a message of kombu that is used."""

    def __init__(self, channel: Channel, tag: int) -> None:
        self.channel = channel
        self.delivery_tag = tag


class Body(dict[str, Any]):
    """The message as oslo.messaging unpacks it."""

    def __init__(self, raw: Raw) -> None:
        super().__init__()
        self._raw_message = raw


class Consumer:
    """Receives messages on one channel after the other."""

    def __init__(self) -> None:
        self.channel = Channel()
        self.acknowledgements = Acknowledgements(lambda task: task())

    def receive(self, *tags: int) -> list[TrackedMessage]:
        bodies = [Body(Raw(self.channel, tag)) for tag in tags]
        return [
            self.acknowledgements.received(None, {}, body, "", None, None, None, None, None)
            for body in bodies
        ]


@pytest.fixture
def consumer() -> Consumer:
    return Consumer()


def test_a_batch_goes_in_one_frame(consumer: Consumer) -> None:
    messages = consumer.receive(1, 2, 3, 4)
    consumer.acknowledgements.acknowledge(messages[:3])
    consumer.acknowledgements.acknowledge([])
    consumer.acknowledgements.acknowledge(messages[3:])
    assert consumer.channel.frames == [(3, True), (4, True)]


def test_messages_after_a_held_one_go_one_by_one(consumer: Consumer) -> None:
    first, second, held, fourth, fifth = consumer.receive(1, 2, 3, 4, 5)
    consumer.acknowledgements.acknowledge([fifth, first, fourth, second])
    assert consumer.channel.frames == [(2, True), (4, False), (5, False)]
    (sixth,) = consumer.receive(6)
    consumer.acknowledgements.acknowledge([sixth])
    assert consumer.channel.frames[3:] == [(6, False)]
    held.acknowledge()
    assert consumer.channel.frames[4:] == [(3, True)]


def test_a_message_is_acknowledged_once(consumer: Consumer) -> None:
    """RabbitMQ closes a channel on which a message is acknowledged twice."""
    first, second = consumer.receive(1, 2)
    first.acknowledge()
    consumer.acknowledgements.acknowledge([first, second])
    second.acknowledge()
    assert consumer.channel.frames == [(1, True), (2, True)]


def test_a_message_that_was_never_received_is_passed_over(consumer: Consumer) -> None:
    """The driver rejects a message that it cannot decode, and its tag is missing."""
    consumer.acknowledgements.acknowledge(consumer.receive(1, 3))
    assert consumer.channel.frames == [(3, True)]


def test_a_message_of_a_closed_channel_is_not_acknowledged_on_the_next(
    consumer: Consumer, caplog: pytest.LogCaptureFixture
) -> None:
    before = consumer.channel
    old = consumer.receive(1, 2, 3)
    consumer.channel = Channel()
    new = consumer.receive(1, 2)
    consumer.acknowledgements.acknowledge([*old, new[0]])
    assert before.frames == []
    assert consumer.channel.frames == [(1, True)]
    assert "3 messages will be delivered again" in caplog.text


def test_a_lost_connection_is_reported_once(consumer: Consumer, caplog: pytest.LogCaptureFixture) -> None:
    messages = consumer.receive(1, 2, 3)
    consumer.channel.closed = True
    consumer.acknowledgements.acknowledge([messages[0], messages[2]])
    assert len(caplog.records) == 1
    assert "2 messages are not acknowledged and will be delivered again" in caplog.text
