"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass

SCENARIOS = (
    "match",
    "memory",
    "throughput",
    "latency",
    "storm",
    "cold",
    "churn",
    "fanout",
    "partitions",
    "ifa",
    "pages",
    "owed",
)
ALL = "all"
WHAT = """\
scenarios:
  match       decoded events against 10 to 100,000 alarms, in one process without broker or database
  memory      bytes per cached alarm
  throughput  events per second through one listener, by number of alarms, projects and matching share
  latency     publish to webhook at 10, 100 and 500 events/s
  storm       100 to 5,000 alarms fired at once: when does the last webhook arrive
  cold        the first event of a project with 100,000 alarms; start with 1,000,000 alarms
  churn       500 alarm edits/s while events flow: does every alarm fire, and how late
  fanout      a host fails and comes back: report to webhook of 10, 100 and 1,000 owners
  partitions  events per second and memory of 1, 2 and 4 listeners on 1,000 projects with 100 alarms each,
              on one topic and divided among as many partitions
  ifa         pages of the IFA API from 100,000 alarms with 1,000,000 transitions
  pages       pages of 1,000,000 deliveries and of 1,000,000 recorded events, by HTTP from the ingest API
  owed        webhooks alone and beside 10,000 deliveries that are owed to a dead destination, in turn
  all         all of these
"""


@dataclass(frozen=True)
class Options:
    """What to measure and how; ``output`` is the directory for results."""

    scenarios: tuple[str, ...]
    database: str = "mariadb"
    workers: int = 2
    repeats: int = 3
    quick: bool = False
    stock: bool = True
    stock_seconds: float = 60.0
    database_floor: bool = False
    db_rtt: tuple[float, ...] = ()
    seed: int = 1
    only: str = ""
    record_events: str = "off"
    output: pathlib.Path = pathlib.Path("benchmark-results")

    def size(self, full: int, quick: int) -> int:
        """Return the size of something: *full*, or *quick* for a smoke test."""
        return quick if self.quick else full


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _milliseconds(text: str) -> tuple[float, ...]:
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = (-1.0,)
    if min(found) < 0:
        raise argparse.ArgumentTypeError("must be milliseconds of 0 or more, separated by commas")
    return found


def build_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(
        prog="benchmarks",
        description="Measure eventalarm beside its floor and beside stock Aodh, on real services.",
        epilog=WHAT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "scenarios",
        nargs="+",
        choices=[*SCENARIOS, ALL],
        metavar="SCENARIO",
        help=f"one or more of {', '.join([*SCENARIOS, ALL])}",
    )
    parser.add_argument(
        "--quick", action="store_true", help="small enough for a smoke test; no figures to quote"
    )
    parser.add_argument("--repeats", type=_positive, help="repeats of each measurement (3; with --quick 1)")
    parser.add_argument("--workers", type=_positive, default=2, help="listener processes of eventalarm (2)")
    parser.add_argument("--database", choices=["mariadb", "postgresql"], default="mariadb")
    parser.add_argument("--no-stock", dest="stock", action="store_false", help="leave stock Aodh out")
    parser.add_argument(
        "--stock-seconds",
        type=float,
        help="stop stock Aodh after so many seconds a case (60; with --quick 5)",
    )
    parser.add_argument(
        "--database-floor",
        action="store_true",
        help="let the floor of latency, storm, cold and churn commit what a fired alarm costs a bare driver",
    )
    parser.add_argument(
        "--db-rtt",
        type=_milliseconds,
        default=(),
        metavar="MS[,MS…]",
        help="measure latency, storm and churn with the database so many milliseconds (round trip) away, "
        "each distance by itself; 0 is without a relay",
    )
    parser.add_argument(
        "--record-events",
        choices=["off", "matched", "project", "all"],
        default="off",
        help="the option record_events of eventalarm (off)",
    )
    parser.add_argument("--seed", type=int, default=1, help="of everything random (1)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only cases whose name contains TEXT")
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        default=pathlib.Path("benchmark-results"),
        metavar="DIRECTORY",
        help="where results.json, table.txt and the plots go (benchmark-results)",
    )
    return parser


def parse(argv: Sequence[str] | None = None) -> Options:
    """Return the options of *argv*.

    :raises SystemExit: code 2 if they are invalid, 0 after ``--help``.
    """
    given = build_parser().parse_args(argv)
    names = SCENARIOS if ALL in given.scenarios else tuple(dict.fromkeys(given.scenarios))
    return Options(
        scenarios=tuple(names),
        database=given.database,
        workers=given.workers,
        repeats=given.repeats or (1 if given.quick else 3),
        quick=given.quick,
        stock=given.stock,
        stock_seconds=given.stock_seconds or (5.0 if given.quick else 60.0),
        database_floor=given.database_floor,
        db_rtt=given.db_rtt,
        seed=given.seed,
        only=given.only,
        record_events=given.record_events,
        output=given.output,
    )
