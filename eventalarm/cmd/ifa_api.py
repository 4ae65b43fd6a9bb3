"""``eventalarm-ifa-api``: serve alarms to NFVOs and VNFMs over HTTP."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from eventalarm.cmd.command import ApiCommand
from eventalarm.conf import IFA_GROUP

DESCRIPTION = """\
Serve the alarms of this cloud with the interfaces of ETSI NFV:

  /ifa/v1/alarms            IFA 005 and IFA 006, with the filters of OPNFV Doctor
  /vnffm/v1/alarms          SOL003 fault management, for NFVOs and VNFMs
  /vnffm/v1/subscriptions   SOL003 subscriptions
  /openapi.json             the OpenAPI document

Keystone validates tokens ([keystone_authtoken], as in aodh.conf). A tenant
sees the alarms of its project; an administrator sees those of all projects
with ?all_projects=true. Any number of instances may run behind a proxy.
Alternatively run the WSGI module eventalarm.cmd.ifa_wsgi under uWSGI or
gunicorn.
"""

EPILOG = """\
examples:
  eventalarm-ifa-api
  eventalarm-ifa-api --config-file /etc/aodh/aodh.conf
  curl -H "X-Auth-Token: $TOKEN" http://127.0.0.1:8043/ifa/v1/alarms

signals:
  SIGTERM, SIGINT  finish the requests in progress, then exit
  SIGUSR2          write a report of the threads and of the configuration to
                   stderr

exit codes:
  0  stopped by a signal
  2  could not start: the reason is on stderr
"""

COMMAND = ApiCommand(
    "eventalarm-ifa-api",
    DESCRIPTION,
    EPILOG,
    group=IFA_GROUP,
    extra="ifa",
    modules=("falcon", "waitress", "cryptography", "jsonschema"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command until a signal stops it; the exit codes are those of the help text."""
    return COMMAND.run(argv, _opened)


@contextlib.contextmanager
def _opened(conf: Any) -> Iterator[tuple[Any, int]]:
    # Slow to import, not needed for --help, and part of an extra.
    from eventalarm.ifa_shim.api.application import application  # noqa: PLC0415
    from eventalarm.ifa_shim.api.vnffm import MAX_BODY  # noqa: PLC0415

    with COMMAND.database(conf) as database:
        yield application(conf, database), 2 * MAX_BODY


if __name__ == "__main__":
    sys.exit(main())
