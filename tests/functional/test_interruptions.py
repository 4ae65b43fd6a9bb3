"""A message whose evaluation ends the process is found and given up; its neighbours are evaluated (G6).

When run as a program, this file is a listener that dies when it evaluates the event ``poison``.
"""

from __future__ import annotations

import functools
import os
import pathlib
import sys
import threading
from typing import Any, cast

from eventalarm import bus, service
from eventalarm.evaluator.handler import BatchHandler
from eventalarm.evaluator.listener import BatchServer
from eventalarm.evaluator.options import ListenerOptions
from eventalarm.evaluator.redelivery import Interruptions
from eventalarm.metrics import Metrics
from eventalarm.storage.events import Suspects
from eventalarm.trial.own_cloud.services.restartable import RabbitMQ
from tests.support.cloud import Spawn
from tests.support.handlers import FakeHandler
from tests.support.helpers import Process, aodh_config, wait_until

TOPIC, EXCHANGE = "event_eval", "eventalarm"
MOST = 3
EVENTS = [*(f"good-{number}" for number in range(4)), "poison", *(f"good-{number}" for number in range(4, 8))]


def listen(conf_path: str, seen: pathlib.Path) -> None:
    """Record every event that is evaluated; one of them ends the process."""
    conf = service.prepare(["--config-file", conf_path], prog="test", description="", epilog="")

    class Fragile(FakeHandler):
        def handle(self, messages: Any) -> dict[int, str]:
            found = [event["message_id"] for message in messages for event in message["payload"]]
            if "poison" in found:
                os._exit(1)
            with seen.open("a") as file:
                file.writelines(f"{one}\n" for one in found)
            return {}

    def set_aside(message: dict[str, Any]) -> None:
        bus.resend(bus.get_transport(conf), message, topic=TOPIC, exchange=EXCHANGE, priority=bus.DEAD)

    interruptions = Interruptions(Suspects(service.database(conf)), Metrics(), most=MOST, set_aside=set_aside)
    server = BatchServer(
        bus.get_transport(conf),
        ListenerOptions(TOPIC, EXCHANGE, 100),
        cast(BatchHandler, Fragile()),
        interruptions=interruptions,
    )
    server.begin()
    threading.Event().wait()


def test_only_the_message_that_ends_the_process_is_set_aside(
    spawn: Spawn, tmp_path: pathlib.Path, our_mariadb_url: str, rabbit_url: str, rabbitmq: RabbitMQ
) -> None:
    """Fails without the counts: the process restarts and dies forever, and no other event gets through.

    On a classic queue, where the broker does not count deliveries.
    """
    conf_path = aodh_config(tmp_path, our_mariadb_url, rabbit_url)
    conf = service.prepare(["--config-file", str(conf_path)], prog="test", description="", epilog="")
    transport = bus.get_transport(conf)
    for name in EVENTS:
        event = {"message_id": name, "event_type": "x", "traits": []}
        bus.send(transport, topic=TOPIC, exchange=EXCHANGE, event_type="x", payload=[event])
    transport.cleanup()
    seen = tmp_path / "seen"
    starts = 0

    def queues() -> dict[str, int]:
        return {name: queue["messages"] for name, queue in rabbitmq.queues(rabbit_url).items()}

    def done() -> bool:
        return queues().get(f"{TOPIC}.{bus.DEAD}", 0) == 1 and queues()[f"{TOPIC}.sample"] == 0

    def settled(program: Process) -> bool:
        return program.popen.poll() is not None or done()

    while True:
        starts += 1
        assert starts <= MOST + 2
        program = spawn([sys.executable, "-m", "tests.functional.test_interruptions", conf_path, seen])
        wait_until(functools.partial(settled, program), 60)
        if program.popen.poll() is None:
            break
        wait_until(lambda: rabbitmq.unacknowledged(rabbit_url) == 0, what="the broker to notice")
    assert {*seen.read_text().split()} == {*EVENTS} - {"poison"}


if __name__ == "__main__":
    listen(sys.argv[1], pathlib.Path(sys.argv[2]))
