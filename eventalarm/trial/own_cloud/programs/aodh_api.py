"""The real Aodh API in a process of its own.

``python -m eventalarm.trial.own_cloud.programs.aodh_api --config-file FILE``
"""

from __future__ import annotations

import sys

import waitress
from aodh.api import app


def main() -> None:
    """Serve on a free loopback port and print its URL."""
    application = app.build_wsgi_app(argv=sys.argv[1:])
    server = waitress.create_server(application, host="127.0.0.1", port=0, threads=8)
    print(f"serving http://127.0.0.1:{server.effective_port}", flush=True)
    server.run()


if __name__ == "__main__":
    main()
