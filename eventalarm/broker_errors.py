"""Explains refusals of RabbitMQ, with a remedy, for logs and the health check."""

from __future__ import annotations

import dataclasses
import re
from typing import Final

INEQUIVALENT: Final = re.compile(
    r"inequivalent arg '(?P<argument>[^']+)' for (?P<kind>queue|exchange) '(?P<name>[^']+)'"
    r"(?: in vhost '(?P<vhost>[^']*)')?(?P<rest>[^\n]*)"
)
VALUES: Final = re.compile(r"received (?P<ours>.+?) but current is (?P<theirs>.+)")
VALUE: Final = re.compile(r"the value '([^']*)' of type '[^']*'|'([^']*)'|(none)")
VHOST: Final = re.compile(
    r"NOT_ALLOWED - (?:vhost (?P<missing>\S+) not found|access to vhost '(?P<refused>[^']*)')"
)
PERMISSION: Final = re.compile(r"ACCESS_REFUSED - (?:access to|\S+ access to) [^\n]*")

OPTIONS: Final = {
    "x-queue-type": "rabbit_quorum_queue",
    "x-delivery-limit": "rabbit_quorum_delivery_limit",
    "x-max-in-memory-length": "rabbit_quorum_max_memory_length",
    "x-max-in-memory-bytes": "rabbit_quorum_max_memory_bytes",
    "x-ha-policy": "rabbit_ha_queues",
    "durable": "amqp_durable_queues",
    "auto_delete": "amqp_auto_delete",
}
IMPLIED: Final = {"x-queue-type": "classic"}


@dataclasses.dataclass(frozen=True, slots=True)
class Refusal:
    """Why the broker refused an operation, in one line, and the remedy; ``argument`` is what differs."""

    problem: str
    remedy: str
    argument: str = ""

    def __str__(self) -> str:
        return f"{self.problem}; {self.remedy}"


def explain(text: str) -> Refusal | None:
    """Return the meaning of a refusal of RabbitMQ; None if *text* is not a known refusal."""
    if found := INEQUIVALENT.search(text):
        return _declared_differently(found)
    if found := VHOST.search(text):
        vhost = found["missing"] or found["refused"]
        why = "does not exist" if found["missing"] else "cannot be accessed by this user"
        return Refusal(
            f"the virtual host {vhost} {why}",
            "correct the path of transport_url, or run rabbitmqctl "
            + (
                f"add_vhost {vhost}"
                if found["missing"]
                else f"set_permissions -p {vhost} USER '.*' '.*' '.*'"
            ),
        )
    if found := PERMISSION.search(text):
        return Refusal(
            f"this user lacks a permission: {found[0][:200]}",
            "grant it: rabbitmqctl set_permissions -p VHOST USER '.*' '.*' '.*'",
        )
    if "ACCESS_REFUSED" in text:
        return Refusal(
            "the broker refuses this user and password",
            "correct transport_url, or run rabbitmqctl change_password",
        )
    return None


def _declared_differently(found: re.Match[str]) -> Refusal:
    argument, kind, name = found["argument"], found["kind"], found["name"]
    difference = argument
    if values := VALUES.search(found["rest"]):
        ours, theirs = (_value(argument, values[which]) for which in ("ours", "theirs"))
        difference = f"{argument} is {theirs}, but {ours} is required"
    vhost = found["vhost"] or "/"
    again = (
        f"rabbitmqctl delete_queue -p {vhost} {name}"
        if kind == "queue"
        else f"delete the exchange {name} in the virtual host {vhost}"
    )
    option = OPTIONS.get(argument)
    alike = f"give both ends the same {option}" if option else "let no other program declare it"
    if argument == "durable" and kind == "queue":
        alike = (
            "use eventalarm:// instead of a publisher such as notifier://?topic=..., and do not override "
            f"{option} in a transport URL"
        )
    return Refusal(
        f"{kind} {name} was declared differently: {difference}",
        f"publisher and listener must declare it alike: {alike}; then, once it is empty, remove it "
        f"({again}): it is created again automatically",
        argument,
    )


def _value(argument: str, text: str) -> str:
    found = VALUE.search(text)
    value = next(filter(None, found.groups()), "") if found else text.strip()[:80]
    return IMPLIED.get(argument, "absent") if value == "none" else value
