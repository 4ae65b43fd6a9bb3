"""``eventalarm-standalone``: the whole chain in one process, to try it out without a cloud."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence

PROG = "eventalarm-standalone"
DEFAULT_PORT = 8042
CONSUMER = "http://127.0.0.1:9000/"

DESCRIPTION = """\
Run everything that an event alarm needs in one process, to try it out, to
develop against it or to test a webhook consumer: no broker, no database
server, no Keystone, no cloud.

  POST /notifications      what Nova, Neutron, Cinder ... would put on the bus
        |
        v  in-process bus, topic "notifications"
  Ceilometer's notification agent: its event definitions, its event pipeline
        |
        v  publisher eventalarm://, in-process bus, topic "event_eval"
  eventalarm: match, change the alarm, call its actions
        ^
        |  SQLite
  Aodh's API, /v2          what "openstack alarm ..." talks to
"""

EPILOG = """\
what it keeps
  DIR/aodh.sqlite           alarms, their history, webhooks still to be sent
  DIR/conf.d/*.conf         your own options for any part ([eventalarm], ...)
  DIR/event_pipeline.yaml   Ceilometer's pipeline, yours to edit
  DIR/event_definitions.yaml
                            Ceilometer's event definitions with eventalarm's
                            merged at every start; what you change in it stays
  DIR/standalone.log        the log of all parts
  The bus lives as long as the process: it is emptied before a clean end, and
  what is on it is lost when the process is killed. It is one of our own,
  inprocess://, because fake:// of oslo.messaging looks for messages only
  every 50 ms, and kombu+memory:// never rests.

notifications
  The body is the message as a service sends it: event_type, payload and
  publisher_id, and, if you like, priority, message_id and timestamp. The
  oslo.message envelope is taken off. ?exchange=NAME says which service
  speaks (nova unless given). An alarm fires once for one message_id, so
  leave message_id out when you post a file again.

no authentication
  Whoever reaches the port may read and change every alarm and have this
  machine call any URL. So it listens on loopback only, unless you consent,
  and answers requests for 127.0.0.1, localhost and [::1] only: otherwise a web
  page could reach it through your browser. --allow-host adds a name.

examples:
  eventalarm-standalone --data-dir ~/alarms
  eventalarm-standalone --data-dir /tmp/alarms --port 0    any free port

signals:
  SIGTERM, SIGINT  finish what was taken, then end; the data is kept

exit codes:
  0  stopped by a signal
  2  could not start: the reason is on stderr
"""


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    reader = argparse.ArgumentParser(
        prog=PROG,
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    reader.add_argument(
        "--data-dir", metavar="DIR", required=True, help="where to keep the data; made if missing"
    )
    reader.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    reader.add_argument(
        "--port",
        type=port,
        default=DEFAULT_PORT,
        help="port to listen on; 0 takes any free one (default: %(default)s)",
    )
    reader.add_argument(
        "--i-know-there-is-no-authentication",
        dest="consent",
        action="store_true",
        help="allow to listen beyond loopback",
    )
    reader.add_argument(
        "--allow-host",
        metavar="NAME",
        action="append",
        default=[],
        help="answer requests whose Host header is NAME, beside loopback and --host; may be repeated",
    )
    return reader


def port(text: str) -> int:
    """Read a port number.

    :raises argparse.ArgumentTypeError: when it is none.
    """
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; use 0 to 65535")
    return int(text)


def stop_signals() -> threading.Event:
    """Return what is set by the first SIGTERM or SIGINT; the second one ends the process at once."""
    stopping = threading.Event()

    def stop(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    return stopping


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command until it is told to stop; the exit codes are those of the help text."""
    chosen = parser().parse_args(argv)
    stopping = stop_signals()
    # Imported here: heavy, and --help needs none of it.
    from eventalarm import service  # noqa: PLC0415
    from eventalarm.standalone import address, datadir, hints, lazy  # noqa: PLC0415

    with service.errors_on_stderr(PROG), datadir.claim(chosen.data_dir) as data:
        listening = address.listen(chosen.host, chosen.port, consent=chosen.consent)
        print("Starting ...", flush=True)
        hosts = [chosen.host, *chosen.allow_host]
        standalone = lazy.standalone(data, listening, prog=PROG, hosts=hosts)
        standalone.start()
        print(f"Serving on {standalone.endpoint} with the data in {data.path}; Ctrl-C ends it.\n")
        print(hints.as_tenant(standalone.endpoint))
        print(hints.watch(CONSUMER))
        print(hints.speak_as_nova(standalone.endpoint, data), flush=True)
        stopping.wait()
        standalone.stop()
    print("Stopped; the data is kept.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
