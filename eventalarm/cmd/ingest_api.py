"""``eventalarm-ingest-api``: serves the ingest API with a web server of its own."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from typing import Any

from eventalarm import bus, service
from eventalarm.conf_ingest import INGEST_GROUP
from eventalarm.exceptions import InvalidOption

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
    with service.errors_on_stderr(PROG):
        try:
            _serve(conf)
        except ModuleNotFoundError as exc:
            if (exc.name or "").partition(".")[0] not in NEEDED:
                raise
            raise InvalidOption(PROG, f"needs {exc.name}", "pip install 'eventalarm[ingest]'") from exc
    return 0


def _serve(conf: Any) -> None:
    # Imported here: heavy, --help needs none of it, and they are an extra.
    import waitress  # noqa: PLC0415

    from eventalarm.ingest import application  # noqa: PLC0415

    group = conf[INGEST_GROUP]
    database = application.Once(lambda: service.database(conf))
    transport = bus.get_transport(conf)
    try:
        app = application.application(conf, transport, database)
        try:
            server = waitress.create_server(
                app,
                host=group.host,
                port=group.port,
                threads=group.threads,
                ident=PROG,
                # What is a little too large gets our own answer.
                max_request_body_size=4 * group.max_body_size,
            )
        except OSError as exc:
            option = f"[{INGEST_GROUP}] host, port"
            raise InvalidOption(
                option, f"{group.host}:{group.port}: {exc.strerror}", "choose another"
            ) from exc
        # waitress ends its loop, after the requests under way, on KeyboardInterrupt and SystemExit.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        print(f"Serving on http://{server.effective_host}:{server.effective_port}", flush=True)
        server.run()
    finally:
        database.close()
        transport.cleanup()


if __name__ == "__main__":
    sys.exit(main())
