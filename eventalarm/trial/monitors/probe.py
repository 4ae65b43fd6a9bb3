"""The base of monitors that ask once in an interval, and those that ask by HTTP or run a program."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from eventalarm.trial.calls import Caller, CallFailed, access_of, http_url
from eventalarm.trial.fields import Fields
from eventalarm.trial.plugins import Context, Options, Sample

INTERVAL: Final = 1.0
# What a nagging failure looks like in the report.
MOST_DETAIL: Final = 200
# A cheap authenticated request to each service; the path follows the version that openstacksdk finds.
PATHS: Final[Mapping[str, str]] = {
    "compute": "/servers?limit=1",
    "network": "/networks?limit=1&fields=id",
    "identity": "/auth/catalog",
    "image": "/images?limit=1",
    "block-storage": "/volumes?limit=1",
    "alarm": "/v2/alarms?limit=1",
}
SERVER_ERROR: Final = 500


class Probe:
    """Asks once in *interval* seconds; *ask* returns what is wrong, or nothing."""

    def __init__(
        self, clock: Callable[[], float], interval: float, what: str, ask: Callable[[], str]
    ) -> None:
        self.interval: float | None = interval
        self._clock = clock
        self._what = what
        self._ask = ask

    def plan(self) -> Sequence[str]:
        """Return what is asked."""
        return [f"every {self.interval:g} s: {self._what}"]

    def start(self) -> None:
        """Get ready."""

    def sample(self) -> Sample:
        """Ask once."""
        at, began = self._clock(), time.monotonic()
        problem = self._ask()
        return Sample(at, time.monotonic() - began, not problem, problem[:MOST_DETAIL])

    def stop(self) -> None:
        """Release everything."""


class CallingProbe(Probe):
    """A probe by HTTP, which reads its credentials before the trial begins."""

    def __init__(
        self, context: Context, interval: float, what: str, ask: Callable[[], str], caller: Caller
    ) -> None:
        super().__init__(context.clock, interval, what, ask)
        self._caller = caller

    def start(self) -> None:
        """Read the credentials.

        :raises InvalidOption: if openstacksdk is missing, or does not know the cloud.
        """
        self._caller.connect()


def interval_of(fields: Fields) -> float:
    """Read ``interval``."""
    found = fields.number("interval", INTERVAL, 0.05, 3600)
    return INTERVAL if found is None else found


def http(context: Context, options: Options) -> CallingProbe:
    """Return a monitor of one URL: ``url``, ``status`` (any below 400), ``interval``, ``timeout``."""
    fields = Fields(options, context.name)
    url, wanted = http_url(fields), fields.number("status", None, 100, 599)
    access, interval = access_of(fields), interval_of(fields)
    fields.done()
    caller = Caller(access)

    def ask() -> str:
        try:
            status = caller.request("GET", url).status
        except CallFailed as exc:
            return str(exc)
        is_right = status == wanted if wanted is not None else status < 400
        return "" if is_right else f"status {status}"

    return CallingProbe(context, interval, f"GET {url}", ask, caller)


def openstack(context: Context, options: Options) -> CallingProbe:
    """Return a monitor of one service of the catalogue: ``cloud``, ``service``, ``path``, ``interval``.

    An answer of 500 or more, or none, is a failure.
    """
    fields = Fields(options, context.name)
    service = fields.text("service")
    if service not in PATHS and fields.value("path", None) is None:
        raise fields.wrong("path", f"is missing, and {service!r} has none by default", "add it")
    path = fields.text("path", PATHS.get(service, ""))
    fields.text("cloud")
    access, interval = access_of(fields), interval_of(fields)
    fields.done()
    caller = Caller(access)

    def ask() -> str:
        try:
            status = caller.request("GET", path, service=service).status
        except CallFailed as exc:
            return str(exc)
        return f"status {status}" if status >= SERVER_ERROR else ""

    return CallingProbe(context, interval, f"GET {path} of {service} in cloud {access.cloud}", ask, caller)


def command(context: Context, options: Options) -> Probe:
    """Return a monitor that runs a program of this machine: ``command``, ``interval``, ``timeout``."""
    fields = Fields(options, context.name)
    words, interval = list(fields.texts("command")), interval_of(fields)
    timeout = access_of(fields).timeout
    fields.done()
    if not words:
        raise fields.wrong("command", "is empty", "name a program and its arguments")

    def ask() -> str:
        try:
            done = subprocess.run(  # noqa: S603 - what the scenario names
                words, capture_output=True, text=True, errors="replace", timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired:
            return f"not finished within {timeout:g} s"
        except OSError as exc:
            return f"{words[0]}: {exc.strerror}"
        if not done.returncode:
            return ""
        return f"exit code {done.returncode}: {' '.join((done.stdout + done.stderr).split())}"

    return Probe(context.clock, interval, " ".join(words), ask)
