"""Picks deliveries of projects in turn. Pure."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Candidate(NamedTuple):
    """A delivery that may be leased."""

    seq: int
    project_id: str
    size: int


def pick(candidates: Iterable[Candidate], limit: int, max_bytes: int) -> list[int]:
    """Return the ``seq`` of up to *limit* candidates, one of each project in turn, each project's in order.

    Together they take *max_bytes* at most, but one is picked in any case.
    """
    queues: defaultdict[str, deque[Candidate]] = defaultdict(deque)
    for one in candidates:
        queues[one.project_id].append(one)
    turns = deque(queues.values())
    picked: list[int] = []
    taken: set[int] = set()
    while turns and len(picked) < limit:
        queue = turns.popleft()
        one = queue.popleft()
        if picked and one.size > max_bytes:
            continue
        if one.seq not in taken:
            taken.add(one.seq)
            picked.append(one.seq)
            max_bytes -= one.size
        if queue:
            turns.append(queue)
    return picked


def share(counts: Sequence[float], wanted: int) -> int:
    """Return how many of each project to take at most, so that *wanted* are taken from all together.

    *counts* are how many each project has. With less than *wanted* in all, this is *wanted*.
    """
    rest: float = wanted
    for position, count in enumerate(sorted(counts)):
        even = max(1, math.ceil(rest / (len(counts) - position)))
        if count >= even:
            return even
        rest -= count
    return wanted
