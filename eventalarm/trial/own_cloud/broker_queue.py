"""The AMQP operations that the benchmark needs: connect, and read the depth and consumers of a queue."""

from __future__ import annotations

import urllib.parse
from dataclasses import dataclass

import amqp


@dataclass(frozen=True)
class Queue:
    """The number of messages ready in a queue (without unacknowledged ones), and its number of consumers."""

    messages: int
    consumers: int


def connect(url: str) -> amqp.Connection:
    """Return a connection to the broker of an oslo.messaging transport URL."""
    parts = urllib.parse.urlsplit(url)
    connection = amqp.Connection(
        host=f"{parts.hostname}:{parts.port}",
        userid=parts.username,
        password=parts.password,
        virtual_host=parts.path.lstrip("/"),
        connect_timeout=30,
    )
    connection.connect()
    return connection


def look(url: str, topic: str) -> Queue | None:
    """Return the state of the queue of *topic*, or None if there is no such queue."""
    with connect(url) as connection:
        try:
            found = connection.channel().queue_declare(f"{topic}.sample", passive=True)
        except amqp.NotFound:
            return None
        return Queue(found.message_count, found.consumer_count)


def purge(url: str, topic: str) -> None:
    """Purge the queue of *topic* if it exists."""
    with connect(url) as connection:
        try:
            connection.channel().queue_purge(f"{topic}.sample")
        except amqp.NotFound:
            return
