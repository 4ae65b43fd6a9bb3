"""``eventalarm-profile``: show where the time of alarms goes, from the fault to the consumer."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from eventalarm.cmd.command import Command, add_config_arguments, config_arguments

if TYPE_CHECKING:
    from eventalarm.profile.picture import Style
    from eventalarm.profile.summary import AlarmProfile
    from eventalarm.storage.delivery_selection import Selection
    from eventalarm.storage.profiles import ProfileStore

PROG: Final = "eventalarm-profile"
FOUND, NOTHING = 0, 1
MOST: Final = 1000
# Deliveries that are looked at in each round of --live.
RECENT: Final = 100

DESCRIPTION = """\
Show where the time of an alarm goes: from the fault over Nova, Ceilometer, the
broker, match, commit, send and answer to what the consumer did. A table has
the components, the most expensive first; a picture shows them in their order.

Which alarms are profiled: those whose event has the trait "profile", and a
sample of the others ([eventalarm] profile_sampling and profile_interval).
"""

EPILOG = """\
examples:
  eventalarm-profile                       the newest profile
  eventalarm-profile --alarm 5a0c...       the newest one of an alarm
  eventalarm-profile --delivery 77b1...    one delivery (header X-Eventalarm-Delivery-Id)
  eventalarm-profile --last 50             what the last 50 cost together
  eventalarm-profile --last 50 --html out.html
  eventalarm-profile --live                each new one, until Ctrl-C
  eventalarm-profile --live --last 3 --json | jq .total_seconds

how to read it:
  "answer" is the time of the consumer; "send" grows while earlier webhooks of
  the same alarm wait, "broker" while listeners are busy, "commit" with a slow
  database. A negative time means that the clocks of two hosts differ.

exit codes:
  0  at least one profile was shown
  1  there is none; why is on stderr
  2  failed: the reason and the remedy are on stderr
"""

COMMAND: Final = Command(PROG, DESCRIPTION, EPILOG)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    reader = COMMAND.parser()
    add_config_arguments(reader)
    COMMAND.add_version(reader)
    reader.add_argument("--alarm", metavar="ID", default="", help="only deliveries of this alarm")
    reader.add_argument("--delivery", metavar="ID", default="", help="only this delivery")
    reader.add_argument("--project", metavar="ID", default="", help="only deliveries of this project")
    reader.add_argument(
        "--last", metavar="N", type=_number, help="the last N together (default: 1); with --live: end after N"
    )
    reader.add_argument("--live", action="store_true", help="show each new profile, until Ctrl-C")
    reader.add_argument(
        "--interval", metavar="SECONDS", type=float, default=1.0, help="pause of --live (default: 1)"
    )
    form = reader.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON; with --live one line for each profile")
    form.add_argument("--html", metavar="FILE", help="write a page with pictures that needs no other file")
    reader.add_argument("--no-color", action="store_true", help="no colours (also by NO_COLOR)")
    reader.add_argument("--ascii", action="store_true", help="only ASCII, also on a terminal with UTF-8")
    return reader


def _number(text: str) -> int:
    number = int(text)
    if not 1 <= number <= MOST:
        raise argparse.ArgumentTypeError(f"must be 1 to {MOST}")
    return number


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit codes are those of the help text."""
    chosen = parser().parse_args(argv)
    conf = COMMAND.configure(config_arguments(chosen))
    from eventalarm.storage.delivery_selection import Selection  # noqa: PLC0415 - not needed for --help
    from eventalarm.storage.profiles import ProfileStore  # noqa: PLC0415

    wanted = Selection(
        delivery_ids=(chosen.delivery,) if chosen.delivery else (),
        project_id=chosen.project,
        alarm_id=chosen.alarm,
        profiled=True,
    )
    with COMMAND.errors(), COMMAND.database(conf) as database:
        output = Output(chosen)
        store = ProfileStore(database)
        if chosen.live:
            _watch(store, wanted, chosen, output)
        else:
            output.all(store.newest(wanted, chosen.last or 1))
        if output.shown:
            return FOUND
    COMMAND.say(
        "no profile found; force one with the trait profile=true of an event, or raise "
        "[eventalarm] profile_sampling"
    )
    return NOTHING


class Output:
    """Writes profiles in the chosen form."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        self._json = chosen.json
        self._html = chosen.html
        self._style = style(colour=not chosen.no_color, fine=not chosen.ascii)
        self.shown: list[AlarmProfile] = []

    def all(self, profiles: Sequence[AlarmProfile]) -> None:
        """Write all profiles at once."""
        self.shown += profiles
        if self._html:
            self._write_page()
        elif self._json:
            from eventalarm.profile.picture import as_json  # noqa: PLC0415

            print(json.dumps([as_json(one) for one in profiles], indent=1))
        elif profiles:
            print(as_text(profiles, self._style))

    def one(self, profile: AlarmProfile) -> None:
        """Write one more profile."""
        self.shown.append(profile)
        if self._html:
            self._write_page()
        elif self._json:
            from eventalarm.profile.picture import as_json  # noqa: PLC0415

            print(json.dumps(as_json(profile)), flush=True)
        else:
            print(as_text([profile], self._style), end="\n\n", flush=True)

    def _write_page(self) -> None:
        from eventalarm.exceptions import InvalidOption  # noqa: PLC0415
        from eventalarm.profile import report  # noqa: PLC0415

        try:
            pathlib.Path(self._html).write_text(report.page(self.shown), encoding="utf-8")
        except OSError as exc:
            raise InvalidOption("--html", f"{self._html}: {exc.strerror}", "choose another file") from exc
        COMMAND.say(f"{len(self.shown)} profiles in {self._html}")


def as_text(profiles: Sequence[AlarmProfile], chosen: Style) -> str:
    """Return one profile, or several together."""
    from eventalarm.profile import picture  # noqa: PLC0415

    if len(profiles) == 1:
        return picture.one_profile(profiles[0], chosen)
    return picture.many_profiles(profiles, chosen)


def style(*, colour: bool, fine: bool) -> Style:
    """Return what the standard output can show of what is wanted."""
    from eventalarm.profile.picture import Style  # noqa: PLC0415

    terminal = sys.stdout.isatty()
    utf = (sys.stdout.encoding or "").lower().startswith("utf")
    return Style(
        fine=fine and terminal and utf, colour=colour and terminal and not os.environ.get("NO_COLOR")
    )


def _watch(store: ProfileStore, wanted: Selection, chosen: argparse.Namespace, output: Output) -> None:
    """Write each profile that is finished from now on, until Ctrl-C or *chosen.last* of them."""
    progress = COMMAND.progress()
    with contextlib.suppress(KeyboardInterrupt):
        for found in new_profiles(lambda: store.newest(wanted, RECENT), lambda: time.sleep(chosen.interval)):
            for one in found:
                output.one(one)
                if chosen.last and len(output.shown) >= chosen.last:
                    return
            progress.tick(f"waiting for profiles, {len(output.shown)} so far; Ctrl-C ends it")


def new_profiles(read: Callable[[], list[Any]], pause: Callable[[], None]) -> Iterator[list[Any]]:
    """Yield the profiles that were finished since the last round, the oldest first, perhaps none.

    Those that are finished before the first round are not new.
    """
    from eventalarm.model import FINISHED  # noqa: PLC0415

    known: set[str] | None = None
    while True:
        finished = [one for one in read() if one.names["state"] in FINISHED]
        yield (
            []
            if known is None
            else [one for one in reversed(finished) if one.names["delivery_id"] not in known]
        )
        known = {one.names["delivery_id"] for one in finished}
        pause()


if __name__ == "__main__":
    sys.exit(main())
