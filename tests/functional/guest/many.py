"""``tox -e guests``: what 200 guests cost, of which some hang, are killed, slow, or answer nonsense.

Real ``qemu-ga`` on unix sockets, and the monitor with its default settings. Prints the processor time of the
monitor, and exits with 1 if a guest is reported that is well, or one is not that is not.
"""

from __future__ import annotations

import argparse
import contextlib
import pathlib
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence

from eventalarm.trial.own_cloud.programs.processes import Programs
from tests.support.guests import Agents, flood, nonsense, processor_seconds, slow_proxy, stand_in
from tests.support.helpers import WebhookSink, console_script, wait_until, write_config

DEFAULT_INTERVAL = 30.0


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and compare; return the exit code."""
    parser = argparse.ArgumentParser(prog="tox -e guests --", description=__doc__)
    parser.add_argument("--guests", type=int, default=200, help="number of guests (default: 200)")
    parser.add_argument("--seconds", type=float, default=90.0, help="how long to measure (default: 90)")
    chosen = parser.parse_args(argv)
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="guests")))
        return measure(stack, folder, chosen.guests, chosen.seconds)


def measure(stack: contextlib.ExitStack, folder: pathlib.Path, number: int, seconds: float) -> int:
    """Return the exit code for *number* guests."""
    agents, sink, spawn = Agents(folder), WebhookSink(), Programs(folder)
    for end in (sink.close, agents.close, spawn.close):
        stack.callback(end)
    names = [f"vm-{one}" for one in range(number)]
    for name in names:
        agents.define(name, f"of-{name}", heartbeat="true")
    agents.start(*names)
    sink.behave("/v1/events", statuses=[202], body=b"{}")
    options = {
        "uri": agents.uri,
        "auth_mode": "noauth",
        "endpoint": sink.url().rstrip("/"),
        "spool_directory": folder / "spool",
    }
    conf = write_config(folder / "guest.conf", {"eventalarm_guest": options})
    monitor = spawn([console_script("eventalarm-guest-monitor"), "--config-file", conf])
    monitor.wait_for_log("Watching")
    states = folder / "spool/guests.json"
    wait_until(
        lambda: states.exists() and states.read_text().count('"answered":true') == number, 90, "answers"
    )
    print(f"{number} guests that are well: {share(monitor.pid, seconds):.2f} % of a core")
    failing = fail(stack, agents, names)
    wait_until(lambda: len(lost(sink)) >= len(failing), 3 * DEFAULT_INTERVAL, "reports")
    print(f"{len(failing)} of them fail: {share(monitor.pid, seconds):.2f} % of a core")
    expected = Counter({f"of-{name}": 1 for name in failing})
    print(f"reported: {len(lost(sink))}, as expected: {lost(sink) == expected}")
    return 0 if lost(sink) == expected else 1


def fail(stack: contextlib.ExitStack, agents: Agents, names: list[str]) -> list[str]:
    """Let a tenth of the guests hang, be killed or answer nonsense; return them. One more becomes slow."""
    tenth = max(4, len(names) // 10)
    hung, killed, wild = names[: tenth // 2], names[tenth // 2 : tenth - 2], names[tenth - 2 : tenth]
    for name in hung:
        agents.freeze(name)
    for name in (*killed, *wild):
        agents.kill(name)
        pathlib.Path(agents.socket_of(name)).unlink()
    for name, answer in zip(wild, (nonsense, flood), strict=True):
        stack.enter_context(stand_in(agents.socket_of(name), answer))
    slow = agents.socket_of(names[tenth])
    behind = pathlib.Path(slow).rename(f"{slow}.behind")
    stack.enter_context(stand_in(slow, slow_proxy(str(behind), 0.2)))
    return [*hung, *killed, *wild]


def lost(sink: WebhookSink) -> Counter[str]:
    """Return how often each project was sent that a guest is lost."""
    events = [event for request in sink.at("/v1/events") for event in request.json["events"]]
    traits = [
        {name: value for name, _, value in event["traits"]}
        for event in events
        if event["event_type"] == "guest.heartbeat.lost"
    ]
    return Counter(one["project_id"] for one in traits)


def share(pid: int, seconds: float) -> float:
    """Return the share of a core that a process uses, in percent."""
    used, began = processor_seconds(pid), time.monotonic()
    # What is measured is a time.
    time.sleep(seconds)
    return 100 * (processor_seconds(pid) - used) / (time.monotonic() - began)


if __name__ == "__main__":
    sys.exit(main())
