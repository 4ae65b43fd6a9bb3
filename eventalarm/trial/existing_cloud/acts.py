"""What a disruption does on a host, and what undoes it, as shell scripts. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from eventalarm.trial.fields import Fields

ENGINES: Final = ("podman", "docker")
MARK: Final = "eventalarm-trial"
# Seconds after which a host undoes the disruption of its network itself, beyond the time of the disruption.
SELF_HEAL: Final = 60


@dataclass(frozen=True)
class Act:
    """Shell scripts: *strike* breaks it, *undo* repairs it, *ready* succeeds once it works again.

    *undo* may be made repeatedly. With *reboots* the host itself goes away and comes back. With *cuts* the
    undo may not reach the host, which therefore undoes it by itself after a while.
    """

    strike: str
    undo: str
    ready: str = ""
    ends_process: bool = True
    reboots: bool = False
    cuts: bool = False


def container(fields: Fields) -> Act:
    """Kill, stop or pause a container."""
    action = fields.text("action", "kill", choices=("kill", "stop", "pause"))
    engine = fields.text("engine", "podman", choices=ENGINES)
    name = shlex.quote(fields.text("container"))
    undo = "unpause" if action == "pause" else "start"
    state = "'{{.State.Status}}'"
    return Act(
        f"{engine} {action} {name}",
        f"{engine} {undo} {name}",
        f'test "$({engine} inspect --format {state} {name})" = running',
    )


def service(fields: Fields) -> Act:
    """Kill, stop or freeze a unit of systemd."""
    action = fields.text("action", "kill", choices=("kill", "stop", "freeze"))
    unit = shlex.quote(fields.text("unit"))
    strike = f"systemctl kill --signal=SIGKILL {unit}" if action == "kill" else f"systemctl {action} {unit}"
    undo = f"systemctl thaw {unit}" if action == "freeze" else f"systemctl start {unit}"
    return Act(strike, undo, f"systemctl is-active --quiet {unit}")


def process(fields: Fields) -> Act:
    """Kill or pause the process whose id is in a file, or its whole process group."""
    action = fields.text("action", "kill", choices=("kill", "pause"))
    group = "-- -" if fields.flag("group") else ""
    pid = f"{group}$(cat {shlex.quote(fields.text('pid_file'))})"
    ready = fields.text("ready", "")
    if action == "pause":
        return Act(f"kill -s STOP {pid}", f"kill -s CONT {pid}", ready)
    return Act(f"kill -s KILL {pid}", fields.text("start"), ready)


def command(fields: Fields) -> Act:
    """Run any script, and its undo."""
    strike, undo = fields.text("strike"), fields.text("undo")
    return Act(strike, undo, fields.text("ready", ""), fields.flag("ends_process", True))


def reboot(fields: Fields) -> Act:
    """Reboot the host, in order or at once."""
    action = fields.text("action", "orderly", choices=("orderly", "at-once"))
    # What breaks the connection follows a moment later, so that the script itself succeeds.
    now = "systemctl reboot" if action == "orderly" else "echo b > /proc/sysrq-trigger"
    return Act(f"(sleep 1; {now}) >/dev/null 2>&1 </dev/null &", "", "true", reboots=True)


def network(fields: Fields) -> Act:
    """Drop the packets of a port or a peer by iptables, or delay and lose packets of a device by tc."""
    action = fields.text("action", "drop", choices=("drop", "delay"))
    return _delay(fields) if action == "delay" else _drop(fields)


def _drop(fields: Fields) -> Act:
    port, peer = fields.number("port", None, 1, 65535), fields.text("peer", "")
    protocol = fields.text("protocol", "tcp", choices=("tcp", "udp"))
    if port is None and not peer:
        raise fields.wrong("port", "neither port nor peer is given", "say which packets are dropped")
    if port == 22:
        raise fields.wrong("port", "22 is how the trial itself reaches the host", "name another")
    ports = "" if port is None else f" -p {protocol} --dport {port:g}"
    mark = f" -m comment --comment {MARK} -j DROP"
    rules = [
        f"{chain}{f' {flag} {shlex.quote(peer)}' if peer else ''}{ports}{mark}"
        for chain, flag in (("INPUT", "-s"), ("OUTPUT", "-d"))
    ]
    strike = " && ".join(f"iptables -w -I {rule}" for rule in rules)
    gone = [f"if iptables -w -C {rule} 2>/dev/null; then iptables -w -D {rule}; fi" for rule in rules]
    return Act(strike, " && ".join(gone), ends_process=False, cuts=True)


def _delay(fields: Fields) -> Act:
    device = shlex.quote(fields.text("device"))
    delay = fields.number("milliseconds", 100.0, 0, 60_000)
    loss = fields.number("loss_percent", 0.0, 0, 100)
    lost = f" loss {loss:g}%" if loss else ""
    undo = f"if tc qdisc show dev {device} | grep -q netem; then tc qdisc del dev {device} root netem; fi"
    strike = f"tc qdisc add dev {device} root netem delay {delay:g}ms{lost}"
    return Act(strike, undo, ends_process=False, cuts=True)


def self_healing(act: Act, seconds: float, token: str) -> Act:
    """Return *act* such that the host undoes it by itself, if nobody does, a minute after *seconds*.

    *token* names this strike; the process that waits is ended by the undo.
    """
    waits = f"/tmp/{MARK}-{token}.pid"  # noqa: S108 - on the host that is disrupted; the name is random
    later = shlex.quote(f"sleep {seconds + SELF_HEAL:g}; {act.undo}; rm -f {waits}")
    return Act(
        f"{act.strike} && {{ setsid sh -c {later} </dev/null >/dev/null 2>&1 & echo $! > {waits}; }}",
        f"{act.undo} && {{ if test -f {waits}; then kill -- -$(cat {waits}); rm -f {waits}; fi; }}",
        act.ready,
        act.ends_process,
        act.reboots,
        act.cuts,
    )


ACTS: Final[Mapping[str, Callable[[Fields], Act]]] = {
    "container": container,
    "service": service,
    "process": process,
    "command": command,
    "reboot": reboot,
    "network": network,
}
