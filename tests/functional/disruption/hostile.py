"""A hostile tenant: its alarms, created through Aodh's API, events about them, and a dead name server."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pathlib
import random
import shutil
import socket
import subprocess
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aodhclient import exceptions

from tests.support.cloud import make_event

TENANT = "hostile"
EVENT_TYPE = "compute.instance.update"
MEBIBYTE = 2**20
LONG = 30_000
GROUPED = "request.finished"
# One value of each kind of text that a tenant or an event may choose.
TEXTS = (
    "",
    " ",
    "x" * 255,
    "\N{PILE OF POO}" * 60,
    "\N{RIGHT-TO-LEFT OVERRIDE}gnp.exe",
    "'; DROP TABLE alarm; --",
    "%s%n{0}{alarm_id}$(id)`id`",
    "line\nline\r\n\tline",
    "a" * 120 + "!",
    "\N{COMBINING ACUTE ACCENT}" * 100,
    "NULL",
    "../../etc/passwd",
)
NUMBERS = ("NaN", "Infinity", "-0", "1e400", "9" * 400, "0x10", "-1", "1.7976931348623157e308")
MOMENTS = ("0001-01-01T00:00:00", "9999-12-31T23:59:59.999999", "2026-02-30T00:00:00", "now", "")


def actions(hung: str) -> list[str]:
    """Return valid and invalid actions of each scheme; *hung* is an address where nobody answers."""
    place = hung.partition("://")[2]
    return [
        hung,
        f"https://{place}",
        f"trust+http://trust@{place}",
        f"trust+https://trust:delete@{place}",
        f"sol003+http://{place}",
        f"sol003+https://{place}",
        f"tacker+http://{place}",
        f"zaqar://?topic=t&subscriber={hung}&ttl=3600",
        "zaqar://",
        "trust+zaqar://trust@?queue_name=q",
        "trust+heat://trust@",
        "log://",
        "test://",
        "http://[::ffff:169.254.169.254]/latest",
        "http://0/",
        f"http://user:{'p' * 500}@{place}",
        f"{hung}?{'q' * 4000}",
        "http://xn--/",
        "HTTP://" + "a." * 120 + "invalid/",
    ]


def alarms(hung: Sequence[str], dead: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the alarms that the tenant creates; each reacts to the instance of its own number."""
    calls = [[action] for action in (*actions(hung[0]), *hung, *dead)]
    for action in calls:
        yield _on_state("a webhook", action)
    for text in TEXTS:
        yield _on_state(text, calls[0], description=text)
        yield _notification("text", {"query": _where("display_name", "eq", text)}, calls[0])
        for operator in ("regex", "wildcard", "contains", "prefix"):
            yield _notification("pattern", {"query": _where("display_name", operator, text or "x")}, calls[0])
    for pattern in ("(a+)+$", "(a|aa)*b", ".*" * 40 + "b", "(?=a)", "[" * 50, "a{1000}{1000}", "*" * 200):
        for operator in ("regex", "wildcard"):
            yield _notification(
                "backtracking", {"query": _where("display_name", operator, pattern)}, calls[0]
            )
    for value in (*NUMBERS, *MOMENTS):
        for kind in ("integer", "float", "datetime", "boolean"):
            yield _on_state("numbers", calls[0], query=[_condition("memory_mb", "ge", value, kind)])
    prose = ",event_type=" * (LONG // 24) + "> " * (LONG // 4)
    yield _notification(
        "prose",
        {"query": _where("state", "eq", "error"), "clear": {"query": _where("state", "ne", prose)}},
        [f"sol003+{hung[0]}"],
        ok_actions=[f"sol003+{hung[0]}", f"tacker+{hung[0]}"],
    )
    yield _notification("groups", {"event_type": GROUPED, "group_by": ["request_id"]}, calls[0])
    for _ in range(30):
        yield _on_state("the same big event", calls[0], instance="big")


def create(client: Any, bodies: Iterator[dict[str, Any]]) -> list[str]:
    """Create the alarms that the API accepts; return the instance that each watches."""
    instances = []
    for number, body in enumerate(bodies):
        instance = body.pop("instance", None) or f"hostile-{number}"
        text = json.dumps(body).replace("$INSTANCE", instance)
        with contextlib.suppress(exceptions.ClientException):
            client.alarm.create(json.loads(text))
            instances.append(instance)
    return instances


def _condition(trait: str, operator: str, value: Any, kind: str = "string") -> dict[str, Any]:
    return {"field": f"traits.{trait}", "op": operator, "type": kind, "value": value}


def _where(trait: str, operator: str, value: str) -> list[dict[str, Any]]:
    return [_condition("instance_id", "eq", "$INSTANCE"), _condition(trait, operator, value)]


def _on_state(name: str, action: list[str], **fields: Any) -> dict[str, Any]:
    query = fields.pop("query", [_condition("state", "eq", "error")])
    return {
        "name": name,
        "type": "event",
        "event_rule": {
            "event_type": EVENT_TYPE,
            "query": [_condition("instance_id", "eq", "$INSTANCE"), *query],
        },
        "alarm_actions": action,
        "ok_actions": action,
        "repeat_actions": True,
        **fields,
    }


def _notification(
    name: str, rule: Mapping[str, Any], action: list[str], *, ok_actions: Sequence[str] = ()
) -> dict[str, Any]:
    return {
        "name": name,
        "type": "notification",
        "notification_rule": {"event_type": EVENT_TYPE, **rule},
        "alarm_actions": action,
        "ok_actions": [*(ok_actions or action)],
        "repeat_actions": True,
    }


def events(instances: Sequence[str], chance: random.Random) -> Iterator[dict[str, Any]]:
    """Yield events of the tenant's instances forever, no two of one kind in a row."""
    kinds = (_fault, _odd, _grouped, _fault, _mistyped, _grouped, _fault, _recovery)
    yield from (make(instances, chance) for make in itertools.cycle(kinds))


def big(chance: random.Random) -> dict[str, Any]:
    """Return an event of a mebibyte about the instance that thirty alarms watch."""
    return _event("big", chance, blob="b" * MEBIBYTE)


def _event(instance: str, chance: random.Random, state: str = "error", **traits: Any) -> dict[str, Any]:
    message_id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
    return make_event(instance, state, project=TENANT, message_id=message_id, **traits)


def _fault(instances: Sequence[str], chance: random.Random) -> dict[str, Any]:
    return _event(chance.choice(instances), chance)


def _recovery(instances: Sequence[str], chance: random.Random) -> dict[str, Any]:
    return _event(chance.choice(instances), chance, "active")


def _odd(instances: Sequence[str], chance: random.Random) -> dict[str, Any]:
    return _event(chance.choice(instances), chance, display_name=chance.choice(TEXTS) * 40)


def _grouped(_instances: Sequence[str], chance: random.Random) -> dict[str, Any]:
    request = str(chance.getrandbits(64))
    event = _event(f"request-{request}", chance, request_id=request)
    return {**event, "event_type": GROUPED}


def _mistyped(instances: Sequence[str], chance: random.Random) -> dict[str, Any]:
    event = _event(chance.choice(instances), chance)
    value = chance.choice(NUMBERS + MOMENTS)
    event["traits"] += [["memory_mb", kind, value] for kind in (1, 2, 3, 4, 99, None)]
    event["generated"] = chance.choice([*MOMENTS, event["generated"]])
    return event


class NameServer(threading.Thread):
    """A name server that does not respond until it *answers*: then it denies every name, pending ones too.

    :ivar prefix: the words to put before a command that is to ask no other name server; empty without the
        right to do so, and then names are left to this machine's resolver.
    """

    def __init__(self, directory: pathlib.Path) -> None:
        super().__init__(name="name-server", daemon=True)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(0.1)
        self._answers, self._ended = threading.Event(), threading.Event()
        address = f"127.{random.randrange(1, 255)}.{random.randrange(256)}.53"
        self.prefix = self._prefix(directory / "resolv.conf", address)

    def _prefix(self, resolv: pathlib.Path, address: str) -> list[str]:
        try:
            self._socket.bind((address, 53))
        except PermissionError:
            return []
        # The command sees this file in its own mount namespace.
        resolv.write_text(f"nameserver {address}\noptions timeout:5 attempts:2\n")
        script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
        prefix = ["unshare", "--mount", "sh", "-c", script, str(resolv)]
        possible = shutil.which("unshare") and not os.path.islink("/etc/resolv.conf")
        allowed = possible and subprocess.run([*prefix, "true"], capture_output=True, check=False)
        return prefix if allowed and allowed.returncode == 0 else []

    def run(self) -> None:
        """Serve until closed; called by ``start``. Questions wait in the socket while it is dead."""
        while not self._ended.is_set():
            if not self._answers.wait(0.1):
                continue
            with contextlib.suppress(OSError):
                asked, sender = self._socket.recvfrom(4096)
                name_end = asked.index(0, 12)
                no_such_name = asked[:2] + b"\x81\x83" + asked[4:6] + bytes(6) + asked[12 : name_end + 5]
                self._socket.sendto(no_such_name, sender)

    def answer(self) -> None:
        """Deny every name from now on."""
        self._answers.set()

    def die(self) -> None:
        """Answer nothing from now on."""
        self._answers.clear()

    def close(self) -> None:
        """End the process."""
        self._ended.set()
        if self.is_alive():
            self.join()
        self._socket.close()
