"""Ceilometer for tests: its options in this process, and its real notification agent."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import oslo_messaging
import yaml
from ceilometer import opts, publisher
from ceilometer.event.models import Event, Trait
from oslo_config import cfg

from eventalarm import bus
from eventalarm.publisher.event_eval import EventEvalPublisher
from tests.support.helpers import console_script, write_config


def ceilometer_options(transport_url: str) -> cfg.ConfigOpts:
    """Return Ceilometer's options; its agent's way to register them would set up logging and signals."""
    conf = cfg.ConfigOpts()
    for group, options in opts.list_opts():
        conf.register_opts(list(options), group=None if group == "DEFAULT" else group)
    conf([], default_config_files=[])
    bus.get_transport(conf, "fake://")
    conf.set_override("transport_url", transport_url)
    return conf


def load_publisher(conf: cfg.ConfigOpts, url: str) -> EventEvalPublisher:
    """Load the publisher of *url* as Ceilometer's pipeline does."""
    loaded = publisher.get_publisher(conf, url, "ceilometer.event.publisher")
    assert isinstance(loaded, EventEvalPublisher)
    return loaded


def make_ceilometer_event(
    message_id: str, raw: Mapping[str, Any] | None = None, state: str = "error"
) -> Event:
    """Return an event as Ceilometer's converter makes it."""
    traits = [Trait("resource_id", Trait.TEXT_TYPE, "vm-1"), Trait("state", Trait.TEXT_TYPE, state)]
    return Event(message_id, "compute.instance.update", "2026-11-20T23:01:36", traits, dict(raw or {}))


def agent_command(
    tmp_path: pathlib.Path, transport_url: str, publishers: Sequence[str], **sections: Mapping[str, Any]
) -> list[str]:
    """Return the command of a ``ceilometer-agent-notification`` whose event pipeline has *publishers*.

    Event definitions are those that Ceilometer ships; *sections* add options to ``ceilometer.conf``.
    """
    pipeline = {
        "sources": [{"name": "events", "events": ["*"], "sinks": ["alarms"]}],
        "sinks": [{"name": "alarms", "publishers": list(publishers)}],
    }
    pipeline_path = tmp_path / "event_pipeline.yaml"
    pipeline_path.write_text(yaml.safe_dump(pipeline))
    options: dict[str, dict[str, Any]] = {
        "DEFAULT": {"transport_url": transport_url, "event_pipeline_cfg_file": pipeline_path},
        "notification": {"pipelines": "event"},
    }
    for section, added in sections.items():
        options.setdefault(section, {}).update(added)
    conf_path = write_config(tmp_path / "ceilometer.conf", options)
    return [console_script("ceilometer-agent-notification"), "--config-file", str(conf_path)]


def notify(
    transport: Any, notification: Mapping[str, Any], exchange: str = "nova", topic: str = "notifications"
) -> None:
    """Put a notification on the bus exactly as the service that emitted it did."""
    priority = str(notification["priority"]).lower()
    target = oslo_messaging.Target(topic=f"{topic}.{priority}", exchange=exchange)
    transport._send_notification(target, {}, dict(notification), version=2.0, retry=5)
