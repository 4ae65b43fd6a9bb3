"""Ceilometer's notification agent inside our process: its own service, pipeline and event definitions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import oslo_messaging
from ceilometer import keystone_client, messaging, notification, opts
from oslo_config import cfg

from eventalarm.exceptions import InvalidOption
from eventalarm.standalone.datadir import DataDir
from eventalarm.standalone.intake import Notification
from eventalarm.trace import Stage, Trace


class TracedPublisher:
    """Forwards events to a Ceilometer publisher and marks :attr:`Stage.PUBLISHED` before.

    Not after: a listener may receive an event before the call that published it returns.
    """

    def __init__(self, publisher: Any, trace: Trace) -> None:
        self._publisher = publisher
        self._trace = trace

    def publish_events(self, events: Sequence[Any]) -> None:
        """Publish Ceilometer events."""
        for event in events:
            self._trace.mark(Stage.PUBLISHED, event.message_id)
        self._publisher.publish_events(events)


class Agent:
    """Ceilometer's ``NotificationService``, which consumes notifications and publishes events.

    One per process: Ceilometer keeps its transports in module state.
    """

    def __init__(self, data: DataDir, trace: Trace | None = None) -> None:
        self._data = data
        self._trace = trace
        self._conf = _configuration(data)
        self._service = notification.NotificationService(0, self._conf)

    @property
    def exchanges(self) -> tuple[str, ...]:
        """The exchanges that Ceilometer listens on."""
        return tuple(self._conf.notification.notification_control_exchanges)

    def start(self) -> None:
        """Load the pipeline and begin to consume notifications.

        :raises InvalidOption: when a publisher in ``event_pipeline.yaml`` cannot be loaded.
        """
        self._service.run()
        for sink in self._sinks():
            if len(sink.publishers) != len(sink.cfg["publishers"]):
                self.stop()
                raise InvalidOption(
                    str(self._data.event_pipeline),
                    "a publisher cannot be loaded",
                    f"correct or remove it; see {self._data.log}",
                )
            if self._trace is not None:
                sink.publishers = [TracedPublisher(one, self._trace) for one in sink.publishers]

    def _sinks(self) -> list[Any]:
        pipelines = [pipeline for manager in self._service.managers for pipeline in manager.pipelines]
        return list({id(pipeline.sink): pipeline.sink for pipeline in pipelines}.values())

    def put(self, posted: Notification) -> None:
        """Publish a notification as a service would, with its id and time.

        oslo.messaging's public ``Notifier`` would replace both, hence the private method.
        """
        (topic, *_) = self._conf.oslo_messaging_notifications.topics
        target = oslo_messaging.Target(topic=f"{topic}.{posted.priority}", exchange=posted.exchange)
        transport = messaging.get_transport(self._conf)
        transport._send_notification(target, {}, posted.message, version=2.0, retry=0)

    def stop(self) -> None:
        """Publish what was consumed, then stop."""
        self._service.terminate()


def _configuration(data: DataDir) -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    for group, options in opts.list_opts():
        conf.register_opts(list(options), group=None if group == "DEFAULT" else group)
    keystone_client.register_keystoneauth_opts(conf)
    conf(
        ["--config-file", str(data.ceilometer_conf), "--config-dir", str(data.overrides)],
        project="ceilometer",
    )
    return conf
