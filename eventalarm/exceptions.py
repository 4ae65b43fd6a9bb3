"""The error tree: one class for each thing that a caller does differently."""

from __future__ import annotations


class EventAlarmError(Exception):
    """Root of every error that eventalarm raises on purpose."""


class InvalidEvent(EventAlarmError):
    """A message or an event that can never be evaluated; counted, logged once, acknowledged.

    ``reason`` is a short label (used as the metric label), ``event_id`` the message id if one is known.
    """

    def __init__(self, reason: str, detail: str = "", event_id: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.event_id = event_id


class InvalidRule(EventAlarmError):
    """An alarm rule that can never match; the alarm is left out, the others are not affected.

    ``field`` names what is wrong, ``remedy`` says how to mend it.
    """

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        super().__init__(f"{field}: {problem}; {remedy}")
        self.field = field
        self.problem = problem
        self.remedy = remedy


class InvalidOption(EventAlarmError):
    """A configuration value or publisher URL that cannot work; raised at start, names the option."""

    def __init__(self, option: str, problem: str, remedy: str) -> None:
        super().__init__(f"{option}: {problem}; {remedy}")
        self.option = option


class SchemaError(EventAlarmError):
    """The database does not hold the schema that we need; the message says which command mends it."""


class Retryable(EventAlarmError):
    """The database or the broker failed; the same work can succeed later."""


class Locked(Retryable):
    """Another session kept a lock that we need for longer than we wait."""


class Conflict(Retryable):
    """Another transaction won: the same work can succeed at once."""


class PublishError(Retryable):
    """The broker did not take a message."""


class MessageTooLarge(EventAlarmError):
    """The broker refuses a message for its size; splitting it can help."""


class DeliveryError(EventAlarmError):
    """One attempt to call an action failed.

    ``reason`` is a short label, ``status`` the HTTP status if there was one, ``retry_after`` seconds the
    consumer asked us to wait, ``permanent`` tells that another attempt cannot help. Without ``attempted`` we
    never got as far as the consumer, for want of something that all share: that is not an attempt.
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
