"""``eventalarm-ingest-api``: accept events over HTTP."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from eventalarm import bus, service
from eventalarm.cmd.command import ApiCommand
from eventalarm.conf import INGEST_GROUP

DESCRIPTION = """\
Accept events over HTTP from inspectors, monitors and health checkers, and
publish them to the topic that eventalarm-listener consumes: the shortest path
from a fault to its alarms. A request is answered with 202 once the broker has
confirmed its events, and with 503 while the broker is unavailable.

  POST /v1/events        events in the format of OPNFV Doctor or Ceilometer
  GET  /v1/maintenance   the sessions of planned maintenance of a project,
                         which it can answer
  PUT  /v1/hosts/HOST/maintenance
                         plan, begin or end the maintenance of a host
  POST /v1/rules/test    evaluate a rule or an alarm on an event, without effect
  GET  /v1/deliveries    the webhooks and notifications of a project, with their
                         attempts
  POST /v1/deliveries/ID/retry, /v1/deliveries/replay
                         send failed ones, or those of a period, again
  GET  /v1/destinations  success rates and latencies of a project's destinations
  GET  /v1/health        what the health checks of the cloud found
  POST /v1/secret        create the secret that signs the webhooks of a project
  GET  /v1/keys          the public keys that verify signatures of webhooks
  GET  /v1/openapi.json  the OpenAPI document

aodh.conf is read as by eventalarm-listener. Any number of instances may run.
Alternatively run the WSGI module eventalarm.cmd.ingest_wsgi under uWSGI or
gunicorn.
"""

EPILOG = """\
examples:
  eventalarm-ingest-api
  eventalarm-ingest-api --config-file /etc/aodh/aodh.conf
  curl -H "X-Auth-Token: $TOKEN" --json @fault.json http://127.0.0.1:8044/v1/events

signals:
  SIGTERM, SIGINT  finish the requests in progress, then exit
  SIGUSR2          write a report of the threads and of the configuration to
                   stderr

exit codes:
  0  stopped by a signal
  2  could not start: the reason is on stderr
"""

COMMAND = ApiCommand(
    "eventalarm-ingest-api",
    DESCRIPTION,
    EPILOG,
    group=INGEST_GROUP,
    extra="ingest",
    modules=("falcon", "waitress", "jsonschema", "keystonemiddleware", "oslo_policy", "oslo_middleware"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command until a signal stops it; the exit codes are those of the help text."""
    return COMMAND.run(argv, _opened)


@contextlib.contextmanager
def _opened(conf: Any) -> Iterator[tuple[Any, int]]:
    # Slow to import, not needed for --help, and part of an extra.
    from eventalarm.ingest import application  # noqa: PLC0415

    with contextlib.ExitStack() as stack:
        database = application.Once(lambda: service.database(conf))
        stack.callback(database.close)
        transport = bus.get_transport(conf)
        stack.callback(transport.cleanup)
        # Up to twice the limit, the application answers and can explain the refusal.
        yield application.application(conf, transport, database), 2 * conf[INGEST_GROUP].max_body_size


if __name__ == "__main__":
    sys.exit(main())
