"""``eventalarm-ifa-api``: serve alarms to NFVOs and VNFMs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from eventalarm import service
from eventalarm.cmd import serving
from eventalarm.conf import IFA_GROUP

PROG = "eventalarm-ifa-api"
NEEDED = ("falcon", "waitress", "cryptography", "jsonschema")

DESCRIPTION = """\
Serve the alarms of this cloud as ETSI NFV has them:

  /ifa/v1/alarms       IFA 005 and IFA 006, with Doctor's filters
  /vnffm/v1/alarms     SOL003 fault management, as NFVOs and VNFMs speak it
  /vnffm/v1/subscriptions
  /openapi.json        what all of it looks like

Tokens are checked by Keystone ([keystone_authtoken], as in aodh.conf); a
tenant sees the alarms of its project, an administrator those of all with
?all_projects=true. Run as many as you like, behind any proxy; or run the WSGI
module eventalarm.cmd.ifa_wsgi under uWSGI or gunicorn.
"""

EPILOG = """\
examples:
  eventalarm-ifa-api
  eventalarm-ifa-api --config-file /etc/aodh/aodh.conf
  curl -H "X-Auth-Token: $TOKEN" http://127.0.0.1:8043/ifa/v1/alarms

signals:
  SIGTERM, SIGINT  finish the requests under way, then end

exit codes:
  0  stopped by a signal
  2  could not start: the reason is on stderr
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command until it is told to stop; the exit codes are those of the help text."""
    conf = service.prepare(
        sys.argv[1:] if argv is None else argv,
        prog=PROG,
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    with service.errors_on_stderr(PROG), serving.needing(NEEDED, PROG, "ifa"):
        _serve(conf)
    return 0


def _serve(conf: Any) -> None:
    # Imported here: heavy, --help needs none of it, and they are an extra.
    from eventalarm.ifa_shim.api.application import application  # noqa: PLC0415
    from eventalarm.ifa_shim.api.bodies import MAX_BODY  # noqa: PLC0415
    from eventalarm.storage import schema  # noqa: PLC0415

    database = service.database(conf)
    try:
        schema.require_current(database)
        serving.serve(application(conf, database), conf, IFA_GROUP, PROG, max_body=2 * MAX_BODY)
    finally:
        database.dispose()


if __name__ == "__main__":
    sys.exit(main())
