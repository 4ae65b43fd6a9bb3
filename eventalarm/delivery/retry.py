"""The retry policy: the result of an attempt, and the time of the next one. Pure.

Consumers come and go: a service that restarts behind a proxy answers 404 or 502 for a while, and one whose
credentials are being renewed 401 or 403. Losing an alarm is worse than a few more POSTs, and the time for
them is limited anyway; so a delivery is given up at once only if the consumer can never accept *this
request*.
"""

from __future__ import annotations

import datetime
import email.utils
from typing import Final

from eventalarm.backoff import FULL_JITTER, Backoff, Uniform
from eventalarm.delivery.action import MASK, masked
from eventalarm.delivery.options import DeliveryOptions
from eventalarm.exceptions import DeliveryError
from eventalarm.model import UTC, Circuit, Delivery, DeliveryResult, DeliveryState

# Moved permanently (redirects are not followed), malformed, method not allowed, gone, length required, too
# large, URI too long, unsupported type, unprocessable, headers too large, not implemented.
PERMANENT_STATUSES: Final = frozenset({301, 308, 400, 405, 410, 411, 413, 414, 415, 422, 431, 501})
LONGEST_ERROR: Final = 300
# Seconds to wait when this process was too busy to make the attempt.
BUSY_PAUSE: Final = 1.0
# Why a delivery is not sent, and why one to a disabled destination is given up.
SUPERSEDED: Final = "superseded"
DISABLED: Final = "destination_disabled"


def delivered(delivery: Delivery, status: int | None) -> DeliveryResult:
    """Return the result of an attempt that the consumer accepted; secrets in its URL are removed.

    It is never sent again, so it need not keep them.
    """
    return DeliveryResult(
        delivery.delivery_id,
        DeliveryState.DELIVERED,
        attempts=delivery.attempts + 1,
        status=status,
        action=_bare(delivery),
    )


def failed(
    delivery: Delivery,
    error: DeliveryError,
    options: DeliveryOptions,
    uniform: Uniform,
    *,
    age: float = 0.0,
    deferred: bool = False,
) -> DeliveryResult:
    """Return the result of a failed attempt: a retry after a wait, a deferred delivery, or a dead letter.

    The wait is exponential with full jitter; a consumer's Retry-After lengthens it up to ``retry_after_max``.
    *age*: for how many seconds it has been owed. *deferred*: the circuit of its destination is open.
    """
    text = str(error)[:LONGEST_ERROR]
    if not error.attempted:
        wait = uniform(BUSY_PAUSE / 2, BUSY_PAUSE)
        return DeliveryResult(
            delivery.delivery_id, DeliveryState.PENDING, delivery.attempts, error=text, retry_in=wait
        )
    attempts = delivery.attempts + 1
    spent = 0 < options.max_attempts <= attempts and not deferred
    if error.permanent or spent or age >= options.give_up_after:
        return DeliveryResult(delivery.delivery_id, DeliveryState.FAILED, attempts, error.status, text)
    if deferred:
        return DeliveryResult(delivery.delivery_id, DeliveryState.DEFERRED, attempts, error.status, text)
    wait = Backoff(options.retry_initial, options.retry_max, uniform, jitter=FULL_JITTER)(attempts)
    if error.retry_after is not None:
        wait = max(wait, min(error.retry_after, options.retry_after_max))
    return DeliveryResult(
        delivery.delivery_id, DeliveryState.PENDING, attempts, error.status, text, retry_in=wait
    )


def lost(delivery: Delivery, options: DeliveryOptions) -> DeliveryResult | None:
    """Return the final result of a delivery during which too many processes ended, otherwise None."""
    spent = delivery.losses > 0 and 0 < options.max_attempts <= delivery.attempts
    if delivery.losses < options.max_losses and not spent:
        return None
    text = f"lost: {delivery.losses} processes ended, or lost their lease, while they held it"
    return DeliveryResult(delivery.delivery_id, DeliveryState.FAILED, delivery.attempts, None, text)


def disabled(delivery: Delivery, circuit: Circuit) -> DeliveryResult:
    """Return the final result of a delivery to a disabled destination, to which no attempt is made."""
    text = f"{DISABLED}: {circuit.error}" if circuit.error else DISABLED
    return DeliveryResult(delivery.delivery_id, DeliveryState.FAILED, delivery.attempts, None, text)


def refused(delivery: Delivery, why: str) -> DeliveryResult:
    """Return the final result of a delivery that must not be sent, of which no attempt is made."""
    return DeliveryResult(delivery.delivery_id, DeliveryState.FAILED, delivery.attempts, None, why)


def superseded(delivery: Delivery) -> DeliveryResult:
    """Return the final result of a delivery that is not sent, since a later one makes it unnecessary."""
    text = f"{SUPERSEDED}: {delivery.superseded_by} about the same managed object was owed too"
    return DeliveryResult(
        delivery.delivery_id, DeliveryState.SUPERSEDED, delivery.attempts, error=text, action=_bare(delivery)
    )


def _bare(delivery: Delivery) -> str:
    """Return the action without its secrets, empty if it has none."""
    shown = masked(delivery.action)
    return shown if MASK in shown else ""


def longest_wait(options: DeliveryOptions) -> datetime.timedelta:
    """Return an upper bound of the wait between two attempts, with a margin of one second."""
    return datetime.timedelta(seconds=max(options.retry_max, options.retry_after_max, BUSY_PAUSE) + 1.0)


def retry_after(value: str | None, date: str | None, now: datetime.datetime) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for, None if it is absent or invalid.

    An HTTP date is compared with the ``Date`` of the response, if it has one: clocks may differ.
    """
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    until = _http_date(value)
    if until is None:
        return None
    return max(0.0, (until - (_http_date(date) or now)).total_seconds())


def of_status(status: int, wait: float | None = None) -> DeliveryError:
    """Return the error for a response with a *status* outside 200-299."""
    reason = "redirect" if 300 <= status < 400 else f"http_{status // 100}xx"
    permanent = status in PERMANENT_STATUSES
    return DeliveryError(reason, f"HTTP {status}", status=status, retry_after=wait, permanent=permanent)


def _http_date(value: str | None) -> datetime.datetime | None:
    try:
        moment = email.utils.parsedate_to_datetime(value or "")
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError, TypeError):
        return None
