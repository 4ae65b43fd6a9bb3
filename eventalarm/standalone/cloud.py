"""The whole chain in one process: started in order, stopped in the opposite one."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import pathlib

from aodh import storage as aodh_storage
from aodh.api import app as aodh_api
from oslo_config import cfg

from eventalarm import app, service
from eventalarm.standalone import address, datadir
from eventalarm.standalone.agent import EVENT_DEFINITIONS, Agent
from eventalarm.standalone.datadir import DataDir
from eventalarm.standalone.intake import Intake
from eventalarm.standalone.web import WebServer, dispatch
from eventalarm.storage import schema
from eventalarm.trace import Trace

LOG = logging.getLogger(__name__)

PASTE = str(pathlib.Path(aodh_api.__file__).with_name("api-paste.ini"))


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """What a person chooses; *consent* is to listen beyond loopback."""

    data_dir: str
    host: str = "127.0.0.1"
    port: int = 0
    consent: bool = False


class Standalone:
    """Aodh's API, Ceilometer's event pipeline, a bus, and eventalarm, on one data directory.

    :param prog: the command on whose behalf; it is named in configuration errors.
    """

    def __init__(self, options: Options, *, prog: str, trace: Trace | None = None) -> None:
        self._options = options
        self._prog = prog
        self._trace = trace
        self._running = contextlib.ExitStack()
        self.endpoint = ""

    def start(self) -> DataDir:
        """Return once everything works, with the directory it works on.

        :raises InvalidOption: naming the option that cannot work; nothing is left running then.
        :raises eventalarm.exceptions.EventAlarmError: when the database cannot be used.
        :raises SystemExit: code 2, after one line on stderr, when the user's own options are wrong.
        """
        with contextlib.ExitStack() as undo:
            listening = address.listen(self._options.host, self._options.port, consent=self._options.consent)
            undo.callback(listening.close)
            data = undo.enter_context(datadir.claim(self._options.data_dir))
            datadir.fill(data, PASTE, EVENT_DEFINITIONS)
            conf = self._configuration(data)
            _create_tables(conf)
            listener = app.ListenerProcess(conf, trace=self._trace)
            undo.callback(listener.stop)
            listener.start()
            agent = Agent(data, self._trace)
            agent.start()
            undo.callback(agent.stop)
            web = WebServer(dispatch(aodh_api.load_app(conf), Intake(agent.put, agent.exchanges)), listening)
            web.start()
            undo.callback(web.stop)
            self.endpoint = address.url(listening)
            LOG.info("Serving %s from %s", self.endpoint, data.path)
            self._running = undo.pop_all()
        return data

    def stop(self) -> None:
        """Take no more requests, see through what was taken, and let go of the directory."""
        self._running.close()

    def _configuration(self, data: DataDir) -> cfg.ConfigOpts:
        return service.prepare(
            ["--config-file", str(data.aodh_conf), "--config-dir", str(data.overrides)],
            prog=self._prog,
            description="",
            epilog="",
        )


def _create_tables(conf: cfg.ConfigOpts) -> None:
    aodh_storage.get_connection_from_config(conf).upgrade()
    database = service.database(conf)
    try:
        schema.upgrade(database)
    finally:
        database.dispose()
