"""Dropped packets, by a real iptables in a network namespace of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from eventalarm.trial.existing_cloud.acts import network
from eventalarm.trial.fields import Fields

# Prints whether a port can be reached, before, between and after the scripts.
CODE = """
import socket, subprocess, sys
port, *scripts = sys.argv[1:]
server = socket.create_server(("127.0.0.1", int(port)))
def reached():
    try:
        socket.create_connection(("127.0.0.1", int(port)), 0.3).close()
    except TimeoutError:
        return "no"
    return "yes"
print(reached())
for script in scripts:
    print(subprocess.run(["sh", "-c", script]).returncode, reached())
"""


@pytest.mark.parametrize(
    "options", [{"port": 5672}, {"peer": "127.0.0.1"}, {"port": 5672, "peer": "127.0.0.1"}]
)
def test_packets_are_dropped_until_that_is_undone(options: dict[str, Any]) -> None:
    """Red if the rule does not match, is not removed, or a second undo fails."""
    act = network(Fields(options, "network"))
    scripts = (act.strike, act.undo, act.undo)
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    run = [sys.executable, "-c", CODE, "5672", *scripts]
    done = subprocess.run(
        ["unshare", "-rn", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *run],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"PATH": path},
    )
    if done.returncode and "unshare" in done.stderr:
        pytest.skip(f"this user may not create network namespaces: {done.stderr.strip()}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split("\n") == ["yes", "0 no", "0 yes", "0 yes", ""]
