"""The floor of latency: takes each event from the queue and POSTs it at once; no rules, no database.

``python -m benchmarks.relay URL TOPIC EXCHANGE BASE… [--database URL]`` relays until it is stopped. It calls
the URL that the alarm on the event's instance would call, with a body of the same shape and size; with a
database only after it committed there what a fired alarm costs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import threading

import aiohttp
import amqp
from oslo_config import cfg

from benchmarks.bare import BareCommits
from eventalarm import bus
from eventalarm.trial.own_cloud.broker_queue import connect
from eventalarm.trial.own_cloud.load import workload

PREFETCH = 1000
CONNECTIONS = 200


def notification(message: amqp.Message) -> tuple[str, bytes]:
    """Return the alarm id and the webhook body for a message."""
    (event,) = json.loads(json.loads(message.body)["oslo.message"])["payload"]
    traits = {name: value for name, _, value in event["traits"]}
    alarm_id = workload.alarm_id_of(traits["project_id"], traits["instance_id"])
    reason = f"Event <id={event['message_id']},event_type={event['event_type']}> hits the query <query=[]>."
    webhook = {
        "alarm_name": f"fault of {traits['instance_id']}",
        "alarm_id": alarm_id,
        "severity": "critical",
        "previous": "insufficient data",
        "current": "alarm",
        "reason": reason,
        "reason_data": {"type": "event", "event": event},
    }
    return alarm_id, json.dumps(webhook).encode()


class Relay:
    """A thread that consumes and a loop that POSTs."""

    def __init__(self, bases: list[str], database_url: str = "") -> None:
        self._bases = bases
        self._database = BareCommits(database_url) if database_url else None
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, url: str, queue: str) -> None:
        """Relay forever."""
        self._loop = asyncio.get_running_loop()
        connector = aiohttp.TCPConnector(limit=CONNECTIONS)
        async with aiohttp.ClientSession(
            connector=connector, headers={"Content-Type": "application/json"}
        ) as self._session:
            threading.Thread(target=self._consume, args=(url, queue), daemon=True).start()
            await asyncio.Event().wait()

    def _consume(self, url: str, queue: str) -> None:
        try:
            with connect(url) as connection:
                channel = connection.channel()
                channel.basic_qos(0, PREFETCH, False)

                def take(message: amqp.Message) -> None:
                    alarm_id, body = notification(message)
                    if self._database is not None:
                        self._database.fire(alarm_id, body)
                    self._loop.call_soon_threadsafe(self._start, alarm_id, body)
                    channel.basic_ack(message.delivery_tag)

                channel.basic_consume(queue, callback=take)
                while True:
                    connection.drain_events()
        finally:
            # Without its consumer the process is useless, and the benchmark must notice.
            os._exit(1)

    def _start(self, alarm_id: str, body: bytes) -> None:
        task = self._loop.create_task(self._post(workload.action(self._bases, alarm_id), body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _post(self, url: str, body: bytes) -> None:
        async with self._session.post(url, data=body) as response:
            await response.read()


def declare(url: str, topic: str, exchange: str) -> None:
    """Make the queue as eventalarm's own publisher makes it, by sending one message, which is discarded."""
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[])
    transport = bus.get_transport(conf, url)
    bus.send(transport, topic=topic, exchange=exchange, event_type="event", payload=[])
    transport.cleanup()
    with connect(url) as connection:
        connection.channel().queue_purge(f"{topic}.sample")


def main() -> None:
    """Relay until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("url", "topic", "exchange"):
        parser.add_argument(name)
    parser.add_argument("bases", nargs="+")
    parser.add_argument("--database", default="")
    given = parser.parse_args()
    declare(given.url, given.topic, given.exchange)
    asyncio.run(Relay(given.bases, given.database).run(given.url, f"{given.topic}.sample"))


if __name__ == "__main__":
    main()
