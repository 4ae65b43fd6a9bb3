"""The demo: a recorded Nova fault causes a webhook and is cleared again; every step is verified."""

from __future__ import annotations

import contextlib
import json
import pathlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from eventalarm.exceptions import EventAlarmError
from eventalarm.model import ALARM, FINISHED, OK, UNKNOWN, JSONDict, parse_time
from eventalarm.profile.picture import Style, one_profile
from eventalarm.profile.summary import AlarmProfile
from eventalarm.standalone import datadir, launch, sample, tenant
from eventalarm.standalone.console import Screen
from eventalarm.standalone.consumer import Consumer, Hook
from eventalarm.standalone.datadir import DataDir
from eventalarm.standalone.timeline import Result
from eventalarm.storage.database import connect
from eventalarm.storage.delivery_selection import Selection
from eventalarm.storage.profiles import ProfileStore
from eventalarm.trace import Timeline, Trace

MORE: Final = 10
PAUSE: Final = 0.1
ALARM_COLUMNS: Final = ("name", "query", "state", "state_timestamp", "state_reason")
HISTORY_COLUMNS: Final = ("timestamp", "type", "detail")


class StepFailed(EventAlarmError):
    """A step of the demo failed; the message names the step, the reason and the log."""


class Demo:
    """The steps in order; each raises :class:`StepFailed` when its result is not the expected one.

    :param patience: seconds to wait for each webhook.
    :param on_webhook: called with each webhook that the consumer receives.
    """

    def __init__(
        self,
        screen: Screen,
        *,
        prog: str,
        patience: float,
        on_webhook: Callable[[Hook], None] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._screen = screen
        self._prog = prog
        self._patience = patience
        self._on_webhook = on_webhook
        self._sleep = sleep
        self._trace = Trace()
        self._running = contextlib.ExitStack()
        self._data: DataDir | None = None
        self._temporary: pathlib.Path | None = None
        self._consumer: Consumer
        self._aodh: Any = None
        self._alarm_id = ""
        self._webhooks = 0
        self.endpoint = ""

    def run(self, data_dir: str | None) -> Result:
        """Run all steps on *data_dir* (None: a temporary one) and return the measurements."""
        start = self._start(data_dir)
        self._create_alarm()
        self._another_server_fails()
        fault = self._server_fails()
        self._show_alarm()
        recovery = self._server_recovers()
        result = Result(self._alarm_id, start, fault, recovery, self._repeat())
        note = f"median {result.median:.1f} ms, slowest {result.slowest:.1f} ms"
        self._screen.done(f"Repeated {MORE} times: {len(result.more)} webhooks answered", note)
        self._show_history()
        self._screen.timeline(
            "From Nova's notification to the consumer's answer, median of these faults", result.typical
        )
        self._show_profile()
        return result

    def next_steps(self) -> str:
        """Return commands to try while the demo keeps running."""
        if self._data is None:
            raise RuntimeError("the demo was not started")
        commands = (
            sample.as_tenant(self.endpoint),
            sample.send_as_nova(self.endpoint, self._data),
            sample.see_alarms(self.endpoint),
            sample.try_a_rule(self._data),
        )
        return "\n".join((*commands, sample.paths(self._data)))

    def stop(self, *, keep_data: bool = False) -> None:
        """Stop everything; a temporary directory is removed unless *keep_data*."""
        self._running.close()
        if self._temporary is not None and not keep_data:
            shutil.rmtree(self._temporary, ignore_errors=True)

    # -- steps ------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _step(self, name: str, doing: str) -> Iterator[None]:
        try:
            with self._screen.doing(doing):
                yield
        except (Exception, SystemExit) as exc:
            reason = " ".join(str(exc).split()) or type(exc).__name__
            log = f"; the log is {self._data.log}" if self._data and self._data.log.exists() else ""
            raise StepFailed(f"step {name!r} failed: {reason}{log}") from exc

    def _start(self, data_dir: str | None) -> float:
        started = time.monotonic()
        with self._step("start", "Starting; Ceilometer takes a while to read its event definitions ..."):
            if data_dir is None:
                self._temporary = pathlib.Path(tempfile.mkdtemp(prefix="eventalarm-demo-"))
            self._data = self._running.enter_context(datadir.claim(data_dir or str(self._temporary)))
            listening = launch.listen("127.0.0.1", 0, consent=False)
            standalone = launch.standalone(self._data, listening, prog=self._prog, trace=self._trace)
            standalone.start()
            self._running.callback(standalone.stop)
            self.endpoint = standalone.endpoint
            self._consumer = Consumer(self._on_webhook)
            self._running.callback(self._consumer.close)
        seconds = time.monotonic() - started
        self._screen.done(
            "Aodh's API, Ceilometer's event pipeline, a bus and eventalarm are running", f"{seconds:.1f} s"
        )
        return seconds

    def _create_alarm(self) -> None:
        with self._step("create the alarm", "Creating an alarm ..."):
            self._aodh = tenant.connect(self.endpoint)
            made = self._aodh.alarm.create(tenant.alarm_on_failure(self._consumer.url))
            _expect("the new alarm's state", made["state"], UNKNOWN)
            self._alarm_id = str(made["alarm_id"])
        self._screen.done("A tenant creates an alarm with aodhclient: server in error")

    def _another_server_fails(self) -> None:
        with self._step("another server fails", "Nova reports that another server failed ..."):
            self._notify(sample.another_fault())
        # The bus keeps the order: a webhook for this one would have arrived when the next step counts them.
        self._screen.done("Nova reports that another server failed: no webhook")

    def _server_fails(self) -> Timeline:
        with self._step("the server fails", "Nova reports that the server failed ..."):
            before = self._trace.now()
            timeline = self._notify_and_wait(sample.fault(), UNKNOWN, ALARM)
            if self._data is not None:
                self._data.webhook.write_text(json.dumps(self._consumer.wait(1, self._patience)[0]) + "\n")
            alarm = self._aodh.alarm.get(self._alarm_id)
            _expect("the alarm's state", alarm["state"], ALARM)
            fresh = before <= parse_time(alarm["state_timestamp"]) <= self._trace.now()
            _expect("the freshness of the alarm's state_timestamp", fresh, True)
        self._screen.done("Nova reports that the server failed: alarm, webhook answered", _after(timeline))
        return timeline

    def _server_recovers(self) -> Timeline:
        with self._step("the server recovers", "Nova reports that the server is active again ..."):
            timeline = self._notify_and_wait(sample.recovery(), ALARM, OK)
            _expect("the alarm's state", self._aodh.alarm.get(self._alarm_id)["state"], OK)
        self._screen.done(
            "Nova reports that the server is active again: ok, webhook answered", _after(timeline)
        )
        return timeline

    def _repeat(self) -> list[Timeline]:
        more: list[Timeline] = []
        with self._step("repeat", "Repeating ..."):
            for _ in range(MORE):
                for notification, previous, current in (
                    (sample.fault(), OK, ALARM),
                    (sample.recovery(), ALARM, OK),
                ):
                    # Webhooks of one alarm are sent one after the other; none should have to wait here.
                    self._sleep(PAUSE)
                    more.append(self._notify_and_wait(notification, previous, current))
        return more

    def _show_alarm(self) -> None:
        with self._step("show the alarm", "Querying Aodh ..."):
            shown = self._printed("alarm show", ALARM_COLUMNS)
        self._screen.command(*shown)

    def _show_history(self) -> None:
        with self._step("show the history", "Querying Aodh ..."):
            history = self._aodh.alarm_history.get(self._alarm_id)
            states = [
                json.loads(one["detail"])["state"] for one in history if one["type"] == "state transition"
            ]
            _expect("the states in the history", states, [OK, ALARM] * (MORE + 1))
            shown = self._printed("alarm-history show", HISTORY_COLUMNS, "--limit", "4")
        self._screen.command(*shown)

    def _show_profile(self) -> None:
        """Print the profile of the last fault, which precedes a recovery, as its command shows it."""
        with self._step("show the profile", "Reading the profile ..."):
            fault = self._profile_of_fault()
            shown = one_profile(fault, Style(fine=self._screen.fancy))
        options = f"--config-file {self._data.aodh_conf if self._data else ''}"
        self._screen.command(
            f"eventalarm-profile {options} \\\n      --delivery {fault.names['delivery_id']}", shown
        )

    def _profile_of_fault(self) -> AlarmProfile:
        """Return the newest profile but one, once the answers to both deliveries are recorded."""
        if self._data is None:
            raise RuntimeError("the demo was not started")
        database = connect(f"sqlite:///{self._data.database}")
        until = time.monotonic() + self._patience
        try:
            while True:
                wanted = Selection(alarm_id=self._alarm_id, profiled=True)
                found = ProfileStore(database).newest(wanted, 2)
                if len(found) == 2 and all(one.names["state"] in FINISHED for one in found):
                    return found[1]
                if time.monotonic() > until:
                    raise EventAlarmError(f"no profile within {self._patience:g} seconds")
                self._sleep(PAUSE)
        finally:
            database.dispose()

    # -- helpers ----------------------------------------------------------------------------------------

    def _notify(self, notification: JSONDict) -> str:
        """Post *notification* as generated now; return its message id."""
        at = self._trace.now()
        sent = sample.sent_now(notification, at)
        message_id = str(sent["message_id"])
        self._trace.generated(message_id, at)
        tenant.post(self.endpoint, sent)
        return message_id

    def _notify_and_wait(self, notification: JSONDict, previous: str, current: str) -> Timeline:
        """Post *notification* and return its timeline, once exactly the expected webhook has arrived."""
        message_id = self._notify(notification)
        self._webhooks += 1
        hooks = self._consumer.wait(self._webhooks, self._patience)
        timeline = self._trace.wait(message_id, self._patience)
        _expect("the number of webhooks", len(hooks), self._webhooks)
        hook = hooks[-1]
        _expect("the webhook's alarm", hook["alarm_id"], self._alarm_id)
        _expect("the webhook's states", (hook["previous"], hook["current"]), (previous, current))
        _expect("the webhook's event", hook["reason_data"]["event"]["message_id"], message_id)
        return timeline

    def _printed(self, command: str, columns: tuple[str, ...], *more: str) -> tuple[str, str]:
        """Return a command line that fits on the screen, and its output."""
        chosen = [word for name in columns for word in ("-c", name)]
        arguments = [self._alarm_id, *more, *chosen]
        width = self._screen.width
        lines = [line[:width] for line in tenant.printed(self._aodh, command, arguments).splitlines()]
        shown = [f"openstack {command} {' '.join([self._alarm_id, *more])} \\"]
        shown.append(f"      {' '.join(chosen)} | cut -c-{width}")
        return "\n".join(shown), "\n".join(lines)


def _after(timeline: Timeline) -> str:
    return f"{timeline.total:.1f} ms"


def _expect(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise EventAlarmError(f"expected {what} to be {wanted!r}, found {found!r}")
