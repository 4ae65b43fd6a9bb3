"""The ingest API as a WSGI application, for example ``uwsgi --module eventalarm.cmd.ingest_wsgi``.

The configuration is read as by the command; ``EVENTALARM_CONFIG`` may name other files and
directories, separated by colons.
"""

from __future__ import annotations

from typing import Any

from eventalarm import bus, service
from eventalarm.cmd.command import wsgi_application
from eventalarm.ingest import application as api


def build(conf: Any) -> Any:
    """Return the application for a configuration.

    :raises eventalarm.exceptions.EventAlarmError: when an option is not valid.
    """
    return api.application(conf, bus.get_transport(conf), api.Once(lambda: service.database(conf)))


application = wsgi_application("eventalarm-ingest-api", build)
