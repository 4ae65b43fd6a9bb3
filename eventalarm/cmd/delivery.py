"""``eventalarm-delivery``: look at deliveries, retry those that failed, remove those that are over."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from cliff import app, command, commandmanager, lister, show

from eventalarm import service
from eventalarm.cmd.filters import Unusable, add_filters, is_filtered, selection
from eventalarm.model import DeliveryState
from eventalarm.storage import schema

PROG: Final = "eventalarm-delivery"
FINISHED: Final = [DeliveryState.FAILED.value, DeliveryState.DELIVERED.value]
WHICH: Final = ("delivery_id", "state", "alarm_id", "project_id", "destination")
WHY: Final = ("attempts", "status", "error", "created_at", "finished_at")
SECONDS_BETWEEN_REPORTS: Final = 2.0

DESCRIPTION = """\
Deliveries are calls of alarm actions (webhooks). One that failed for good is
kept with its reason until eventalarm-expirer removes it. Here they are listed
and retried, also while listeners run. Credentials in URLs are never shown.
"""

EPILOG = """\
examples:
  eventalarm-delivery list                          what failed, newest first
  eventalarm-delivery list --destination hooks.example.org --newer-than 2h -f json
  eventalarm-delivery show 5a0c...                  one delivery with its times
  eventalarm-delivery retry 5a0c...
  eventalarm-delivery retry --destination https://hooks.example.org/v1/
  eventalarm-delivery purge --older-than 30d --yes

ages: 90, 90s, 10m, 2h, 3d, 1w, counted from when the alarm fired

exit codes:
  0  done
  2  could not: the reason and the remedy are on stderr
"""


def described(letter: Any) -> dict[str, Any]:
    """Return a delivery for output: times as ISO 8601 text, the action as a masked destination."""
    from eventalarm.delivery import address  # noqa: PLC0415

    fields = dataclasses.asdict(letter)
    fields["destination"] = address.masked(fields.pop("action"))
    del fields["seq"]
    return {
        name: value.isoformat(timespec="milliseconds") if isinstance(value, datetime.datetime) else value
        for name, value in fields.items()
    }


class _Progress:
    """Says on stderr how far the work is, not more often than every two seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()

    def __call__(self, done: int) -> None:
        if self._clock() - self._last >= SECONDS_BETWEEN_REPORTS:
            self._last = self._clock()
            sys.stderr.write(f"{PROG}: {done} so far\n")


class _Deliveries:
    """What the commands share: the deliveries of the configured database, errors as one line."""

    app: Any

    @contextlib.contextmanager
    def letters(self) -> Iterator[Any]:
        """Open the deliveries; every error that is not a defect of ours ends the command with code 2."""
        given = self.app.options
        arguments = [f"--config-file={name}" for name in given.config_file]
        arguments += [f"--config-dir={name}" for name in given.config_dir]
        arguments += ["--debug"] if given.debug else []
        conf = service.prepare(arguments, prog=PROG, description=DESCRIPTION, epilog=EPILOG)
        from eventalarm.storage.delivery_queries import DeliveryQueries  # noqa: PLC0415

        with service.errors_on_stderr(PROG):
            database = service.database(conf)
            try:
                schema.require_current(database)
                yield DeliveryQueries(database)
            finally:
                database.dispose()


class List(_Deliveries, lister.Lister):
    """List deliveries, the newest first; by default those that failed for good."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the filters."""
        parser = super().get_parser(prog_name)
        add_filters(parser, list(DeliveryState))
        parser.add_argument("--limit", type=int, default=100, metavar="N", help="show so many (100)")
        parser.add_argument("--long", action="store_true", help="show every field")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        """Read the deliveries."""
        limit = max(1, parsed_args.limit)
        with self.letters() as letters:
            found = letters.find(selection(parsed_args, letters.now(), list(DeliveryState)), limit + 1)
        if len(found) > limit:
            sys.stderr.write(f"{PROG}: only the newest {limit} are shown; narrow it down or use --limit\n")
        rows = [described(letter) for letter in found[:limit]]
        columns = tuple(rows[0]) if parsed_args.long and rows else (*WHICH, *WHY)
        return columns, [tuple(row[name] for name in columns) for row in rows]


