"""The hosts of a transport URL, as oslo.messaging takes them."""

from __future__ import annotations

import pytest
from oslo_config import cfg

from eventalarm import bus
from eventalarm.broker import Broker
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
