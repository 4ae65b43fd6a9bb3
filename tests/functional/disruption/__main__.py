"""``python -m tests.functional.disruption``: disrupt and report; exit code 1 if anything is wrong.

``check FILE …`` checks histories that earlier runs have written.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import pathlib
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console

from benchmarks.ground import environment
from eventalarm.trial.history.__main__ import main as check_files
from eventalarm.trial.own_cloud import report
from eventalarm.trial.own_cloud.play import HISTORY, Finding
from eventalarm.trial.own_cloud.progress import Progress
from eventalarm.trial.own_cloud.rig import Result, Setup, run
from eventalarm.trial.own_cloud.services.disks import MIB, Disk
from eventalarm.trial.own_cloud.stage import Ground
from eventalarm.trial.own_cloud.trial_stage import services as start_services
from tests.functional.disruption.cluster import broker_cluster
from tests.functional.disruption.delivery_limit import delivery_limit
from tests.functional.disruption.freeze import freeze
from tests.functional.disruption.galera import galera
from tests.functional.disruption.half_open import half_open
from tests.functional.disruption.host_down import host_down
from tests.functional.disruption.outbox_scenarios import beside_the_expirer, held_snapshot
from tests.functional.disruption.promotion import postgresql_failover
from tests.functional.disruption.scenarios import backlog, beside_a_hostile_tenant, isolation, soak

FAILED = 1
# Bytes of the disk of each service.
DISKS = {"broker": 512 * MIB, "database": 3072 * MIB}
BOTH = "both"
DISRUPT, CHECK = "disrupt", "check"
# The scenarios of further clusters, which "cluster" includes.
CLUSTERS = ("galera", "postgresql-failover")
# The scenarios that run on each database.
EACH = frozenset({"half-open", "freeze", "host-down", "snapshot", "expirer"})
Other = Callable[[Ground, pathlib.Path, Progress, argparse.Namespace], Finding]
OTHERS: dict[str, Other] = {
    "isolation": lambda ground, place, progress, options: isolation(
        ground, place, progress, seed=options.seed
    ),
    "hostile": lambda ground, place, progress, options: beside_a_hostile_tenant(
        ground, place, progress, seed=options.seed
    ),
    "backlog": lambda ground, place, progress, options: backlog(
        ground, place, progress, events=options.backlog_events, seed=options.seed
    ),
    "freeze": lambda ground, place, progress, options: freeze(
        ground, place, progress, seconds=options.freeze_seconds, seed=options.seed
    ),
    "delivery-limit": lambda ground, place, progress, options: delivery_limit(
        ground, place, progress, seed=options.seed
    ),
    "host-down": lambda ground, place, progress, options: host_down(
        ground, place, progress, servers=options.servers, seed=options.seed
    ),
    "cluster": lambda ground, place, progress, options: broker_cluster(
        ground, place, progress, seed=options.seed
    ),
    "postgresql-failover": lambda ground, place, progress, options: postgresql_failover(
        ground, place, progress, seed=options.seed
    ),
    "half-open": lambda ground, place, progress, options: half_open(
        ground, place, progress, seed=options.seed
    ),
    "galera": lambda ground, place, progress, options: galera(ground, place, progress, seed=options.seed),
    "snapshot": lambda ground, place, progress, options: held_snapshot(
        ground, place, progress, seed=options.seed
    ),
    "expirer": lambda ground, place, progress, options: beside_the_expirer(
        ground, place, progress, rows=options.expired_rows, seed=options.seed
    ),
    "soak": lambda ground, place, progress, options: soak(
        ground, place, progress, alarms=options.soak_alarms, seed=options.seed
    ),
}


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.functional.disruption",
        description="Break a small real cloud in every way, and show that nothing is lost or doubled.",
    )
    parser.add_argument(
        "scenarios",
        nargs="*",
        metavar="SCENARIO",
        help=f"disrupt, {', '.join(OTHERS)}; without any, all but soak",
    )
    parser.add_argument(
        "--soak-alarms", type=int, default=200, help="alarms of each bad destination in the soak"
    )
    parser.add_argument(
        "--freeze-seconds", type=float, default=180.0, help="how long a listener stands still in freeze"
    )
    parser.add_argument("--servers", type=int, default=1000, help="servers of the host in host-down")
    parser.add_argument("--expired-rows", type=int, default=1_000_000, help="rows that the expirer removes")
    parser.add_argument("--soak", action="store_true", help="add the soak of ten minutes")
    parser.add_argument("--backlog-events", type=int, default=200_000, help="events queued at start")
    parser.add_argument("--minutes", type=float, default=15.0, help="how long disrupt lasts")
    parser.add_argument("--seed", type=int, default=1, help="everything random follows from it")
    parser.add_argument("--database", choices=["mariadb", "postgresql", BOTH], default=BOTH)
    parser.add_argument("--rate", type=float, default=30.0, help="stories a second")
    parser.add_argument("--lease", type=float, default=6.0, help="[eventalarm_delivery] lease")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("disruption-results"))
    parser.add_argument("--logs", type=pathlib.Path, help="keep the logs of all programs in a new directory")
    options = parser.parse_args(argv)
    unknown = set(options.scenarios) - {DISRUPT, *OTHERS}
    if unknown:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    options.scenarios = options.scenarios or [DISRUPT, *(name for name in OTHERS if name != "soak")]
    if "cluster" in options.scenarios:
        options.scenarios.extend(CLUSTERS)
    if options.soak:
        options.scenarios.append("soak")
    return options


@contextlib.contextmanager
def services(directory: pathlib.Path, kind: str, progress: Progress) -> Iterator[Ground]:
    """Start RabbitMQ and a database for one run, on small disks."""
    with contextlib.ExitStack() as stack:
        disks = _disks(progress, stack)
        yield stack.enter_context(start_services(directory, kind, progress.say, disks))


def _disks(progress: Progress, stack: contextlib.ExitStack) -> dict[str, Disk]:
    """Return a small disk for each service, or none if this user may not mount."""
    disks = {}
    try:
        for name, size in DISKS.items():
            disks[name] = Disk(size)
            stack.callback(disks[name].close)
    except RuntimeError as exc:
        progress.say(f"no disk will be full: {exc}")
        return {}
    return disks


def kinds_of(options: argparse.Namespace) -> list[str]:
    """Return the databases to use."""
    return ["mariadb", "postgresql"] if options.database == BOTH else [options.database]


def disrupt(options: argparse.Namespace, progress: Progress, directory: pathlib.Path) -> list[Result]:
    """Do the runs, each on its own services."""
    kinds = kinds_of(options)
    results = []
    for number, kind in enumerate(kinds):
        setup = Setup(
            seed=options.seed + number,
            seconds=options.minutes * 60 / len(kinds),
            rate=options.rate,
            lease=options.lease,
            more=True,
        )
        progress.scope(f"{kind}: ")
        place = directory / kind
        place.mkdir()
        with services(place, kind, progress) as ground:
            results.append(run(ground, place, setup, progress))
            _keep_history(place, options.output, f"disrupt-{kind}")
        report.write(results, [], options.output, environment())
    progress.scope("")
    return results


def _keep_history(place: pathlib.Path, output: pathlib.Path, name: str) -> None:
    """Copy the history of a run beside the report, if the run wrote one."""
    if (place / HISTORY).exists():
        output.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(place / HISTORY, output / f"history-{name}.jsonl")


def others(options: argparse.Namespace, progress: Progress, directory: pathlib.Path) -> list[Finding]:
    """Run the other scenarios on one set of services, and those of EACH on each database."""
    findings = []
    for number, kind in enumerate(kinds_of(options)):
        wanted = [name for name in OTHERS if name in options.scenarios and (not number or name in EACH)]
        if not wanted:
            continue
        place = directory / f"scenarios-{kind}"
        place.mkdir()
        with services(place, kind, progress) as ground:
            for name in wanted:
                progress.scope(f"{name} on {kind}: ")
                (place / name).mkdir()
                findings.append(OTHERS[name](ground, place / name, progress, options))
                _keep_history(place / name, options.output, f"{name}-{kind}")
    progress.scope("")
    return findings


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == [CHECK]:
        return check_files(words[1:])
    options = parse(words)
    progress = Progress()
    # Errors that the rig itself meets while everything is broken are expected.
    logging.disable(logging.CRITICAL)
    with contextlib.ExitStack() as stack:
        if options.logs:
            options.logs.mkdir(parents=True)
        place = options.logs or pathlib.Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="eventalarm-disruption-"))
        )
        results = disrupt(options, progress, place.resolve()) if DISRUPT in options.scenarios else []
        findings = others(options, progress, place.resolve())
    report.write(results, findings, options.output, environment())
    terminal = Console()
    report.show(results, findings, Console(width=max(terminal.width, report.WIDTH)))
    progress.say(f"written to {options.output}/: report.json and report.txt")
    right = all(one.right for one in results) and not any(one.wrong for one in findings)
    return 0 if right else FAILED


def tell(argv: Sequence[str] | None = None) -> int:
    """Run the command; report what breaks it, whatever the programs under test do to logging."""
    try:
        return main(argv)
    except Exception:  # noqa: BLE001 - the hook of oslo.log would write it to a disabled log
        traceback.print_exc()
        return FAILED


if __name__ == "__main__":
    sys.exit(tell())
