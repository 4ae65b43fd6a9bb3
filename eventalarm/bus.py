"""The message bus: transports whose queue is durable, and the one way in which a message is sent."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Any, Final

import oslo_messaging
from oslo_config import cfg
from oslo_utils import timeutils

from eventalarm.broker_errors import explain
from eventalarm.exceptions import InvalidOption, MessageTooLarge, PublishError

RABBIT_DRIVERS: Final = frozenset({"rabbit", "kombu"})
DRIVERS_WITH_OPTIONS: Final = RABBIT_DRIVERS | {"kafka"}
KEEP_QUEUES: Final = {"amqp_durable_queues": "true", "amqp_auto_delete": "false"}

# The driver waits for a confirmation as long as for a heartbeat. A restarting RabbitMQ can forget a message
# for a quorum queue and never confirm it: then the sooner we know, the sooner we send it again.
SENDING: Final = {"heartbeat_timeout_threshold": "15", "kombu_reconnect_delay": "0"}

# The driver's pauses between tries grow to half a minute; whoever waits for alarms wants them when the broker
# is back, not half a minute later. And a listener whose host is gone without a word keeps what it was handed
# from all others until the broker misses its heartbeats: for a minute or two by default.
LISTENING: Final = {"rabbit_interval_max": "2", "heartbeat_timeout_threshold": "15"}

# The queue TOPIC.dead keeps messages that were given up.
DEAD: Final = "dead"
# Priority with which the publisher sends events: the last part of the name of the queue.
PRIORITY: Final = "sample"

# What RabbitMQ (channel error 406) and Kafka say of a message that exceeds their limit.
TOO_LARGE: Final = re.compile(
    r"message size \d+ is larger than|MSG_SIZE_TOO_LARGE|message size too large", re.I
)


def set_defaults() -> None:
    """Let unset options mean what they mean in Aodh, whose configuration our services read.

    For our own processes and the sample generator; the publisher, a guest in Ceilometer, must not call it.
    """
    oslo_messaging.set_transport_defaults("aodh")


def get_transport(
    conf: cfg.ConfigOpts,
    url: str | None = None,
    *,
    prefetch: int | None = None,
    options: Mapping[str, str] | None = None,
) -> Any:
    """Return a notification transport for *url*, or for the one that *conf* has for notifications.

    On RabbitMQ our queue and exchange are durable and never deleted with their last consumer, even where
    *conf* says otherwise for the services' own queues: alarms would be forgotten when the broker or the
    last listener restarts. What the deployer put into the URL still wins.

    *prefetch* makes a transport for listening: it bounds its unacknowledged messages (RabbitMQ) and is back
    a few seconds after the broker, however long that was away. Without it the transport is for sending: it
    replaces a broken connection without a pause, and waits 15 s at most for a confirmation. *options* are
    options of the oslo.messaging driver by name, stronger than *conf* and URL. Nothing is connected yet.

    :raises InvalidOption: naming ``transport_url`` or the driver option that cannot work.
    """
    parsed = _parse(conf, url)
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
    """Return the parsed oslo.messaging ``TransportURL`` that counts: *url*, or what *conf* has.

    :raises InvalidOption: naming ``transport_url`` when it cannot be read.
    """
    return _parse(conf, url)


def driver_name(parsed: Any) -> str:
    """Return the oslo.messaging driver of a parsed transport URL."""
    return str(parsed.transport).partition("+")[0]


def describe(conf: cfg.ConfigOpts, url: str | None = None) -> str:
    """Return driver, hosts and virtual host of a transport URL for a log line: no user, no password."""
    parsed = _parse(conf, url)
    hosts = ",".join(f"{host.hostname}:{host.port}" if host.port else host.hostname for host in parsed.hosts)
    return f"{parsed.transport}://{hosts}/{parsed.virtual_host or ''}"


def _parse(conf: cfg.ConfigOpts, url: str | None) -> Any:
    """Parse the URL that counts; opening it connects nothing, but registers the options that name it."""
    _open(conf, url)
    parsed = oslo_messaging.TransportURL.parse(
        conf, url or conf.oslo_messaging_notifications.transport_url or conf.transport_url
    )
    if any((host.port or 0) > 65535 for host in parsed.hosts):
        raise _unreadable()
    return parsed


def _unreadable() -> InvalidOption:
    # Without the parser's own words: they can hold a piece of the password.
    return InvalidOption(
        "transport_url",
        "cannot be read, or an option behind its question mark does not fit",
        "write driver://user:password@host:port/vhost, and %-escape special characters of the password",
    )


def _open(conf: cfg.ConfigOpts, url: Any) -> Any:
    try:
        return oslo_messaging.get_notification_transport(conf, url)
    except cfg.NoSuchOptError as exc:
        raise InvalidOption(
            "transport_url", f"the driver knows no option {exc.opt_name}", "correct or remove it"
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
            f"{value!r} does not fit ({exc})",
            f"see [oslo_messaging_{driver}] in the configuration reference",
        ) from None


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
    """Send one notification and return when the broker has taken it (RabbitMQ: confirmed it).

    *payload* must be fit for JSON. *retry* is how often the driver may try again by itself. It must not be
    less than one: the driver gives up before it replaces a channel that the broker closed, and would meet
    the same closed channel on every later call. Nor should it be much more: the driver waits whole seconds
    between tries and cannot be stopped. Whoever wants to outlast an absent broker calls again.

    This is the call that oslo.messaging's own ``messagingv2`` driver makes, one level below its public
    ``Notifier``: the ``Notifier`` catches every error, logs it with the whole payload and returns as if the
    message had been sent, so that nothing above it could ever know that an alarm was lost.

    :raises PublishError: when the broker did not take it.
    :raises MessageTooLarge: when the broker refused it for its size.
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
    """Send the body of a message, such as one that was received, as :func:`send` does.

    :raises PublishError: when the broker did not take it.
    :raises MessageTooLarge: when the broker refused it for its size.
    """
    target = oslo_messaging.Target(topic=f"{topic}.{priority}", exchange=exchange)
    try:
        transport._send_notification(target, {}, dict(message), version=2.0, retry=retry)
    except Exception as exc:
        # Drivers let errors of three libraries through, without a common class.
        if TOO_LARGE.search(str(exc)):
            raise MessageTooLarge(str(exc)) from exc
        raise PublishError(_explain(exc)) from exc


def _explain(error: Exception) -> str:
    text = (str(error).splitlines() or [""])[0][:500] or type(error).__name__
    refusal = explain(str(error))
    return text if refusal is None else f"{refusal} ({text})"
