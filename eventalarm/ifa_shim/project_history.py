"""The history of all alarms of a project, from which a consumer resynchronises without a gap.

Entries are in the order of the times at which they were recorded. Transactions overlap, so an entry may
become visible after others with later times. A marker therefore holds the place that the consumer has
reached, a settled place before it, ``overlap`` earlier than the present, and the number of entries between
the two. If there are more of them when the consumer continues, a transaction was late: the entries since the
settled place are returned again. So no entry is missed whose transaction took at most ``overlap`` to commit
after the time was read, and entries are repeated only where that happened; a consumer recognises them by
their ``id``.
"""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any, Final

from eventalarm.http.responses import BadMarker
from eventalarm.ifa_shim.history_entries import Document, TransitionEntries
from eventalarm.ifa_shim.queries import HistoryQuery
from eventalarm.ifa_shim.tables import Settings
from eventalarm.model import EPOCH, Kind, parse_time
from eventalarm.storage.database import Database
from eventalarm.storage.history import HistoryPlace, TransitionHistory

BEGIN: Final = HistoryPlace(EPOCH)
# A consumer that takes less time from page to page reads what is kept, even of long ago.
READING: Final = datetime.timedelta(hours=1)


@dataclasses.dataclass(frozen=True, slots=True)
class HistoryMarker:
    """Where a consumer continues: after ``reached``; ``given`` entries were between ``settled`` and it.

    ``made_at`` is when the page before it was read (aware UTC).
    """

    reached: HistoryPlace = BEGIN
    settled: HistoryPlace = BEGIN
    given: int = 0
    made_at: datetime.datetime = EPOCH

    @classmethod
    def since(cls, moment: datetime.datetime | None) -> HistoryMarker:
        """Return the marker of a consumer that wants what was recorded at *moment* or later (None: all)."""
        place = BEGIN if moment is None else HistoryPlace(moment)
        return cls(place, place)

    @property
    def value(self) -> list[Any]:
        """The marker as JSON, which :func:`read_history_marker` reads."""
        places = (self.reached, self.settled)
        found = [[one.at.isoformat(), one.transition_id] for one in places]
        return [found, self.given, self.made_at.isoformat()]

    def has_gap(self, now: datetime.datetime, kept: datetime.timedelta) -> bool:
        """Return True if entries after it may have been removed since it was made.

        Entries are removed *kept* after they were recorded or later: the oldest ones that a consumer reads
        may be older than that.
        """
        return self.reached.at < now - kept and self.made_at < now - READING


def read_history_marker(value: Any) -> HistoryMarker:
    """Return the marker of a value that :attr:`HistoryMarker.value` gave.

    :raises BadMarker: when it is another value.
    """
    match value:
        case [[[str(at), str(name)], [str(settled_at), str(settled)]], int(given), str(made_at)]:
            try:
                reached = HistoryPlace(parse_time(at), name)
                before = HistoryPlace(parse_time(settled_at), settled)
                return HistoryMarker(reached, before, given, parse_time(made_at))
            except ValueError:
                pass
    raise BadMarker


@dataclasses.dataclass(frozen=True, slots=True)
class HistoryPage:
    """Entries of the history; ``marker`` is where to continue, now if there are ``more``, else later."""

    entries: list[Document]
    marker: HistoryMarker
    more: bool


class ProjectHistory:
    """Reads from *database*, an open transaction; a page is at most six statements.

    :param now: the present by the database's clock, read before the transaction began (aware UTC).
    :param overlap: what was recorded longer ago than this is settled.
    """

    def __init__(
        self, database: Database, settings: Settings, now: datetime.datetime, overlap: datetime.timedelta
    ) -> None:
        self._database = database
        self._settings = settings
        self._now = now
        self._before = HistoryPlace(now - overlap)

    def page(
        self, project_id: str | None, query: HistoryQuery, marker: HistoryMarker, limit: int
    ) -> HistoryPage:
        """Return the next entries of a project (None: of all) that *query* selects.

        Up to *limit* transitions are examined: a page can be short, or empty, and still not be the last.
        """
        history = TransitionHistory(self._database)
        reached = marker.reached
        if reached > marker.settled:
            visible = history.count(project_id, marker.settled, reached)
            reached = reached if visible <= marker.given else marker.settled
        rows = history.page(project_id, reached, limit + 1)
        examined = rows[:limit]
        if examined:
            reached = HistoryPlace(examined[-1].recorded_at, examined[-1].transition_id)
        more = len(rows) > limit
        if not more:
            # Nothing is missing before it; the marker of a quiet project does not age.
            reached = max(reached, self._before)
        settled = min(reached, max(marker.settled, self._before))
        given = history.count(project_id, settled, reached) if reached > settled else 0
        # A database may compare the ids of projects less exactly (G5).
        shown = [
            one for one in examined if one.kind is not Kind.LATE and project_id in (None, one.project_id)
        ]
        found = TransitionEntries(self._database, self._settings, everything=project_id is None).of(shown)
        entries = [one.document for one in found if query.matches(one.alarm, one.kind)]
        return HistoryPage(entries, HistoryMarker(reached, settled, given, self._now), more)
