"""The whole chain in one process: started in order, stopped in reverse order."""

from __future__ import annotations

import contextlib
import logging
import pathlib
import socket
from collections.abc import Collection

from aodh import storage as aodh_storage
from aodh.api import app as aodh_api
from oslo_config import cfg

from eventalarm import bus, service
from eventalarm.app.process import ListenerProcess
from eventalarm.catalogue import install
from eventalarm.http.hosts import KnownHosts
from eventalarm.ifa_shim.api import application as ifa_api
from eventalarm.ingest import application as ingest_api
from eventalarm.standalone import address, datadir
from eventalarm.standalone.agent import Agent
from eventalarm.standalone.datadir import DataDir
from eventalarm.standalone.intake import PATH, Intake
from eventalarm.standalone.web import WebServer, dispatch
from eventalarm.storage.upgrade import upgrade
from eventalarm.trace import Trace

LOG = logging.getLogger(__name__)

PASTE = str(pathlib.Path(aodh_api.__file__).with_name("api-paste.ini"))


class Standalone:
    """Aodh's API, Ceilometer's event pipeline, a bus, eventalarm and its APIs, on one data directory.

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
        self.endpoint = address.url(listening)

    def start(self) -> None:
        """Return once everything runs; after an error nothing is left running.

        :raises InvalidOption: naming the invalid option or file.
        :raises eventalarm.exceptions.EventAlarmError: when the database cannot be used.
        :raises SystemExit: code 2, after one line on stderr, when the user's own options are wrong.
        """
        with contextlib.ExitStack() as undo:
            undo.callback(self._listening.close)
            datadir.fill(self._data, PASTE)
            _define_events(self._data.event_definitions)
            conf = self._configuration()
            _create_tables(conf)
            listener = ListenerProcess(conf, trace=self._trace)
            undo.callback(listener.stop)
            listener.start()
            agent = Agent(self._data, self._trace)
            agent.start()
            undo.callback(agent.stop)
            database = service.database(conf)
            undo.callback(database.dispose)
            transport = bus.get_transport(conf)
            undo.callback(transport.cleanup)
            events = ingest_api.application(conf, transport, lambda: database)
            alarms = ifa_api.application(conf, database)
            others = {
                PATH: Intake(agent.put, agent.exchanges),
                **dict.fromkeys(ifa_api.PREFIXES, alarms),
                **dict.fromkeys(ingest_api.PREFIXES, events),
            }
            everything = KnownHosts(
                dispatch(aodh_api.load_app(conf), others), self._hosts, option=address.ALLOW_HOST
            )
            web = WebServer(everything, self._listening)
            web.start()
            undo.callback(web.stop)
            LOG.info("Serving %s from %s", self.endpoint, self._data.path)
            self._running = undo.pop_all()

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
