"""The hosts of a transport URL, as oslo.messaging takes them."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Iterator
from typing import Any

import pytest
from oslo_config import cfg

from eventalarm import bus
from eventalarm.broker import Broker, QueueState, QueueWatch, Unusable
from eventalarm.status.pipeline import Target


def configured(url: str | None) -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[])
    bus.transport_url(conf)
    if url is not None:
        conf.set_override("transport_url", url)
    return conf


@pytest.mark.parametrize(
    ("url", "names"),
    [
        (None, ["localhost:5672"]),
        ("rabbit:///nova", ["localhost:5672"]),
        ("rabbit://a:b@one,c:d@two:5673/", ["one:5672", "two:5673"]),
    ],
)
def test_a_url_without_a_host_means_this_one_as_for_oslo_messaging(url: str | None, names: list[str]) -> None:
    broker = Broker.of(configured(url), 10.0)
    assert [name for name, _ in broker.connections()] == names


def test_two_urls_without_a_host_name_the_same_broker() -> None:
    assert Target("event_eval", configured(None), configured(None)).problem_of("eventalarm://") is None


class Connections:
    """The stand-in of a broker: each connection works for a number of looks."""

    def __init__(self, *looks: int) -> None:
        self._looks = list(looks)

    @contextlib.contextmanager
    def connected(self) -> Iterator[Any]:
        if not self._looks:
            raise Unusable("connection refused")
        left = [object()] * self._looks.pop(0)

        def channel() -> Any:
            if not left:
                raise ConnectionResetError
            left.pop()
            found = types.SimpleNamespace(message_count=3, consumer_count=1)
            return types.SimpleNamespace(queue_declare=lambda name, passive: found, close=lambda: None)

        yield types.SimpleNamespace(channel=channel)


def test_a_connection_that_was_closed_meanwhile_is_replaced_at_once() -> None:
    broker: Any = Connections(1, 2)
    watch = QueueWatch(broker)
    assert [watch.look("t") for _ in range(3)] == [QueueState(3, 1)] * 3
    for _ in range(2):
        with pytest.raises(Unusable):
            watch.look("t")
