"""``eventalarm-standalone``: all services in one process, for trials without a cloud."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence

from eventalarm.cmd.command import Command

DEFAULT_PORT = 8042
CONSUMER = "http://127.0.0.1:9000/"

DESCRIPTION = """\
Run everything that an event alarm needs in one process, for trials, for
development or to test a webhook consumer. No broker, database server,
Keystone or cloud is needed.

  POST /notifications      what Nova, Neutron, Cinder ... would send to the bus
        |
        v  in-process bus, topic "notifications"
  Ceilometer's notification agent: its event definitions, its event pipeline
        |
        v  publisher eventalarm://, in-process bus, topic "event_eval"
  eventalarm: match, change the alarm, call its actions; its inspector
        ^     publishes the fault of a host to the owners of its servers
        |
        |  SQLite
  Aodh's API, /v2          used by "openstack alarm ..."
"""

EPILOG = """\
data
  DIR/aodh.sqlite           alarms, their history, and pending webhooks
  DIR/conf.d/*.conf         options of any service ([eventalarm], ...)
  DIR/event_pipeline.yaml   Ceilometer's pipeline; may be edited
  DIR/event_definitions.yaml
                            Ceilometer's event definitions, into which those of
                            eventalarm are merged at each start; edits are kept
  DIR/standalone.log        the log of all services
  The message bus (the driver inprocess://) exists only in memory: it is
  drained before a clean exit, and its messages are lost if the process is
  killed.

notifications
  The body is the message as a service sends it: event_type, payload and
  publisher_id, and optionally priority, message_id and timestamp. An
  oslo.message envelope is removed. ?exchange=NAME names the sending service
  (default: nova). An alarm fires once for each message_id, so omit message_id
  to post a file again.

no authentication
  Any client that reaches the port can read and change every alarm and make
  this host call any URL. Therefore it listens on loopback only, unless
  --i-know-there-is-no-authentication is given, and answers only requests for
  the hosts 127.0.0.1, localhost and [::1], which keeps web pages from reaching
  it through a browser. --allow-host adds a name.

examples:
  eventalarm-standalone --data-dir ~/alarms
  eventalarm-standalone --data-dir /tmp/alarms --port 0    use any free port

signals:
  SIGTERM, SIGINT  finish the accepted messages, then exit; the data is kept

exit codes:
  0  stopped by a signal
  2  could not start: the reason is on stderr
"""

COMMAND = Command("eventalarm-standalone", DESCRIPTION, EPILOG)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    reader = COMMAND.parser()
    reader.add_argument(
        "--data-dir", metavar="DIR", required=True, help="directory for the data; created if missing"
    )
    reader.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    reader.add_argument(
        "--port",
        type=port,
        default=DEFAULT_PORT,
        help="port to listen on; 0 uses any free port (default: %(default)s)",
    )
    reader.add_argument(
        "--i-know-there-is-no-authentication",
        dest="consent",
        action="store_true",
        help="permit addresses other than loopback",
    )
    reader.add_argument(
        "--allow-host",
        metavar="NAME",
        action="append",
        default=[],
        help="also answer requests whose Host header is NAME; may be repeated",
    )
    return reader


def port(text: str) -> int:
    """Read a port number.

    :raises argparse.ArgumentTypeError: when *text* is not a port number.
    """
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port number; it must be 0 to 65535")
    return int(text)


def stop_signals() -> threading.Event:
    """Return an event that the first SIGTERM or SIGINT sets; a second signal ends the process at once."""
    stopping = threading.Event()

    def stop(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    return stopping


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command until a signal stops it; the exit codes are those of the help text."""
    chosen = parser().parse_args(argv)
    stopping = stop_signals()
    # Slow to import, and not needed for --help.
    from eventalarm.standalone import datadir, launch, sample  # noqa: PLC0415

    with COMMAND.errors(), datadir.claim(chosen.data_dir) as data:
        listening = launch.listen(chosen.host, chosen.port, consent=chosen.consent)
        print("Starting ...", flush=True)
        hosts = [chosen.host, *chosen.allow_host]
        standalone = launch.standalone(data, listening, prog=COMMAND.prog, hosts=hosts)
        standalone.start()
        print(f"Serving on {standalone.endpoint} with the data in {data.path}; Ctrl-C ends it.\n")
        print(sample.as_tenant(standalone.endpoint))
        print(sample.watch(CONSUMER))
        print(sample.send_as_nova(standalone.endpoint, data))
        print(sample.report_as_monitor(standalone.endpoint, CONSUMER))
        print(sample.paths(data), flush=True)
        stopping.wait()
        standalone.stop()
    print("Stopped; the data is kept.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
