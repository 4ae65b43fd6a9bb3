"""The limits of the queue of the topic: delivery limit, consumer timeout, policies, messages set aside."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any, Final

import amqp.exceptions
from oslo_config import cfg

from eventalarm import bus
from eventalarm.broker import Broker
from eventalarm.conf import GROUP
from eventalarm.status.broker import at_broker, on_channel, topics
from eventalarm.status.checks import Finding, Level

LIMITED_BY_DEFAULT: Final = (4, 0)
DEFAULT_LIMIT: Final = 20
RABBITMQCTL_PATH: Final = "/usr/sbin:/usr/lib/rabbitmq/bin:/usr/local/sbin"
LOSSY: Final = ("message-ttl", "expires", "max-length", "max-length-bytes")
# consumer_timeout must be at least this many times hold_batch.
HEADROOM: Final = 3.0

# Erlang: the policies and operator policies in force for one queue; list_queues shows them in newer releases
# only.
EXPRESSION: Final = """
{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(%s, queue, %s)),
P = case rabbit_policy:effective_definition(Q) of undefined -> []; D -> D end,
T = case application:get_env(rabbit, consumer_timeout) of {ok, N} when is_integer(N) -> N; _ -> 0 end,
rabbit_json:encode(#{policy => maps:from_list(P), consumer_timeout => T}).
"""


@dataclasses.dataclass(frozen=True, slots=True)
class QueueLimits:
    """What is known about the limits of a queue; None where something is unknown.

    ``policy`` is the definition in force, ``consumer_timeout`` is in seconds (0: none), ``dead`` is the
    number of messages in the dead letter queue.
    """

    quorum: bool
    version: tuple[int, ...]
    arguments: Mapping[str, Any]
    policy: Mapping[str, Any] | None = None
    consumer_timeout: float | None = None
    dead: int | None = None

    @property
    def delivery_limit(self) -> int | None:
        """Return the delivery limit in force; None if there is none or it is unknown."""
        if not self.quorum:
            return None
        named = [self.arguments.get("x-delivery-limit"), (self.policy or {}).get("delivery-limit")]
        given = [int(limit) for limit in named if limit is not None]
        if given:
            return min(given) if min(given) >= 0 else None
        return DEFAULT_LIMIT if self.version >= LIMITED_BY_DEFAULT else None


def check_limits(conf: cfg.ConfigOpts, timeout: float, rabbitmqctl: str) -> Finding:
    """Check the limits of the queue of the topic; *rabbitmqctl* is a command, or empty."""
    group = conf[GROUP]
    queue, dead_queue = f"{topics(conf)[0]}.{bus.PRIORITY}", f"{group.topic}.{bus.DEAD}"

    def look(broker: Broker, connection: Any) -> Finding:
        dead = _message_count(connection, dead_queue)
        # The rest of the time is for the connection to the broker.
        answers = _ask_rabbitmqctl(rabbitmqctl, timeout * 0.8, broker.url.virtual_host or "/", queue)
        limits = QueueLimits(
            quorum=broker.options.rabbit_quorum_queue,
            version=_version(connection),
            arguments=broker.arguments(),
            policy=answers.get("policy"),
            consumer_timeout=answers["consumer_timeout"] / 1000 if "consumer_timeout" in answers else None,
            dead=dead,
        )
        return limits_finding(limits, queue, dead_queue, renew_after=group.renew_after, hold=group.hold_batch)

    return at_broker(conf, timeout, look)


def limits_finding(limits: QueueLimits, queue: str, dead: str, *, renew_after: int, hold: float) -> Finding:
    """Return the worst problem that *limits* of *queue* cause for a listener with these options.

    *dead* is the queue of messages that were set aside.
    """
    limit = limits.delivery_limit
    figures = {"delivery_limit": limit, "consumer_timeout": limits.consumer_timeout, "dead": limits.dead}
    known = {name: value for name, value in figures.items() if value is not None}
    text = _described(limits)
    if limit is not None and limit < renew_after:
        remedy = f"raise the delivery limit, or lower [eventalarm] renew_after ({renew_after}) to it"
        return Finding(Level.FAILED, f"{text}: events are lost when listeners are killed", remedy, known)
    if limits.consumer_timeout and limits.consumer_timeout < HEADROOM * hold:
        level = Level.FAILED if limits.consumer_timeout <= hold else Level.WARNING
        remedy = f"raise it, or lower [eventalarm] hold_batch ({hold:g} s), which must be well below it"
        return Finding(level, f"{text}: the broker cuts off listeners that hold a batch", remedy, known)
    if lossy := [name for name in LOSSY if name in (limits.policy or {})]:
        remedy = f"exempt {queue} from that policy"
        return Finding(Level.WARNING, f"{text}; a policy drops events: {', '.join(lossy)}", remedy, known)
    if limits.dead:
        text = f"{text}; {limits.dead} messages were moved to {dead}"
        remedy = (
            "the log of the listeners names their events; doc/source/admin/operating.rst explains how to "
            "publish them again"
        )
        return Finding(Level.WARNING, text, remedy, known)
    if limit is not None and limits.policy is not None and "dead-letter-exchange" not in limits.policy:
        remedy = (
            'add "dead-letter-exchange": "", "dead-letter-routing-key": '
            f'"{dead}" to the policy of the queue (doc/source/admin/operating.rst)'
        )
        return Finding(Level.WARNING, f"{text}; messages beyond it are dropped", remedy, known)
    return Finding(Level.OK, text, figures=known)


def _described(limits: QueueLimits) -> str:
    limit = limits.delivery_limit
    parts = ["no delivery limit" if limit is None else f"delivery limit {limit}"]
    if limits.policy is None:
        parts.append("policies were not read: pass the rabbitmqctl command with --rabbitmqctl")
    if limits.consumer_timeout is not None:
        parts.append(
            f"consumer timeout {limits.consumer_timeout:g} s"
            if limits.consumer_timeout
            else "no consumer timeout"
        )
    return ", ".join(parts)


def _version(connection: Any) -> tuple[int, ...]:
    text = str(connection.connection.server_properties.get("version", ""))
    return tuple(int(number) for number in re.findall(r"\d+", text)[:2])


def _message_count(connection: Any, queue: str) -> int | None:
    try:
        found = on_channel(connection, lambda c: c.queue_declare(queue, passive=True))
    except amqp.exceptions.NotFound:
        return None
    return int(found.message_count)


def _ask_rabbitmqctl(command: str, timeout: float, vhost: str, queue: str) -> Mapping[str, Any]:
    """Return the policy and the timeout of a queue from ``rabbitmqctl``; empty if it fails."""
    words = shlex.split(command) if command else [shutil.which("rabbitmqctl", path=RABBITMQCTL_PATH) or ""]
    if not all(words):
        return {}
    expression = EXPRESSION % (_erlang(vhost), _erlang(queue))
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own command
            [*words, "-q", "eval", expression], capture_output=True, text=True, timeout=timeout, check=False
        )
        text = done.stdout.strip().removeprefix("<<").removesuffix(">>")
        found = json.loads(json.loads(text)) if done.returncode == 0 else {}
    except (OSError, subprocess.TimeoutExpired, ValueError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def _erlang(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'<<"{escaped}"/utf8>>'
