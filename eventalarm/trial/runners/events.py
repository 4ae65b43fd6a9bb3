"""The runner ``events``: reports events at a steady rate, each of which must become one webhook.

It creates the alarm in Aodh and deletes it at the end. The monitor ``receiver`` gets the webhooks.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from eventalarm.exceptions import InvalidOption
from eventalarm.trial.calls import Access, Caller, CallFailed, access_of, http_url
from eventalarm.trial.fields import Fields
from eventalarm.trial.history.records import Publish
from eventalarm.trial.plugins import Context, Options
from eventalarm.trial.runners.probe_events import RECEIVING, ProbeAlarm

ACCEPTED: Final = 202
RETRY_PAUSE: Final = 0.2
# Seconds for which the last event is sent again at the end.
PATIENCE: Final = 60.0
# Seconds for which a receiver is looked for.
LOOK: Final = 3.0
PROJECT_HEADER: Final = "X-Project-Id"


class _Service:
    """One of the two services that the runner calls: ``url``, ``cloud``, ``headers``, ``timeout``."""

    def __init__(self, value: object, where: str, service: str) -> None:
        fields = Fields(value, where)
        self.url = http_url(fields, default="" if service else None)
        self.access: Access = access_of(fields)
        fields.done()
        if not self.url and not self.access.cloud:
            raise fields.wrong("url", "neither url nor cloud is given", "add one of them")
        self._service = "" if self.url else service
        self._caller = Caller(self.access)

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """Return the answer.

        :raises CallFailed: if there is none.
        """
        return self._caller.request(method, f"{self.url}{path}", body, self._service)


class Events:
    """Reports events through the ingest API, one at a time; each is sent again until it is accepted."""

    def __init__(self, context: Context, options: Options) -> None:
        fields = Fields(options, context.name)
        rate = fields.number("rate", 2.0, 0.01, 200)
        self._every = 1 / (rate or 2.0)
        self._ingest = _Service(fields.value("ingest"), fields.path("ingest"), "")
        self._alarming = _Service(fields.value("alarming"), fields.path("alarming"), "alarm")
        headers = self._alarming.access.headers or {}
        self._project = fields.text("project", headers.get(PROJECT_HEADER, ""))
        if not self._project:
            raise fields.wrong("project", "is missing", "give the id of the project that owns the alarm")
        token = f"{context.chance.getrandbits(32):08x}"
        self._alarm = ProbeAlarm(token, http_url(fields, "webhook"))
        fields.done()
        self._context = context
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._alarm_id = ""
        self._made = 0.0
        self._counts: Counter[str] = Counter()
        self._slowest = 0.0
        self._problems: list[str] = []

    def plan(self) -> Sequence[str]:
        """Return what is created and reported."""
        return [
            f"creates the alarm {self._alarm.name!r} in project {self._project}, and deletes it at the end",
            f"reports {1 / self._every:g} events a second to {self._ingest.url}",
        ]

    def start(self) -> None:
        """Create the alarm, then begin.

        :raises InvalidOption: if the alarm cannot be created.
        """
        try:
            answer = self._alarming.request("POST", "/v2/alarms", self._alarm.definition())
        except CallFailed as exc:
            raise InvalidOption("alarming", str(exc), "name an Aodh API that answers") from exc
        created = answer.json() if answer.status == 201 else None
        if not isinstance(created, dict) or "alarm_id" not in created:
            text = answer.body.decode(errors="replace")[:300]
            raise InvalidOption(
                "alarming", f"the alarm was refused with {answer.status}: {text}", "correct it"
            )
        self._look_for_receiver()
        self._alarm_id, self._made = str(created["alarm_id"]), self._context.clock()
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self._thread.start()

    def _look_for_receiver(self) -> None:
        """Show a warning if no receiver answers: every event would count as lost."""
        url = self._alarm.webhook
        try:
            status = Caller(Access(timeout=LOOK)).request("GET", url).status
        except CallFailed as exc:
            self._context.say(f"no receiver answers as this machine sees it: {exc}; add the monitor receiver")
        else:
            if status != RECEIVING:
                self._context.say(f"{url} answers {status}, which is not a receiver; correct webhook")

    def stop(self) -> None:
        """End once the last event is accepted."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(PATIENCE + self._ingest.access.timeout)
            self._thread = None

    def close(self) -> None:
        """Delete the alarm."""
        if not self._alarm_id:
            return
        alarm_id, self._alarm_id = self._alarm_id, ""
        try:
            status = self._alarming.request("DELETE", f"/v2/alarms/{alarm_id}").status
            problem = "" if status in (204, 404) else f"status {status}"
        except CallFailed as exc:
            problem = str(exc)
        if problem:
            self._context.say(f"alarm {alarm_id} was not deleted: {problem}; delete it in Aodh")

    def results(self) -> Mapping[str, float]:
        """Return how many events were reported, and how long the ingest API took at most."""
        return {
            "events reported": float(self._counts["reported"]),
            "requests sent again": float(self._counts["again"]),
            "seconds until an event was accepted, at most": round(self._slowest, 3),
        }

    def problems(self) -> Sequence[str]:
        """Return the events that were never accepted."""
        return self._problems

    def _run(self) -> None:
        due, number = time.monotonic(), 0
        while not self._over.wait(max(0.0, due - time.monotonic())):
            # What could not be reported in time is left out: a burst afterwards would be another load.
            due = max(due + self._every, time.monotonic())
            self._report(number)
            number += 1

    def _report(self, number: int) -> None:
        message_id = str(uuid.UUID(int=self._context.chance.getrandbits(128), version=4))
        at, began = self._context.clock(), time.monotonic()
        alarm, event = self._alarm.records(
            number, self._project, message_id, at, alarm_id=self._alarm_id, made=self._made
        )
        body = self._alarm.report(number, self._project, message_id, at)
        self._context.history.add(alarm)
        while (problem := self._send(body)) and time.monotonic() - began < PATIENCE:
            self._counts["again"] += 1
            time.sleep(RETRY_PAUSE)
        if problem:
            self._problems.append(f"event {message_id} was not accepted for {PATIENCE:g} s: {problem}")
            return
        self._counts["reported"] += 1
        self._slowest = max(self._slowest, time.monotonic() - began)
        self._context.history.add(Publish(at, self._context.clock(), (event,)))

    def _send(self, body: Mapping[str, Any]) -> str:
        try:
            status = self._ingest.request("POST", "/v1/events", body).status
        except CallFailed as exc:
            return str(exc)
        return "" if status == ACCEPTED else f"status {status}"
