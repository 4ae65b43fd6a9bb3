"""The plugin as Ceilometer loads it, on oslo.messaging's in-memory driver."""

from __future__ import annotations

import datetime
import logging
import pathlib
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from ceilometer import opts, publisher
from ceilometer.event.models import Event, Trait
from oslo_config import cfg

from eventalarm import bus
from eventalarm.exceptions import InvalidOption
from eventalarm.publisher.codec import decode
from eventalarm.publisher.event_eval import EventEvalPublisher
from tests.support.helpers import TopicListener

WHEN = datetime.datetime(2026, 11, 20, 23, 1, 36)


@pytest.fixture(scope="module")
def conf() -> cfg.ConfigOpts:
    """Ceilometer's own options; its agent's way to register them would also set up logging and signals."""
    conf = cfg.ConfigOpts()
    for group, options in opts.list_opts():
        conf.register_opts(list(options), group=None if group == "DEFAULT" else group)
    conf([], default_config_files=[])
    bus.get_transport(conf, "fake://")
    conf.set_override("transport_url", "fake://")
    return conf


def load(conf: cfg.ConfigOpts, url: str) -> EventEvalPublisher:
    loaded = publisher.get_publisher(conf, url, "ceilometer.event.publisher")
    assert isinstance(loaded, EventEvalPublisher)
    return loaded


def event(message_id: str, **raw: Any) -> Event:
    return Event(message_id, "compute.x", WHEN, [Trait("at", 4, WHEN), Trait("state", 1, "error")], raw)


@pytest.fixture
def topic() -> str:
    return f"topic_{uuid.uuid4().hex}"


@pytest.fixture
def listener(conf: cfg.ConfigOpts, topic: str) -> Iterator[TopicListener]:
    listener = TopicListener(bus.get_transport(conf), topic)
    yield listener
    listener.close()


def test_events_arrive_as_they_were_published(
    conf: cfg.ConfigOpts, topic: str, listener: TopicListener
) -> None:
    load(conf, f"eventalarm://?topic={topic}").publish_events([event("a"), event("b")])
    (message,) = listener.wait()
    events, invalid = decode(message["payload"])
    assert invalid == []
    assert [(one.message_id, one.trait("state")) for one in events] == [("a", "error"), ("b", "error")]


def test_an_event_that_cannot_be_written_hurts_only_itself(
    conf: cfg.ConfigOpts, topic: str, listener: TopicListener, caplog: pytest.LogCaptureFixture
) -> None:
    loop: dict[str, Any] = {"private": "secret-payload"}
    loop["loop"] = loop
    odd = Event("odd", "compute.x", WHEN, [None], {})
    with caplog.at_level(logging.INFO):
        load(conf, f"eventalarm://?topic={topic}").publish_events([event("a"), event("bad", loop=loop), odd])
    listener.wait()
    assert listener.ids == ["a"]
    assert "Dropped event bad" in caplog.text
    assert "Dropped event odd" in caplog.text
    assert "secret-payload" not in caplog.text


def publish_with_definitions(conf: cfg.ConfigOpts, topic: str, folder: pathlib.Path, text: str) -> None:
    """Publish an event by an agent whose event definitions are *text*."""
    path = folder / "event_definitions.yaml"
    path.write_text(text)
    conf.set_override("definitions_cfg_file", str(path), group="event")
    try:
        load(conf, f"eventalarm://?topic={topic}").publish_events([event("a")])
    finally:
        conf.clear_override("definitions_cfg_file", group="event")


def test_messages_state_which_trait_names_the_owner(
    conf: cfg.ConfigOpts, topic: str, listener: TopicListener, tmp_path: pathlib.Path
) -> None:
    """Of a definition that names the owner by the other trait than those of Ceilometer do."""
    text = "[{event_type: compute.x, traits: {tenant_id: {fields: payload.owner}}}]"
    publish_with_definitions(conf, topic, tmp_path, text)
    (message,) = listener.wait()
    assert message["payload"][0]["owner_trait"] == "tenant_id"
    ((found,), _) = decode(message["payload"])
    assert (found.owner_trait, "owner_trait" in found.body) == ("tenant_id", False)


def test_definitions_that_cannot_be_read_stop_no_event(
    conf: cfg.ConfigOpts,
    topic: str,
    listener: TopicListener,
    tmp_path: pathlib.Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    text = "- event_type: compute.x\n  traits: {project_id: {fields: payload.type# Nova: servers"
    publish_with_definitions(conf, topic, tmp_path, text)
    listener.wait()
    assert listener.ids == ["a"]
    assert "Event definitions cannot be read" in caplog.text


def test_a_large_batch_is_split(conf: cfg.ConfigOpts, topic: str, listener: TopicListener) -> None:
    large = [event(str(number), text="x" * 9000) for number in range(4)]
    load(conf, f"eventalarm://?topic={topic}&max_message_size=20000").publish_events(large)
    assert len(listener.wait(2)) == 2
    assert listener.ids == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    ("query", "option"),
    [("?policy=que", "policy"), ("?polcy=queue", "polcy"), ("?driver=rabbit", "driver")],
)
def test_a_wrong_option_is_reported_in_one_line(
    conf: cfg.ConfigOpts, query: str, option: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(InvalidOption) as caught:
        load(conf, f"eventalarm://{query}")
    assert caught.value.option == option
    (record,) = [one for one in caplog.records if one.name.startswith("eventalarm")]
    assert f"publishes nothing until its URL is corrected: {option}: " in record.message


def test_the_password_of_the_url_is_never_logged(
    conf: cfg.ConfigOpts, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "eventalarm"):
        load(conf, "eventalarm://u:s3cret@h:5672/v?rabbit_quorum_queue=true")
        with pytest.raises(InvalidOption):
            load(conf, "eventalarm://u:s3cret@h:5672/v?rabbit_quorum_queue=perhaps")
    mine = [record.getMessage() for record in caplog.records if record.name.startswith("eventalarm")]
    assert any("rabbit://h:5672/v topic event_eval, policy default" in line for line in mine)
    assert not any("s3cret" in line for line in mine)


def test_samples_are_refused(conf: cfg.ConfigOpts) -> None:
    with pytest.raises(NotImplementedError, match=r"event_pipeline\.yaml"):
        load(conf, "eventalarm://").publish_samples([])
