"""Steps that are repeated for as long as the worker lives, whatever goes wrong in one of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from oslo_log import log

from eventalarm.backoff import Backoff
from eventalarm.exceptions import Conflict, Retryable

LOG = log.getLogger(__name__)

# How often in a row the database may have preferred others before that counts as a failure of it.
CONFLICTS: Final = 5

# Does one thing and returns the seconds to wait before it is due again.
Step = Callable[[], Awaitable[float]]


async def repeat(step: Step, *, troubled: Callable[[], None], backoff: Backoff) -> None:
    """Call *step* forever; after an error wait, longer each time, as *backoff* has it.

    *troubled* is called when the database failed. Ends only by being cancelled.
    """
    failures = 0
    while True:
        try:
            pause = await step()
            failures = 0
        except Exception as exc:
            failures += 1
            if isinstance(exc, Conflict) and failures <= CONFLICTS:
                # Another process or another node of a cluster won; nothing is out of reach.
                LOG.debug("Trying again: %s", exc)
            elif isinstance(exc, Retryable):
                troubled()
                level = logging.WARNING if failures == 1 else logging.DEBUG
                LOG.log(level, "The outbox is out of reach: %s", exc)
            else:
                LOG.error("Unexpected error in the delivery worker", exc_info=exc)
            pause = backoff(failures)
        await asyncio.sleep(pause)
