"""The protocol of QEMU's guest agent: requests, responses, and what the health command said. Pure.

``qga/qapi-schema.json`` of QEMU defines the commands. A response is a line of JSON; the one to
``guest-sync-delimited`` begins with the byte 0xFF, so that what an earlier client left unread can be skipped.
A guest is not trusted: a response may be of any content, and its size is bounded.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
from collections.abc import Sequence
from typing import Any, Final

from eventalarm.exceptions import EventAlarmError

DELIMITER: Final = b"\xff"
LONGEST_REASON: Final = 200
SEVERITIES: Final = frozenset({"critical", "major", "minor", "warning"})


class Silent(EventAlarmError):
    """A guest did not answer as a guest agent does; the text says what happened instead."""


@dataclasses.dataclass(frozen=True, slots=True)
class Health:
    """The result of the health command; *reason* and *severity* are the guest's, bounded and checked."""

    healthy: bool
    exit_code: int | None
    reason: str
    severity: str = ""


def sync_request(number: int) -> bytes:
    """Return the request with which a conversation begins; *number* identifies it."""
    # A parser that waits for the end of another client's request gives it up at 0xFF.
    return DELIMITER + request("guest-sync-delimited", id=number)


def request(command: str, **arguments: Any) -> bytes:
    """Return a request as a line."""
    return request_text(command, **arguments).encode() + b"\n"


def request_text(command: str, **arguments: Any) -> str:
    """Return a request as JSON text."""
    body: dict[str, Any] = {"execute": command}
    if arguments:
        body["arguments"] = arguments
    return json.dumps(body)


def exec_arguments(words: Sequence[str]) -> dict[str, Any]:
    """Return the arguments of ``guest-exec`` that run the program and keep its output."""
    path, *arguments = words
    return {"path": path, "arg": arguments, "capture-output": True}


class Reader:
    """Collects bytes of a guest and returns the responses in them.

    :param limit: the maximum size of one response in bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Add received bytes.

        :raises Silent: when the response is larger than the limit.
        """
        self._buffer += data
        if len(self._buffer) > self._limit:
            raise Silent(f"the response is larger than {self._limit} bytes")

    def synchronized(self, number: int) -> bool:
        """Return True once the response to :func:`sync_request` is there; removes everything up to it."""
        while (start := self._buffer.find(DELIMITER)) >= 0:
            end = self._buffer.find(b"\n", start)
            if end < 0:
                del self._buffer[:start]
                return False
            line = bytes(self._buffer[start + 1 : end])
            del self._buffer[: end + 1]
            if _matches(line, number):
                return True
        return False

    def response(self) -> Any:
        """Return what the next response returns, or None if it is not complete yet.

        :raises Silent: when it is an error or is not JSON.
        """
        end = self._buffer.find(b"\n")
        if end < 0:
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return returned(line)


def _matches(line: bytes, number: int) -> bool:
    try:
        return bool(returned(line) == number)
    except Silent:
        return False


def returned(text: str | bytes) -> Any:
    """Return what a response returns.

    :raises Silent: when it is an error of the agent, or not a response.
    """
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise Silent("the response is not JSON") from exc
    if isinstance(body, dict) and "return" in body:
        return body["return"]
    error = body.get("error") if isinstance(body, dict) else None
    said = error.get("desc") if isinstance(error, dict) else None
    raise Silent(f"the agent refused: {_shown(said)}" if said else "the response is not one of a guest agent")


def process_id(started: Any) -> int:
    """Return the process id in the result of ``guest-exec``.

    :raises Silent: when there is none.
    """
    number = started.get("pid") if isinstance(started, dict) else None
    if not isinstance(number, int) or isinstance(number, bool):
        raise Silent("the agent did not start the health command")
    return number


def health(status: Any) -> Health | None:
    """Return the health in the result of ``guest-exec-status``, or None if the program still runs.

    :raises Silent: when the result is not one of that command.
    """
    if not isinstance(status, dict) or not isinstance(status.get("exited"), bool):
        raise Silent("the agent did not report on the health command")
    if not status["exited"]:
        return None
    code = status.get("exitcode")
    code = code if isinstance(code, int) else None
    said = _members(_decoded(status.get("out-data")))
    severity = str(said.get("severity", "")).lower()
    ended = f"exit code {code}" if code is not None else f"killed by signal {_shown(status.get('signal'))}"
    reason = said.get("reason")
    return Health(
        code == 0,
        code,
        _shown(reason) if isinstance(reason, str) and reason else ended,
        severity if severity in SEVERITIES else "",
    )


def _decoded(text: Any) -> str:
    try:
        return base64.b64decode(text if isinstance(text, str) else "").decode(errors="replace")
    except (binascii.Error, ValueError):
        return ""


def _members(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _shown(text: Any) -> str:
    """Return text of a guest in one line of printable characters, shortened."""
    line = "".join(one if one.isprintable() else " " for one in str(text)[: 4 * LONGEST_REASON])
    return " ".join(line.split())[:LONGEST_REASON]
