"""A broker made by hand: it refuses what it is told to refuse and keeps what it took."""

from __future__ import annotations

import threading

from eventalarm.exceptions import MessageTooLarge, PublishError
from eventalarm.model import JSONDict
from eventalarm.publisher.codec import Encoded, encode


def event(number: int, raw: int = 0) -> Encoded:
    """Return an encoded event; *raw* is the length of its copy of the notification."""
    body: JSONDict = {"message_id": f"m{number}", "event_type": "e", "traits": []}
    return encode({**body, "raw": {"text": "x" * raw}} if raw else body)


class Broker:
    """Takes messages of at most ``max_size`` bytes while ``up``, after refusing ``failures`` of them."""

    def __init__(self, max_size: int = 10**9) -> None:
        self.up = True
        self.max_size = max_size
        self.failures = 0
        self.tries = 0
        self.taken: list[list[JSONDict]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)

    def send(self, payload: list[JSONDict]) -> None:
        self.tries += 1
        self.entered.release()
        assert self.gate.wait(10)
        if self.failures:
            self.failures -= 1
            raise PublishError("told to refuse")
        if not self.up:
            raise PublishError("nobody there")
        if sum(encode(body).size for body in payload) > self.max_size:
            raise MessageTooLarge("message size 9 is larger than configured max size 8")
        self.taken.append(payload)

    @property
    def ids(self) -> list[str]:
        """The message ids of every event taken, in order."""
        return [body["message_id"] for payload in self.taken for body in payload]
