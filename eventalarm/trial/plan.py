"""What a trial would do, and where: the answer of a run that is not meant."""

from __future__ import annotations

from collections.abc import Sequence

from eventalarm.trial.build import Built
from eventalarm.trial.schedule import Sequel, duration, timetable


def text(built: Built, timed: Sequel) -> str:
    """Return the commands on each host, the timetable, and how to run it."""
    scenario = built.scenario
    parts: list[tuple[str, Sequence[str]]] = [("stage", built.stage.plan())]
    parts += [(f"monitor {name}", one.plan()) for name, one in built.monitors.items()]
    parts += [(f"runner {name}", one.plan()) for name, one in built.runners.items()]
    parts += [(f"disruption {one.name}", one.plan()) for one in built.disruptors]
    lines = [f"{scenario.name} on {scenario.stage.use}, seed {built.setup.seed}: nothing was done.", ""]
    for title, found in parts:
        lines += [title, *(f"  {line}" for line in found)]
    lines += ["", f"In {duration(timed):.0f} s, and the time that it takes to heal:"]
    lines += [
        f"  {at:8.1f} s  {built.disruptors[planned.place].name}, for {planned.seconds:g} s"
        for at, planned in timetable(timed)
    ]
    if built.hosts:
        lines += ["", f"To do it: --i-mean-it {' '.join(sorted(built.hosts))}"]
    return "\n".join(lines)
