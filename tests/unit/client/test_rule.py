"""Events as people have them: what ``openstack eventalarm rule test --event`` reads."""

import json
import pathlib

import pytest
from ceilometer.event import models
from ceilometer.publisher import file as file_publisher
from oslo_utils import netutils

from eventalarm.client import rule
from eventalarm.model import Event

DATA = pathlib.Path(__file__).parents[2] / "data"
STORED = json.loads((DATA / "ceilometer-event-create.end.json").read_text())


def as_ceilometers() -> models.Event:
    traits = [models.Trait(*trait) for trait in STORED["traits"]]
    return models.Event(STORED["message_id"], STORED["event_type"], STORED["generated"], traits, {})


def test_output_of_the_ceilometer_file_publisher_is_read(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "events.log"
    publisher = file_publisher.FilePublisher(None, netutils.urlsplit(f"file://{path}?json"))
    publisher.publish_events([as_ceilometers(), as_ceilometers()])
    for handler in publisher.publisher_logger.handlers:
        handler.close()
    events = rule.read_events(path.read_text())
    assert len(events) == 2
    parsed = Event.parse(events[0])
    assert parsed.bad_traits == []
    assert parsed.trait("instance_id")
    assert parsed.trait("instance_id") == Event.parse(STORED).trait("instance_id")


def test_one_event_and_lists_of_events() -> None:
    assert rule.read_events(json.dumps(STORED)) == [STORED]
    assert rule.read_events(json.dumps([STORED, STORED])) == [STORED, STORED]


def test_the_body_of_a_webhook_is_read() -> None:
    body = json.loads((DATA / "aodh-webhook-body.json").read_text())
    (event,) = rule.read_events(json.dumps(body))
    assert event["event_type"] == body["reason_data"]["event"]["event_type"]
    assert Event.parse(event).bad_traits == []


@pytest.mark.parametrize(
    "text", ["", "no JSON", "{}", "[1]", '{"reason_data": {"type": "threshold"}}', "[" * 9999]
)
def test_input_without_an_event_is_refused_with_the_accepted_forms(text: str) -> None:
    with pytest.raises(rule.NotAnEvent) as caught:
        rule.read_events(text)
    assert any(word in str(caught.value) for word in ("must be an event", "not JSON", "empty"))
