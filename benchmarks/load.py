"""The load generator, in its own process: sends prepared events in one burst or at a constant average rate.

Messages are those of oslo.messaging, byte for byte; they are written through its AMQP library with the
broker's confirmations counted as they come, so that the generator is no bottleneck. It reads one JSON
request per line.
"""

from __future__ import annotations

import datetime
import json
import random
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any

import amqp
import sqlalchemy as sa
from aodh.storage.sqlalchemy import models
from oslo_messaging._drivers import amqp as oslo_amqp
from oslo_messaging._drivers import common as oslo_common
from oslo_utils import timeutils

from eventalarm.publisher.partitions import of_project
from eventalarm.trial.own_cloud.broker_queue import connect
from eventalarm.trial.own_cloud.load import workload

LEAD = 0.2
CONFIRM_TIMEOUT = 120.0


def envelope(event: dict[str, Any]) -> str:
    """Return the message that ``eventalarm.bus.send`` makes of one event, encoded."""
    message = {
        "message_id": str(uuid.uuid4()),
        "publisher_id": "benchmark",
        "event_type": "event",
        "priority": "SAMPLE",
        "payload": [event],
        "timestamp": str(timeutils.utcnow()),
    }
    oslo_amqp._add_unique_id(message)
    return json.dumps(oslo_common.serialize_msg(message))


class Generator:
    """One connection to the broker and the messages to send next."""

    def __init__(self, url: str) -> None:
        self._connection = connect(url)
        self._channel = self._connection.channel()
        self._channel.confirm_select()
        self._channel.events["basic_ack"].add(self._confirmed)
        self._published = 0
        self._outstanding: set[int] = set()
        self._low = 1
        self._exchange = ""
        self._keys: list[str] = []
        self._messages: list[amqp.Message] = []

    def _confirmed(self, delivery_tag: int, multiple: bool) -> None:
        if not multiple:
            self._outstanding.discard(delivery_tag)
            return
        self._outstanding.difference_update(range(self._low, delivery_tag + 1))
        self._low = max(self._low, delivery_tag + 1)

    def prepare(
        self, events: list[list[str]], exchange: str, topic: str, partitions: int = 1
    ) -> dict[str, Any]:
        """Encode *events* for the queues of *topic*, divided among *partitions* by project."""
        base = workload.template()
        now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
        self._exchange = exchange
        self._keys = [f"{of_project(project, partitions).topic(topic)}.sample" for project, *_ in events]
        self._messages = [
            amqp.Message(
                envelope(
                    workload.body(
                        workload.EventSpec(project, resource, message_id, state),
                        now + datetime.timedelta(microseconds=number),
                        base,
                    )
                ),
                content_type="application/json",
                content_encoding="utf-8",
                delivery_mode=2,
            )
            for number, (project, resource, message_id, state) in enumerate(events)
        ]
        return {"prepared": len(self._messages)}

    def _publish(self, message: amqp.Message, key: str) -> float:
        moment = time.monotonic()
        self._published += 1
        self._outstanding.add(self._published)
        self._channel.basic_publish(message, exchange=self._exchange, routing_key=key)
        return moment

    def _await_confirmations(self) -> None:
        deadline = time.monotonic() + CONFIRM_TIMEOUT
        while self._outstanding:
            self._connection.drain_events(timeout=max(0.001, deadline - time.monotonic()))

    def burst(self) -> dict[str, Any]:
        """Send everything at once."""
        sent = [self._publish(*one) for one in zip(self._messages, self._keys, strict=True)]
        self._await_confirmations()
        return {"sent": sent}

    def paced(self, rate: float, seed: int) -> dict[str, Any]:
        """Send everything at *rate* a second."""
        due, sent = [], []
        for moment, message, key in zip(_moments(rate, seed), self._messages, self._keys, strict=False):
            self._idle_until(moment)
            due.append(moment)
            sent.append(self._publish(message, key))
        self._await_confirmations()
        return {"due": due, "sent": sent}

    def created(self, rate: float, seed: int, database: str, alarms: list[list[str]]) -> dict[str, Any]:
        """As :meth:`paced`, but each event's alarm is created, and that committed, right before it is sent.

        Its latency is then counted from when it is sent: the time to create the alarm is not included.
        """
        sent = []
        engine = sa.create_engine(database, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            everything = zip(_moments(rate, seed), self._messages, self._keys, alarms, strict=False)
            for moment, message, key, (project, resource, action) in everything:
                self._idle_until(moment)
                spec = workload.AlarmSpec(project, resource, action)
                now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
                connection.execute(models.Alarm.__table__.insert(), workload.alarm_row(spec, now))
                sent.append(self._publish(message, key))
        engine.dispose()
        self._await_confirmations()
        return {"due": sent, "sent": sent}

    def _idle_until(self, moment: float) -> None:
        """Read confirmations between events, so that they never delay sending."""
        while (left := moment - time.monotonic()) > 0:
            if left < 0.001 or not self._outstanding:
                time.sleep(left)
                continue
            try:
                self._connection.drain_events(timeout=left - 0.0005)
            except TimeoutError:
                continue


def _moments(rate: float, seed: int) -> Iterator[float]:
    chance = random.Random(seed)
    moment = time.monotonic() + LEAD
    while True:
        moment += chance.expovariate(rate)
        yield moment


def main() -> None:
    """Obey requests from standard input until it closes."""
    generator = Generator(sys.argv[1])
    for line in sys.stdin:
        request = json.loads(line)
        answer = getattr(generator, request.pop("verb"))(**request)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