class Show(_Deliveries, show.ShowOne):
    """Show one delivery: why, when and how often it failed, and what it tells."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the id."""
        parser = super().get_parser(prog_name)
        parser.add_argument("delivery_id", help="as in the X-Eventalarm-Delivery-Id header")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        """Read the delivery."""
        with self.letters() as letters:
            from eventalarm.storage.delivery_queries import Selection  # noqa: PLC0415

            found = letters.find(Selection(delivery_ids=(parsed_args.delivery_id,)), 1)
            if not found:
                raise Unusable(
                    f"there is no delivery {parsed_args.delivery_id}; "
                    f"{PROG} list --state all shows which there are"
                )
        row = described(found[0])
        return tuple(row), tuple(row.values())


class _Many(_Deliveries, command.Command):
    """A command that changes many deliveries, and wants to be told which."""

    states: Sequence[str] = (DeliveryState.FAILED.value,)

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add ids and filters."""
        parser = super().get_parser(prog_name)
        parser.add_argument("delivery_id", nargs="*", help="these only")
        parser.add_argument("--all", action="store_true", help="all of them")
        add_filters(parser, self.states)
        return parser

    def selected(self, args: argparse.Namespace, letters: Any) -> Any:
        """Return the selection.

        :raises Unusable: when nothing says which deliveries are meant, or ids are named that are not there.
        """
        if not (args.delivery_id or args.all or is_filtered(args)):
            raise Unusable("which ones? Name delivery ids, filter (see --help), or say --all")
        chosen = selection(args, letters.now(), self.states)
        if args.delivery_id:
            known = {letter.delivery_id for letter in letters.find(chosen, len(chosen.delivery_ids))}
            missing = [name for name in chosen.delivery_ids if name not in known]
            if missing:
                raise Unusable(
                    f"not {' or '.join(chosen.states)}, or unknown: {', '.join(missing[:5])}; "
                    f"nothing was done. {PROG} show tells more"
                )
        return chosen


class Retry(_Many):
    """Try failed deliveries again, under the same id; running listeners take them up at once."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Make them due."""
        with self.letters() as letters:
            done = letters.retry(self.selected(parsed_args, letters), _Progress())
            print(f"{done} deliveries are due again")
            if done and not letters.living_workers():
                sys.stderr.write(f"{PROG}: no listener is alive: they wait until eventalarm-listener runs\n")


class Purge(_Many):
    """Remove finished deliveries for good, by default failed ones; asks before it does."""

    states = FINISHED

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add --yes."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--yes", action="store_true", help="do not ask")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Count, ask, remove."""
        with self.letters() as letters:
            chosen = self.selected(parsed_args, letters)
            number = letters.count(chosen)
            if number and not parsed_args.yes and not self._agreed(number, " or ".join(chosen.states)):
                print("nothing was removed")
                return
            print(f"{letters.purge(chosen, _Progress()) if number else 0} deliveries were removed")

    def _agreed(self, number: int, states: str) -> bool:
        if not sys.stdin.isatty():
            raise Unusable(f"{number} {states} deliveries would be removed for good; say --yes to do it")
        sys.stderr.write(f"Remove {number} {states} deliveries for good? [y/N] ")
        sys.stderr.flush()
        return sys.stdin.readline().strip().lower() in ("y", "yes")


class DeliveryApp(app.App):
    """The command line."""

    NAME = PROG

    def __init__(self) -> None:
        manager = commandmanager.CommandManager()
        for kind in (List, Show, Retry, Purge):
            manager.add_command(kind.__name__.lower(), kind)
        super().__init__(DESCRIPTION, service.package_version(), manager, deferred_help=True)

    def build_option_parser(self, *args: Any, **kwargs: Any) -> argparse.ArgumentParser:
        """Add where the configuration is, as the other commands have it."""
        parser: argparse.ArgumentParser = super().build_option_parser(*args, **kwargs)
        parser.prog = PROG
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        parser.epilog = EPILOG
        for name, text in (("file", "read this instead of aodh.conf"), ("dir", "read its *.conf files")):
            parser.add_argument(f"--config-{name}", action="append", default=[], metavar="PATH", help=text)
        return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit codes are those of the help text."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    return int(DeliveryApp().run(arguments or ["--help"]))


if __name__ == "__main__":
    sys.exit(main())
