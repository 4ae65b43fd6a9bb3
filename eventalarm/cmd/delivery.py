"""``eventalarm-delivery``: list deliveries, retry failed ones, remove finished ones."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from cliff import command, lister, show

from eventalarm.cmd.cliff_app import CliffApp
from eventalarm.cmd.command import Command
from eventalarm.cmd.filters import Unusable, add_filters, is_filtered, selection
from eventalarm.model import FINISHED, DeliveryState

PROG: Final = "eventalarm-delivery"
WHICH: Final = ("delivery_id", "state", "alarm_id", "project_id", "destination")
WHY: Final = ("attempts", "status", "error", "created_at", "finished_at")

DESCRIPTION = """\
A delivery is a call of an alarm action (webhook) for one transition. One that
was given up (a dead letter) is kept with its error until eventalarm-expirer
removes it. List, retry and remove deliveries here, also while listeners run.
Credentials in URLs are never shown.
"""

EPILOG = """\
examples:
  eventalarm-delivery list                          failed deliveries, newest first
  eventalarm-delivery list --destination hooks.example.org --newer-than 2h -f json
  eventalarm-delivery show 5a0c...                  one delivery with its times
  eventalarm-delivery retry 5a0c...
  eventalarm-delivery retry --destination https://hooks.example.org/v1/
  eventalarm-delivery purge --older-than 30d --yes

ages: 90, 90s, 10m, 2h, 3d, 1w, counted from when the alarm fired

exit codes:
  0  done
  2  failed: the reason and the remedy are on stderr
"""

COMMAND: Final = Command(PROG, DESCRIPTION, EPILOG)


def described(delivery: Any) -> dict[str, Any]:
    """Return a delivery for output: times as ISO 8601 text, the action as a masked destination."""
    from eventalarm.delivery import action  # noqa: PLC0415

    fields = dataclasses.asdict(delivery)
    fields["destination"] = action.masked(fields.pop("action"))
    del fields["seq"]
    return {
        name: value.isoformat(timespec="milliseconds") if isinstance(value, datetime.datetime) else value
        for name, value in fields.items()
    }


def _progress() -> Callable[[int], None]:
    progress = COMMAND.progress()
    return lambda done: progress.tick(f"{done} so far")


class _Deliveries:
    """Base of the commands: opens the deliveries of the configured database, reports errors as one line."""

    app: Any

    @contextlib.contextmanager
    def deliveries(self) -> Iterator[Any]:
        """Open the deliveries; an error of the configuration or the database ends the command with code 2."""
        conf = self.app.configure()
        from eventalarm.storage.delivery_queries import DeliveryQueries  # noqa: PLC0415

        with COMMAND.errors(), COMMAND.database(conf) as database:
            yield DeliveryQueries(database, attempts_kept=conf.eventalarm_delivery.attempts_kept)


class List(_Deliveries, lister.Lister):
    """List deliveries, newest first; by default those that were given up."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the filters and the options of the list."""
        parser = super().get_parser(prog_name)
        add_filters(parser, list(DeliveryState))
        parser.add_argument(
            "--limit", type=int, default=100, metavar="N", help="show at most N (default: 100)"
        )
        parser.add_argument("--long", action="store_true", help="show every field")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        """Read the deliveries."""
        limit = max(1, parsed_args.limit)
        with self.deliveries() as deliveries:
            found = deliveries.find(selection(parsed_args, deliveries.now(), list(DeliveryState)), limit + 1)
        if len(found) > limit:
            COMMAND.say(f"only the newest {limit} are shown; filter, or raise --limit")
        rows = [described(delivery) for delivery in found[:limit]]
        columns = tuple(rows[0]) if parsed_args.long and rows else (*WHICH, *WHY)
        return columns, [tuple(row[name] for name in columns) for row in rows]


class Show(_Deliveries, show.ShowOne):
    """Show one delivery: why, when and how often it failed, and its notification."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the id."""
        parser = super().get_parser(prog_name)
        parser.add_argument("delivery_id", help="the id that the X-Eventalarm-Delivery-Id header names")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        """Read the delivery."""
        with self.deliveries() as deliveries:
            from eventalarm.storage.delivery_selection import Selection  # noqa: PLC0415

            found = deliveries.find(Selection(delivery_ids=(parsed_args.delivery_id,)), 1)
            if not found:
                raise Unusable(f"there is no delivery {parsed_args.delivery_id}; see {PROG} list --state all")
        row = described(found[0])
        return tuple(row), tuple(row.values())


class _Many(_Deliveries, command.Command):
    """A command that changes many deliveries, which must be selected explicitly."""

    states: Sequence[str] = (DeliveryState.FAILED.value,)

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add ids and filters."""
        parser = super().get_parser(prog_name)
        parser.add_argument("delivery_id", nargs="*", help="id of a delivery to select")
        parser.add_argument("--all", action="store_true", help="select all deliveries in the chosen states")
        add_filters(parser, self.states)
        return parser

    def selected(self, args: argparse.Namespace, deliveries: Any) -> Any:
        """Return the selection.

        :raises Unusable: if nothing is selected, or an id is unknown.
        """
        if not (args.delivery_id or args.all or is_filtered(args)):
            raise Unusable("no deliveries selected: name ids, filter (see --help), or use --all")
        chosen = selection(args, deliveries.now(), self.states)
        if args.delivery_id:
            known = {delivery.delivery_id for delivery in deliveries.find(chosen, len(chosen.delivery_ids))}
            missing = [name for name in chosen.delivery_ids if name not in known]
            if missing:
                raise Unusable(
                    f"not {' or '.join(chosen.states)}, or unknown: {', '.join(missing[:5])}; "
                    f"nothing was changed. See {PROG} show"
                )
        return chosen


class Retry(_Many):
    """Retry failed deliveries under the same ids; running listeners send them at once."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Make the selected deliveries due."""
        with self.deliveries() as deliveries:
            done = deliveries.retry(self.selected(parsed_args, deliveries), _progress())
            print(f"{done} deliveries are due again")
            if done and not deliveries.living_workers():
                COMMAND.say("no listener is running; start eventalarm-listener to send them")


class Purge(_Many):
    """Remove finished deliveries permanently, by default failed ones, after asking."""

    states = FINISHED

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add --yes."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--yes", action="store_true", help="do not ask for confirmation")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Count, ask, remove."""
        with self.deliveries() as deliveries:
            chosen = self.selected(parsed_args, deliveries)
            number = deliveries.count(chosen)
            if number and not parsed_args.yes and not self._agreed(number, " or ".join(chosen.states)):
                print("nothing was removed")
                return
            print(f"{deliveries.purge(chosen, _progress()) if number else 0} deliveries were removed")

    def _agreed(self, number: int, states: str) -> bool:
        if not sys.stdin.isatty():
            raise Unusable(f"{number} {states} deliveries would be removed permanently; confirm with --yes")
        sys.stderr.write(f"Remove {number} {states} deliveries permanently? [y/N] ")
        sys.stderr.flush()
        return sys.stdin.readline().strip().lower() in ("y", "yes")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit codes are those of the help text."""
    return CliffApp(COMMAND, (List, Show, Retry, Purge)).main(argv)


if __name__ == "__main__":
    sys.exit(main())
