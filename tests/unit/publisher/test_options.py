"""The publisher's URL: every option read, every mistake named with its remedy."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from oslo_utils import netutils

from eventalarm.exceptions import InvalidOption
from eventalarm.publisher.options import Policy, PublisherOptions, parse


def read(url: str) -> PublisherOptions:
    return parse(netutils.urlsplit(url))


def test_a_bare_url_has_the_defaults() -> None:
    assert read("eventalarm://") == PublisherOptions()
    chosen = PublisherOptions()
    assert (chosen.topic, chosen.exchange, chosen.policy) == ("event_eval", "eventalarm", Policy.DEFAULT)
    assert (chosen.max_queue_length, chosen.max_retry, chosen.max_message_size) == (1024, None, 8 * 1024**2)


@pytest.mark.parametrize(
    ("url", "changed"),
    [
        ("eventalarm://?topic=t", {"topic": "t"}),
        ("eventalarm:///?exchange=e-x.y", {"exchange": "e-x.y"}),
        ("eventalarm://?policy=queue&max_queue_length=7", {"policy": Policy.QUEUE, "max_queue_length": 7}),
        ("eventalarm://?policy=drop", {"policy": Policy.DROP}),
        ("eventalarm://?policy=default&max_retry=0", {"max_retry": 0}),
        ("eventalarm://?max_message_size=65536", {"max_message_size": 65536}),
        ("eventalarm://?partitions=4&owner_traits=a,b", {"partitions": 4, "owner_traits": ("a", "b")}),
        ("eventalarm://?accept_event_loss=true", {"accept_event_loss": True}),
        ("eventalarm://h", {"url": "rabbit://h"}),
        ("eventalarm://h:1/v?driver=kafka", {"url": "kafka://h:1/v", "driver": "kafka"}),
        ("eventalarm://u:p%40w@h,u:p@[::1]:2/v", {"url": "rabbit://u:p%40w@h,u:p@[::1]:2/v"}),
        ("eventalarm://?rabbit_quorum_queue=true", {"driver_options": {"rabbit_quorum_queue": "true"}}),
        ("eventalarm://h?ssl=1", {"url": "rabbit://h", "driver_options": {"ssl": "1"}}),
    ],
)
def test_options_are_read(url: str, changed: dict[str, Any]) -> None:
    assert read(url) == dataclasses.replace(PublisherOptions(), **changed)


@pytest.mark.parametrize(
    ("url", "option", "words"),
    [
        ("eventalarm://?policy=que", "policy", "use one of: default, queue, drop"),
        ("eventalarm://?policy=", "policy", "has no value"),
        ("eventalarm://?topic", "topic", "has no value"),
        ("eventalarm://?topic=a&topic=b", "topic", "given twice"),
        ("eventalarm://?ssl=1&ssl=0", "ssl", "given twice"),
        ("eventalarm://?topic=a%20b", "topic", "is not a valid name"),
        ("eventalarm://?topic=%00", "topic", "is not a valid name"),
        ("eventalarm://?exchange=" + "x" * 201, "exchange", "up to 200"),
        ("eventalarm://?max_queue_length=0", "max_queue_length", "≥ 1"),
        ("eventalarm://?max_queue_length=many", "max_queue_length", "use an integer"),
        ("eventalarm://?max_retry=-1", "max_retry", "≥ 0"),
        ("eventalarm://?max_retry=1.5", "max_retry", "use an integer"),
        ("eventalarm://?max_retry=%D9%A3", "max_retry", "use an integer"),
        ("eventalarm://?max_message_size=100", "max_message_size", "≥ 16384"),
        ("eventalarm://?max_message_size=" + "9" * 5000, "max_message_size", "use an integer"),
        ("eventalarm://?partitions=0", "partitions", "≥ 1"),
        ("eventalarm://?partitions=1025", "partitions", "≤ 1024"),
        ("eventalarm://?owner_traits=a,,b", "owner_traits", "is not a valid name"),
        ("eventalarm://?accept_event_loss=yes", "accept_event_loss", "use true or false"),
        ("eventalarm:///vhost", "host", "is missing"),
    ],
)
def test_a_mistake_names_the_option_and_the_remedy(url: str, option: str, words: str) -> None:
    with pytest.raises(InvalidOption, match=words) as caught:
        read(url)
    assert caught.value.option == option
    assert str(caught.value).startswith(f"{option}: ")


def test_the_password_stays_out_of_the_representation() -> None:
    assert "s3cret" not in repr(read("eventalarm://u:s3cret@h/v"))
