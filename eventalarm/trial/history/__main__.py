"""``python -m eventalarm.trial.history FILE …``: check histories; exit code 1 if one is wrong."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Callable, Sequence

from eventalarm.trial.history import records
from eventalarm.trial.history.availability import HEADINGS, availability, cells
from eventalarm.trial.history.check import check
from eventalarm.trial.history.facts import Facts

RIGHT, WRONG, UNREADABLE = 0, 1, 2


def main(paths: Sequence[str], say: Callable[[str], None] = print) -> int:
    """Check each file and say what was found; return the exit code, 2 if a file cannot be read."""
    if not paths:
        say("usage: check FILE ...: name a history.jsonl that a disruption run has written")
        return UNREADABLE
    codes = [_check(pathlib.Path(path), say) for path in paths]
    return max(codes)


def _check(path: pathlib.Path, say: Callable[[str], None]) -> int:
    try:
        history = records.read(path)
    except (OSError, records.HistoryError) as exc:
        say(f"{path}: {exc}")
        return UNREADABLE
    verdict = check(history)
    say(f"{path}: {Facts(history).run.name or 'a run without a name'}")
    for name, number in verdict.numbers.items():
        say(f"  {name}: {number:,}")
    for row in (HEADINGS, *map(cells, availability(history, verdict))):
        say(f"  {' | '.join(row)}")
    for problem in verdict.problems:
        say(f"  WRONG {problem}")
    say("  nothing lost, doubled, reordered or overwritten" if verdict.right else f"  {dict(verdict.errors)}")
    return RIGHT if verdict.right else WRONG


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
