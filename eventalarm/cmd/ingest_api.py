"""``eventalarm-ingest-api``: serves the ingest API with a web server of its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from eventalarm import bus, service
from eventalarm.cmd import serving
from eventalarm.conf import INGEST_GROUP

PROG = "eventalarm-ingest-api"
NEEDED = ("falcon", "waitress", "jsonschema", "keystonemiddleware", "oslo_policy", "oslo_middleware")

DESCRIPTION = """\
Take events by HTTP from inspectors, monitors and health checkers, and put
them on the topic that eventalarm-listener reads: the short way of a fault
to the alarms on it. A request is answered with 202 when the message broker
has confirmed its events, with 503 while it is away.

  POST /v1/events        events, as OPNFV Doctor or as Ceilometer writes them
  POST /v1/rules/test    what an event would do to a rule or an alarm
  GET  /v1/openapi.json  all of it as OpenAPI 3.1

It reads aodh.conf as eventalarm-listener does. Run as many as you like, or
the WSGI module eventalarm.cmd.ingest_wsgi under uWSGI or gunicorn.
"""

EPILOG = """\
examples:
  eventalarm-ingest-api
  eventalarm-ingest-api --config-file /etc/aodh/aodh.conf
  curl -H "X-Auth-Token: $TOKEN" --json @fault.json http://127.0.0.1:8044/v1/events

signals:
  SIGTERM, SIGINT  finish the requests under way, then end

exit codes:
  0  stopped by a signal
  2  could not start: the reason is on stderr
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command until it is told to stop; the exit codes are those of the help text."""
    arguments = sys.argv[1:] if argv is None else argv
    conf = service.prepare(arguments, prog=PROG, description=DESCRIPTION, epilog=EPILOG)
    with service.errors_on_stderr(PROG), serving.needing(NEEDED, PROG, "ingest"):
        _serve(conf)
    return 0


def _serve(conf: Any) -> None:
    # Imported here: heavy, --help needs none of it, and it needs an extra.
    from eventalarm.ingest import application  # noqa: PLC0415

    database = application.Once(lambda: service.database(conf))
    transport = bus.get_transport(conf)
    try:
        app = application.application(conf, transport, database)
        # What is a little too large gets our own answer.
        serving.serve(app, conf, INGEST_GROUP, PROG, max_body=2 * conf[INGEST_GROUP].max_body_size)
    finally:
        database.close()
        transport.cleanup()


if __name__ == "__main__":
    sys.exit(main())
