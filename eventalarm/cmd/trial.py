"""``eventalarm-trial``: disrupt a cloud while load and monitors run, and report what was noticed and lost."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import signal
import sys
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from eventalarm.cmd.command import Command
from eventalarm.exceptions import EventAlarmError

if TYPE_CHECKING:
    from eventalarm.trial.build import Built, Setup
    from eventalarm.trial.outcome import Outcome

PROG: Final = "eventalarm-trial"
REPORT, DATA, HISTORY = "report.html", "report.json", "history.jsonl"

DESCRIPTION = """\
Disrupt a cloud while load and monitors run: kill containers, stop services,
reboot hosts, cut networks, in turn or together, as a scenario says. Webhooks of
real alarms show what was noticed when; the history checker, what was lost.

A scenario that disrupts hosts is only shown, until --i-mean-it names every host
that it breaks. Every disruption is undone on every exit, also after Ctrl-C and
SIGTERM. If the trial itself is killed, the next one refuses to start and says
what was left; "undo" repairs it.
"""

EPILOG = """\
examples:
  eventalarm-trial scenarios                        the shipped scenarios
  eventalarm-trial show controller-services > mine.yaml
  eventalarm-trial run mine.yaml                    show what would be done where
  eventalarm-trial run mine.yaml --i-mean-it controller-1 controller-2
  eventalarm-trial plugins                          what a scenario may use
  eventalarm-trial undo                             show what a killed trial left
  eventalarm-trial undo --i-mean-it controller-1
  eventalarm-trial history trial-results/*/history.jsonl

exit codes:
  0  passed, or shown only
  1  failed: something was lost, not noticed, or not available; see the report
  2  error: the scenario or the trial itself; reason and remedy are on stderr
  3  refused to start: pulse is red, a host may not be broken, or an earlier
     trial left something broken
  4  interrupted by Ctrl-C or SIGTERM; everything was undone
  5  something could not be undone: eventalarm-trial undo
"""

COMMAND: Final = Command(PROG, DESCRIPTION, EPILOG)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    reader = COMMAND.parser()
    COMMAND.add_version(reader)
    verbs = reader.add_subparsers(dest="verb", required=True, metavar="COMMAND")
    verbs.add_parser("scenarios", help="list the shipped scenarios")
    show = verbs.add_parser("show", help="print a scenario, to be edited")
    show.add_argument("scenario", help="its name, or a file")
    verbs.add_parser("plugins", help="list the stages, disruptors, runners and monitors that are installed")
    _add_run(verbs)
    undo = verbs.add_parser("undo", help="undo what a killed trial has left")
    _add_common(undo)
    history = verbs.add_parser("history", help="check histories of earlier trials again")
    history.add_argument("file", nargs="+", help="a history.jsonl")
    return reader


def _add_run(verbs: Any) -> None:
    run = verbs.add_parser(
        "run",
        help="run a scenario; without --i-mean-it only show what it would do",
        description="Run a scenario, or show what it would do.",
        epilog="Exit codes: see eventalarm-trial --help.",
    )
    run.add_argument("scenario", help="the name of a shipped scenario, or a file")
    _add_common(run)
    run.add_argument("--dry-run", action="store_true", help="only show what would be done")
    run.add_argument("--seed", type=int, help="replaces that of the scenario; the same seed does the same")
    run.add_argument(
        "--ignore-pulse",
        dest="ignore_health",
        action="store_true",
        help="start although the cloud is ill; what fails then is unclear",
    )
    run.add_argument(
        "--output",
        metavar="DIR",
        type=pathlib.Path,
        help="where the report goes (default: trial-results/SCENARIO-TIME)",
    )


def _add_common(reader: argparse.ArgumentParser) -> None:
    reader.add_argument(
        "--i-mean-it",
        nargs="+",
        metavar="HOST",
        default=[],
        help="act, on these hosts of the scenario; it must break no other",
    )
    state = pathlib.Path(os.environ.get("XDG_STATE_HOME") or pathlib.Path.home() / ".local/state")
    reader.add_argument(
        "--state",
        metavar="FILE",
        type=pathlib.Path,
        default=state / "eventalarm-trial.json",
        help="what is broken now; one trial at a time uses it (default: %(default)s)",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit codes are those of the help text."""
    chosen = parser().parse_args(argv)
    from eventalarm.trial.outcome import ERROR, REFUSED  # noqa: PLC0415 - not needed for --help
    from eventalarm.trial.plugins import Refused  # noqa: PLC0415

    verbs = {
        "scenarios": _scenarios,
        "show": _show,
        "plugins": _plugins,
        "run": _run,
        "undo": _undo,
        "history": _history,
    }
    try:
        return verbs[chosen.verb](chosen)
    except Refused as exc:
        COMMAND.say(str(exc))
        return REFUSED
    except EventAlarmError as exc:
        COMMAND.say(str(exc))
        return ERROR
    except OSError as exc:
        COMMAND.say(f"{exc.filename}: {exc.strerror}; choose another --output")
        return ERROR


def _scenarios(chosen: argparse.Namespace) -> int:
    from eventalarm.trial import build  # noqa: PLC0415 - not needed for --help

    for name in build.shipped():
        print(f"{name:24} {' '.join(build.load(name).description.split())}")
    return 0


def _show(chosen: argparse.Namespace) -> int:
    from eventalarm.trial import build  # noqa: PLC0415 - not needed for --help

    sys.stdout.write(build.text_of(chosen.scenario))
    return 0


def _plugins(chosen: argparse.Namespace) -> int:
    from eventalarm.trial import build, plugins  # noqa: PLC0415 - not needed for --help

    for namespace in (plugins.STAGE, plugins.DISRUPTOR, plugins.RUNNER, plugins.MONITOR):
        print(f"{namespace}: {', '.join(build.names_in(namespace))}")
    return 0


def _history(chosen: argparse.Namespace) -> int:
    from eventalarm.trial.history.__main__ import main as check_files  # noqa: PLC0415 - not needed for --help

    return check_files(chosen.file)


def _run(chosen: argparse.Namespace) -> int:
    from eventalarm.trial import build, engine, plan  # noqa: PLC0415 - not needed for --help
    from eventalarm.trial.schedule import schedule  # noqa: PLC0415

    scenario = build.load(chosen.scenario)
    progress = COMMAND.progress()
    moment = time.strftime("%Y%m%d-%H%M%S")
    setup = build.Setup(
        seed=scenario.seed if chosen.seed is None else chosen.seed,
        directory=(chosen.output or pathlib.Path("trial-results") / f"{scenario.name}-{moment}").resolve(),
        state=chosen.state,
        permitted=frozenset(chosen.i_mean_it),
        ignore_health=chosen.ignore_health,
        say=progress.say,
    )
    built = build.build(scenario, setup)
    timed = schedule(scenario, setup.seed)
    if chosen.dry_run or (built.hosts and not setup.permitted):
        print(plan.text(built, timed))
        return 0
    _require_permission(built)
    setup.directory.mkdir(parents=True, exist_ok=True)
    over = threading.Event()
    _end_on_signals(over)
    try:
        outcome = engine.run(built, timed, over)
    finally:
        with contextlib.suppress(OSError):
            # Only if nothing was written there.
            setup.directory.rmdir()
    setup.directory.mkdir(parents=True, exist_ok=True)
    return _reported(outcome, built, setup)


def _require_permission(built: Built) -> None:
    """Refuse unless the hosts of the command line are those that are broken."""
    from eventalarm.trial.plugins import Refused  # noqa: PLC0415 - not needed for --help

    permitted = built.setup.permitted
    if missing := built.hosts - permitted:
        raise Refused(
            f"the scenario breaks {', '.join(sorted(missing))}, too; name all hosts after --i-mean-it"
        )
    if unknown := permitted - built.hosts:
        raise Refused(f"the scenario does not break {', '.join(sorted(unknown))}; do not name it")


def _end_on_signals(over: threading.Event) -> None:
    def end(number: int, frame: object) -> None:
        COMMAND.say(
            "already undoing; please wait" if over.is_set() else "interrupted; undoing what is broken"
        )
        over.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)


def _reported(outcome: Outcome, built: Built, setup: Setup) -> int:
    """Write the files, print the result, and return the exit code."""
    from eventalarm.trial import report  # noqa: PLC0415 - not needed for --help
    from eventalarm.trial.outcome import as_json  # noqa: PLC0415

    place = setup.directory
    document = json.dumps(as_json(outcome), indent=1, ensure_ascii=False)
    (place / DATA).write_text(f"{document}\n", encoding="utf-8")
    built.history.write(place / HISTORY)
    (place / REPORT).write_text(report.page(outcome), encoding="utf-8")
    print("\n".join(report.lines(outcome)))
    print(f"written to {place}: {REPORT}, {DATA}, {HISTORY}")
    return outcome.code


def _undo(chosen: argparse.Namespace) -> int:
    from eventalarm.trial.existing_cloud.disruptors import undo  # noqa: PLC0415 - not needed for --help
    from eventalarm.trial.existing_cloud.journal import Journal  # noqa: PLC0415
    from eventalarm.trial.existing_cloud.shell import ShellError  # noqa: PLC0415
    from eventalarm.trial.existing_cloud.stage import described  # noqa: PLC0415
    from eventalarm.trial.outcome import LEFT, PASSED  # noqa: PLC0415

    journal = Journal(chosen.state)
    with journal.locked():
        found = journal.left()
        for one in found:
            if one.host.name not in chosen.i_mean_it:
                script = one.undo or one.ready
                print(f"{described(one)}; undo on {one.host.name} ({one.host.place}): {script}")
                continue
            try:
                undo(one)
            except ShellError as exc:
                COMMAND.say(str(exc))
                continue
            journal.remove(one.token)
            print(f"undone: {described(one)}")
        left = sorted({one.host.name for one in journal.left()})
    if not found:
        print("nothing was left")
    if left:
        print(f"To undo it: {PROG} undo --i-mean-it {' '.join(left)}")
    return LEFT if left and chosen.i_mean_it else PASSED


if __name__ == "__main__":
    sys.exit(main())
