"""The monitor ``receiver``: an HTTP server for webhooks of alarms, which show what was noticed when."""

from __future__ import annotations

import http.server
import json
import threading
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any, Final

from eventalarm.exceptions import InvalidOption
from eventalarm.trial.fields import Fields
from eventalarm.trial.history.records import Delivery, Receipt, Transition
from eventalarm.trial.plugins import Context, Notification, Options, Recorder
from eventalarm.trial.runners.probe_events import PROBE_PATH, RECEIVING, event_of, probe_alarm, seconds_of

ACCEPTED: Final = 200
MOST_BODY: Final = 4 * 2**20
DELIVERY_ID: Final = "X-Eventalarm-Delivery-Id"


class Receiver:
    """Receives webhooks on ``listen`` (HOST:PORT) and answers 200.

    Those of the runner ``events`` become records of the history: what arrived stands for what was committed.
    """

    interval: float | None = None

    def __init__(self, context: Context, options: Options) -> None:
        fields = Fields(options, context.name)
        self._where = fields.text("listen", "0.0.0.0:8099")
        host, _, port = self._where.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise fields.wrong("listen", f"{self._where!r} is not HOST:PORT", "write 0.0.0.0:8099")
        fields.done()
        self._address = (host.strip("[]"), int(port))
        self._clock = context.clock
        self._records = _Records(context.history)
        self._found: list[Notification] = []
        self._server: _Server | None = None

    def plan(self) -> Sequence[str]:
        """Return where it listens."""
        return [f"webhooks are received on {self._where}"]

    def start(self) -> None:
        """Listen.

        :raises InvalidOption: if the address cannot be used.
        """
        try:
            server = _Server(self._address, _Handler)
        except OSError as exc:
            raise InvalidOption("listen", f"{self._where}: {exc.strerror}", "choose another") from exc
        server.receiver = self
        self._server = server
        threading.Thread(target=server.serve_forever, args=(0.1,), name="receiver", daemon=True).start()

    def sample(self) -> None:
        """Take no samples."""

    def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def notifications(self) -> Sequence[Notification]:
        """Return what was received so far, the oldest first."""
        return tuple(self._found)

    def take(self, path: str, delivery_id: str, body: bytes) -> None:
        """Keep one webhook."""
        at = self._clock()
        path = urllib.parse.urlsplit(path).path
        try:
            found = json.loads(body)
        except ValueError:
            found = {}
        if not isinstance(found, dict):
            found = {}
        is_probe = path.startswith(PROBE_PATH)
        if is_probe:
            self._records.add(path, delivery_id, found, at, self._clock())
        self._found.append(
            Notification(
                at,
                str(found.get("alarm_name", "")),
                str(found.get("current", "")),
                str(found.get("severity", "")),
                _resource(found),
                is_probe,
            )
        )


def _resource(body: Mapping[str, Any]) -> str:
    reason = body.get("reason_data")
    occurrence = reason.get("occurrence") if isinstance(reason, Mapping) else None
    return str(occurrence.get("managed_object", "")) if isinstance(occurrence, Mapping) else ""


class _Records:
    """Writes the webhooks of probe events to the history."""

    def __init__(self, history: Recorder) -> None:
        self._history = history
        self._lock = threading.Lock()
        self._known: set[str] = set()

    def add(self, path: str, delivery_id: str, body: Mapping[str, Any], began: float, ended: float) -> None:
        event = event_of(body)
        message_id = str(event.get("message_id", ""))
        with self._lock:
            is_first = delivery_id not in self._known
            self._known.add(delivery_id)
            number = len(self._known)
        receipt = Receipt(began, ended, "receiver", path, delivery_id, message_id, ACCEPTED)
        self._history.add(receipt)
        if not is_first:
            return
        alarm_id, resource = str(body.get("alarm_id", "")), _resource(body)
        kind = str(body.get("reason_data", {}).get("occurrence", {}).get("transition", "raised"))
        self._history.add(
            Transition(
                delivery_id,
                probe_alarm(alarm_id, resource),
                message_id,
                kind,
                seconds_of(str(event.get("generated", ""))),
                began,
                str(body.get("alarm_name", "")),
            ),
            Delivery(number, delivery_id, delivery_id, path, "delivered", 1),
        )


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024
    receiver: Receiver


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        """Keep the webhook, then answer."""
        length = self.headers.get("Content-Length") or "0"
        if not length.isdigit() or int(length) > MOST_BODY:
            self.send_error(413)
            return
        body = self.rfile.read(int(length))
        self.server.receiver.take(self.path, self.headers.get(DELIVERY_ID, ""), body)
        self.send_response(ACCEPTED)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        """Show that a receiver is here."""
        self.send_response(RECEIVING)
        self.end_headers()

    do_PUT = do_POST  # noqa: N815 - the name that http.server calls

    def log_message(self, *args: Any) -> None:
        """Write nothing for each request."""
