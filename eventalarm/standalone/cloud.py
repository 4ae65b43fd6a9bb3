"""All services in one process: started in order, stopped in reverse order."""

from __future__ import annotations

import contextlib
import logging
import pathlib
import socket
from collections.abc import Collection, Sequence
from typing import Any

import oslo_messaging
from aodh import storage as aodh_storage
from aodh.api import app as aodh_api
from ceilometer import keystone_client, messaging, notification, opts
from oslo_config import cfg

from eventalarm import bus, service
from eventalarm.app.process import ListenerProcess
from eventalarm.catalogue import install
from eventalarm.exceptions import InvalidOption
from eventalarm.http.requests import KnownHosts
from eventalarm.ifa_shim.api import application as ifa_api
from eventalarm.ingest import application as ingest_api
from eventalarm.inspector.process import InspectorProcess
from eventalarm.model import Stage
from eventalarm.standalone import datadir, launch
from eventalarm.standalone.datadir import DataDir
from eventalarm.standalone.sample import PATH
from eventalarm.standalone.web import Intake, Notification, WebServer, dispatch
from eventalarm.storage.upgrade import upgrade
from eventalarm.trace import Trace


class TracedPublisher:
    """Marks :attr:`Stage.PUBLISHED` for each event, then forwards the events to a Ceilometer publisher.

    The mark comes first, since a listener may receive an event before the call that published it returns.
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
        """Publish a notification as a service would, with its message id and time stamp.

        oslo.messaging's public ``Notifier`` would replace both, hence the private method.
        """
        (topic, *_) = self._conf.oslo_messaging_notifications.topics
        target = oslo_messaging.Target(topic=f"{topic}.{posted.priority}", exchange=posted.exchange)
        transport = messaging.get_transport(self._conf)
        transport._send_notification(target, {}, posted.message, version=2.0, retry=0)

    def stop(self) -> None:
        """Publish the notifications that were consumed, then stop."""
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


LOG = logging.getLogger(__name__)

PASTE = str(pathlib.Path(aodh_api.__file__).with_name("api-paste.ini"))


class Standalone:
    """Aodh's API, Ceilometer's event pipeline, a message bus, eventalarm and its APIs, on one data directory.

    :param data: the directory, claimed for this process.
    :param listening: where to serve; closed by :meth:`stop`.
    :param prog: the name of the command, for configuration errors.
    :param hosts: host names that requests may use, besides those of loopback.
    """

    def __init__(
        self,
        data: DataDir,
        listening: socket.socket,
        *,
        prog: str,
        hosts: Collection[str] = (),
        trace: Trace | None = None,
    ) -> None:
        self._data = data
        self._hosts = hosts
        self._listening = listening
        self._prog = prog
        self._trace = trace
        self._running = contextlib.ExitStack()
        self.endpoint = launch.url(listening)

    def start(self) -> None:
        """Return once everything runs; after an error nothing is left running.

        :raises InvalidOption: naming the invalid option or file.
        :raises eventalarm.exceptions.EventAlarmError: when the database cannot be used.
        :raises SystemExit: code 2, after one line on stderr, when the user's own options are wrong.
        """
        with contextlib.ExitStack() as starting:
            starting.callback(self._listening.close)
            datadir.fill(self._data, PASTE)
            _define_events(self._data.event_definitions)
            conf = self._configuration()
            _create_tables(conf)
            listener = ListenerProcess(conf, trace=self._trace)
            starting.callback(listener.stop)
            listener.start()
            inspector = InspectorProcess(conf)
            starting.callback(inspector.stop)
            inspector.start()
            agent = Agent(self._data, self._trace)
            agent.start()
            starting.callback(agent.stop)
            self._serve(conf, agent, starting)
            LOG.info("Serving %s from %s", self.endpoint, self._data.path)
            self._running = starting.pop_all()

    def _serve(self, conf: cfg.ConfigOpts, agent: Agent, starting: contextlib.ExitStack) -> None:
        """Serve Aodh's API and ours on the listening socket."""
        database = service.database(conf)
        starting.callback(database.dispose)
        transport = bus.get_transport(conf)
        starting.callback(transport.cleanup)
        ours = {
            PATH: Intake(agent.put, agent.exchanges),
            **dict.fromkeys(ifa_api.PREFIXES, ifa_api.application(conf, database)),
            **dict.fromkeys(ingest_api.PREFIXES, ingest_api.application(conf, transport, lambda: database)),
        }
        everything = dispatch(aodh_api.load_app(conf), ours)
        web = WebServer(KnownHosts(everything, self._hosts, option=launch.ALLOW_HOST), self._listening)
        web.start()
        starting.callback(web.stop)

    def stop(self) -> None:
        """Stop accepting requests and finish the accepted ones."""
        self._running.close()

    def _configuration(self) -> cfg.ConfigOpts:
        return service.prepare(
            ["--config-file", str(self._data.aodh_conf), "--config-dir", str(self._data.overrides)],
            prog=self._prog,
            description="",
            epilog="",
        )


def _define_events(path: pathlib.Path) -> None:
    """Merge our event definitions into the file *path*, as ``eventalarm-definitions install`` does."""
    planned = install.plan(path)
    if planned.before != planned.text:
        path.write_text(planned.text, encoding="utf-8")
    for note in planned.notes:
        LOG.warning("%s: %s", path, note)


def _create_tables(conf: cfg.ConfigOpts) -> None:
    aodh_storage.get_connection_from_config(conf).upgrade()
    database = service.database(conf)
    try:
        upgrade(database)
    finally:
        database.dispose()
