"""The message bus: transports with durable queues, and the function that sends every message."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import oslo_messaging
from oslo_config import cfg
from oslo_utils import timeutils

from eventalarm.broker_errors import explain
from eventalarm.conf import GROUP
from eventalarm.exceptions import InvalidOption, MessageTooLarge, PublishError
from eventalarm.model import JSONDict

RABBIT_DRIVERS: Final = frozenset({"rabbit", "kombu"})
KAFKA: Final = "kafka"
DRIVERS_WITH_OPTIONS: Final = RABBIT_DRIVERS | {KAFKA}
KEEP_QUEUES: Final = {"amqp_durable_queues": "true", "amqp_auto_delete": "false"}

# The driver waits for a confirmation as long as for a heartbeat. A RabbitMQ that restarts can lose a message
# for a quorum queue and never confirm it; the shorter this wait, the sooner the message is sent again.
SENDING: Final = {"heartbeat_timeout_threshold": "15", "kombu_reconnect_delay": "0"}

# What the driver does, as tests/unit/test_kafka.py observes: after a poll it commits the offsets of all its
# messages, then hands them over; it cannot return one; and it catches the error of producing a message.
KAFKA_LOSES_EVENTS: Final = (
    "on Kafka events are lost when a process ends or the broker fails, since oslo.messaging commits the "
    "offset of a message before it is handled and reports a message that was not accepted as sent (guarantee "
    "G1 does not hold)"
)

# By default the driver's pauses between attempts to reconnect grow to half a minute, by which alarms would be
# late after the broker is back. And when the host of a listener fails, its unacknowledged messages stay
# unavailable to the others until the broker misses its heartbeats: a minute or two by default.
LISTENING: Final = {"rabbit_interval_max": "2", "heartbeat_timeout_threshold": "15"}

# The queue TOPIC.dead keeps the messages that listeners set aside.
DEAD: Final = "dead"
# Priority with which the publisher sends events: the last part of the name of the queue.
PRIORITY: Final = "sample"

# The event type of messages by which a listener observes the progress of a queue.
MARKER: Final = "eventalarm.marker"

# The errors of RabbitMQ (channel error 406) and Kafka for a message that exceeds their limit.
TOO_LARGE: Final = re.compile(
    r"message size \d+ is larger than|MSG_SIZE_TOO_LARGE|message size too large", re.I
)


Split = Callable[[list[JSONDict]], Iterable[tuple[str, list[JSONDict]]]]


def set_defaults() -> None:
    """Give options of oslo.messaging the defaults that they have in Aodh, whose configuration is read.

    For eventalarm's processes and the sample generator. The publisher must not call it: it runs inside
    Ceilometer.
    """
    oslo_messaging.set_transport_defaults("aodh")


def get_transport(
    conf: cfg.ConfigOpts,
    url: str | None = None,
    *,
    prefetch: int | None = None,
    options: Mapping[str, str] | None = None,
    accept_loss: bool | None = None,
) -> Any:
    """Return a notification transport for *url*, by default the one that *conf* sets for notifications.

    Nothing is connected yet. On RabbitMQ the event queue and its exchange are durable and are not deleted
    with their last consumer, even if *conf* sets otherwise for the queues of other services; else events
    would be lost when the broker or the last listener restarts. Options in the URL take precedence.

    :param prefetch: makes a transport for listening, with at most so many unacknowledged messages
        (RabbitMQ), which reconnects within a few seconds after the broker is back. Without it the transport
        is for sending: it replaces a broken connection at once and waits at most 15 s for a confirmation.
    :param options: options of the oslo.messaging driver by name; they override *conf* and the URL.
    :param accept_loss: permits a driver that loses events; by default ``[eventalarm] accept_event_loss``.
    :raises InvalidOption: naming ``transport_url`` or the driver option that is not valid.
    """
    parsed = _parse(conf, url)
    if driver_name(parsed) == KAFKA and not (accepts_loss(conf) if accept_loss is None else accept_loss):
        raise InvalidOption(
            "transport_url", KAFKA_LOSES_EVENTS, "use rabbit://, or accept the loss: accept_event_loss = true"
        )
    for name, value in (options or {}).items():
        _check_option(conf, parsed, name, value)
    defaults: dict[str, str] = {}
    if driver_name(parsed) in RABBIT_DRIVERS:
        defaults = KEEP_QUEUES | (
            SENDING if prefetch is None else LISTENING | {"rabbit_qos_prefetch_count": str(prefetch)}
        )
    parsed.query = {**defaults, **parsed.query, **(options or {})}
    return _open(conf, parsed)


def transport_url(conf: cfg.ConfigOpts, url: str | None = None) -> Any:
    """Return the effective oslo.messaging ``TransportURL``: *url*, or the one that *conf* sets.

    :raises InvalidOption: naming ``transport_url`` when it cannot be parsed.
    """
    return _parse(conf, url)


def driver_name(parsed: Any) -> str:
    """Return the oslo.messaging driver of a parsed transport URL."""
    return str(parsed.transport).partition("+")[0]


def accepts_loss(conf: cfg.ConfigOpts) -> bool:
    """Return ``[eventalarm] accept_event_loss``; False where it is not registered, as in Ceilometer."""
    return GROUP in conf and bool(conf[GROUP].accept_event_loss)


def describe(conf: cfg.ConfigOpts, url: str | None = None) -> str:
    """Return driver, hosts and virtual host of a transport URL for a log line, without credentials."""
    parsed = _parse(conf, url)
    hosts = ",".join(f"{host.hostname}:{host.port}" if host.port else host.hostname for host in parsed.hosts)
    return f"{parsed.transport}://{hosts}/{parsed.virtual_host or ''}"


def _parse(conf: cfg.ConfigOpts, url: str | None) -> Any:
    # This connects nothing, and registers the options read below without loading the driver of the URL.
    oslo_messaging.get_notification_transport(conf, "fake://")
    try:
        parsed = oslo_messaging.TransportURL.parse(
            conf, url or conf.oslo_messaging_notifications.transport_url or conf.transport_url
        )
    except (oslo_messaging.InvalidTransportURL, ValueError):
        raise _unreadable() from None
    if any((host.port or 0) > 65535 for host in parsed.hosts):
        raise _unreadable()
    return parsed


def _unreadable() -> InvalidOption:
    # Without the message of the parser, which can contain a part of the password.
    return InvalidOption(
        "transport_url",
        "cannot be parsed, or an option in its query is not valid",
        "write driver://user:password@host:port/vhost, and %-escape special characters of the password",
    )


def _open(conf: cfg.ConfigOpts, url: Any) -> Any:
    try:
        return oslo_messaging.get_notification_transport(conf, url)
    except cfg.NoSuchOptError as exc:
        raise InvalidOption(
            "transport_url", f"the driver has no option {exc.opt_name}", "correct or remove it"
        ) from exc
    except (oslo_messaging.DriverLoadFailure, ImportError) as exc:
        raise InvalidOption(
            "transport_url",
            f"its driver cannot be loaded ({exc})",
            "use rabbit://, or install what is missing",
        ) from exc
    except (oslo_messaging.InvalidTransportURL, ValueError):
        raise _unreadable() from None


def _check_option(conf: cfg.ConfigOpts, parsed: Any, name: str, value: str) -> None:
    driver = driver_name(parsed)
    if driver not in DRIVERS_WITH_OPTIONS:
        raise InvalidOption(name, f"unknown, and the {driver} driver has no options", "correct or remove it")
    alone = oslo_messaging.TransportURL(conf, parsed.transport, query={name: value})
    try:
        oslo_messaging.get_notification_transport(conf, alone)
    except cfg.NoSuchOptError:
        raise InvalidOption(
            name, f"unknown, also to the {driver} driver of oslo.messaging", "correct or remove it"
        ) from None
    except ValueError as exc:
        raise InvalidOption(
            name,
            f"{value!r} is not valid ({exc})",
            f"see [oslo_messaging_{driver}] in the configuration reference",
        ) from None


def events_sender(
    transport: Any, *, split: Split, exchange: str, publisher_id: str
) -> Callable[[list[JSONDict]], None]:
    """Return a function that sends events to the listeners, one message for each topic, as :func:`send` does.

    :param split: returns the topics of events, each with its events in their order.
    """

    def send_events(payload: list[JSONDict]) -> None:
        for topic, events in split(payload):
            send(
                transport,
                topic=topic,
                exchange=exchange,
                event_type=topic,
                payload=events,
                publisher_id=publisher_id,
            )

    return send_events


def send_marker(transport: Any, marker: str, *, topic: str, exchange: str) -> None:
    """Put a message without events on the queue of a topic; *marker* is its id. Errors as of :func:`send`."""
    send(transport, topic=topic, exchange=exchange, event_type=MARKER, payload=[], publisher_id=marker)


def marker_of(message: Mapping[str, Any]) -> str | None:
    """Return the id of a marker, or None if *message* is another one."""
    return str(message.get("publisher_id")) if message.get("event_type") == MARKER else None


def send(
    transport: Any,
    *,
    topic: str,
    exchange: str,
    event_type: str,
    payload: Any,
    priority: str = PRIORITY,
    retry: int = 1,
    publisher_id: str = "eventalarm",
) -> None:
    """Send one notification; returns once the broker has accepted it (RabbitMQ: confirmed it).

    This is the call that the ``messagingv2`` driver of oslo.messaging makes, one level below the public
    ``Notifier``. The ``Notifier`` catches every error, logs it with the whole payload and returns as if the
    message had been sent, so its caller cannot know that an alarm was lost.

    :param payload: must be serialisable as JSON.
    :param retry: how often the driver may retry. At least 1: with 0 the driver gives up before it replaces a
        channel that the broker closed, and fails again on every later call. Not much more: the driver waits
        whole seconds between attempts and cannot be interrupted. To wait for a broker, call again.
    :raises PublishError: when the broker did not accept the message.
    :raises MessageTooLarge: when the broker refused it because of its size.
    """
    message = {
        "message_id": str(uuid.uuid4()),
        "publisher_id": publisher_id,
        "event_type": event_type,
        "priority": priority.upper(),
        "payload": payload,
        "timestamp": str(timeutils.utcnow()),
    }
    resend(transport, message, topic=topic, exchange=exchange, priority=priority, retry=retry)


def resend(
    transport: Any,
    message: Mapping[str, Any],
    *,
    topic: str,
    exchange: str,
    priority: str = PRIORITY,
    retry: int = 1,
) -> None:
    """Send a complete message, such as one that was received, as :func:`send` does.

    :raises PublishError: when the broker did not accept the message.
    :raises MessageTooLarge: when the broker refused it because of its size.
    """
    target = oslo_messaging.Target(topic=f"{topic}.{priority}", exchange=exchange)
    try:
        transport._send_notification(target, {}, dict(message), version=2.0, retry=retry)
    except Exception as exc:
        # Drivers raise the errors of three libraries, which have no common class.
        if TOO_LARGE.search(str(exc)):
            raise MessageTooLarge(str(exc)) from exc
        raise PublishError(_explain(exc)) from exc


def _explain(error: Exception) -> str:
    text = (str(error).splitlines() or [""])[0][:500] or type(error).__name__
    refusal = explain(str(error))
    return text if refusal is None else f"{refusal} ({text})"
