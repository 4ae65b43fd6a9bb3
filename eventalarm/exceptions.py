"""The exceptions of eventalarm: one class for each way in which a caller reacts."""

from __future__ import annotations


class EventAlarmError(Exception):
    """Base class of all exceptions that eventalarm raises."""


class InvalidEvent(EventAlarmError):
    """A message or an event that can never be evaluated; it is counted, logged once and acknowledged.

    ``reason`` is a short text, also the label of the metric; ``event_id`` is the message id, or empty.
    """

    def __init__(self, reason: str, detail: str = "", event_id: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.event_id = event_id


class InvalidRule(EventAlarmError):
    """An alarm rule that can never match; the alarm is not evaluated, other alarms are not affected.

    ``field`` names the invalid part, ``remedy`` says how to correct it.
    """

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        super().__init__(f"{field}: {problem}; {remedy}")
        self.field = field
        self.problem = problem
        self.remedy = remedy


class InvalidOption(EventAlarmError):
    """An invalid configuration value or publisher URL; raised at start-up, names the option."""

    def __init__(self, option: str, problem: str, remedy: str) -> None:
        super().__init__(f"{option}: {problem}; {remedy}")
        self.option = option


class SchemaError(EventAlarmError):
    """The database does not have the required schema; the message names the command that installs it."""


class Retryable(EventAlarmError):
    """The database or the broker failed; a retry can succeed later."""


class Locked(Retryable):
    """Another session held a required lock for longer than the lock timeout."""


class Conflict(Retryable):
    """The transaction conflicted with another one; an immediate retry can succeed."""


class PublishError(Retryable):
    """The broker did not accept a message."""


class MessageTooLarge(EventAlarmError):
    """The broker refused a message because of its size; splitting it can help."""


class DeliveryError(EventAlarmError):
    """An attempt to call an action failed.

    ``reason`` is a short label, ``status`` the HTTP status if there was one, ``retry_after`` the seconds that
    the consumer asked to wait. ``permanent``: another attempt cannot succeed. ``attempted`` is False if the
    failure occurred before the consumer was called, for lack of a resource that all deliveries share.
    """

    def __init__(
        self,
        reason: str,
        detail: str = "",
        *,
        status: int | None = None,
        retry_after: float | None = None,
        permanent: bool = False,
        attempted: bool = True,
    ) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.status = status
        self.retry_after = retry_after
        self.permanent = permanent
        self.attempted = attempted
