"""The packing of one dispatcher: letters held for a window, then sent together. Lives in the event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from eventalarm.delivery.lanes import Lanes, Parcel
from eventalarm.delivery.lease import Lease
from eventalarm.delivery.packs import Packs, first_of_each
from eventalarm.delivery.ports import Run
from eventalarm.model import Delivery
from eventalarm.storage.outbox import Outbox

# Puts a parcel on its way, or back into the outbox when there is no room.
Dispatch = Callable[[Parcel], None]
# Returns unsent deliveries of an owner to the outbox.
GiveBack = Callable[[str, Sequence[str]], None]


class Packing:
    """Holds letters in windows and lets packs leave at their end.

    What waits in the outbox behind a held letter of the same alarm joins its pack: else a storm of one alarm
    would leave letter by letter, one in each window.
    """

    def __init__(
        self,
        packs: Packs,
        lanes: Lanes,
        lease: Lease,
        outbox: Outbox,
        run: Run,
        *,
        dispatch: Dispatch,
        give_back: GiveBack,
        monotonic: Callable[[], float],
    ) -> None:
        self._packs = packs
        self._lanes = lanes
        self._lease = lease
        self._outbox = outbox
        self._run = run
        self._dispatch = dispatch
        self._give_back = give_back
        self._monotonic = monotonic
        self._news = asyncio.Event()
        self._awaited: float | None = None

    def hold(self, parcel: Parcel) -> bool:
        """Hold a parcel that just came in; False when it has to leave by itself, or there is no room."""
        project = parcel.delivery.project_id
        if parcel.delivery.losses or self._lanes.full(project) or not self._lanes.held.fits(parcel.letters):
            return False
        held = self._packs.hold(parcel, self._monotonic())
        if held:
            self._lanes.reserve(parcel)
        end = self._packs.next_end()
        if end is not None and (self._awaited is None or end < self._awaited):
            self._news.set()
        return held

    async def step(self) -> float:
        """Wait until something has to leave and let it; return the pause until the next step.

        :raises eventalarm.exceptions.Retryable: when the database failed; what was leaving goes back.
        """
        self._news.clear()
        self._awaited = end = self._packs.next_end()
        delay = None if end is None else max(0.0, end - self._monotonic())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._news.wait()
        for parcels in self._packs.ripe(self._monotonic()):
            await self._depart(parcels)
        return 0.0

    async def _depart(self, parcels: list[Parcel]) -> None:
        owner = parcels[0].owner
        letters = [parcel.delivery for parcel in parcels if parcel.owner == owner]
        stale = [parcel for parcel in parcels if parcel.owner != owner]
        room = min(self._packs.limit - len(letters), self._lanes.room())
        try:
            if room > 0 and self._lease.holds(owner, self._monotonic()):
                keys = {letter.order_key for letter in letters}
                letters += await self._run(self._outbox.claim_behind, owner, keys, room)
        finally:
            # Also when the database failed: these are leased to us, and need it no more until they are sent.
            for parcel in parcels:
                self._lanes.forget(parcel)
            for parcel in stale:
                self._give_back(parcel.owner, [parcel.delivery.delivery_id])
            self._dispatch(Parcel(owner, letters[0], parcels[0].destination, tuple(letters[1:])))

    def refused(self, parcel: Parcel) -> None:
        """Send the letters of a pack one by one: as a pack they can never be accepted."""
        self._packs.refused(parcel.letters, self._monotonic())
        self._lanes.forget(parcel)
        alone, waiting = first_of_each(parcel.letters)
        self._give_back(parcel.owner, [letter.delivery_id for letter in waiting])
        for letter in alone:
            self._dispatch(Parcel(parcel.owner, letter, parcel.destination))

    def clear(self) -> list[Delivery]:
        """Take out and forget everything that is held."""
        held = self._packs.clear()
        for parcel in held:
            self._lanes.forget(parcel)
        return [parcel.delivery for parcel in held]
