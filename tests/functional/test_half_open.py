"""Connections whose packets vanish one way or both: half-open TCP, which no end is told about."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.netns import OUTSIDE, Network

ECHO = """
import socket, sys
end = socket.create_connection((sys.argv[1], int(sys.argv[2])))
while data := end.recv(9):
    end.sendall(data)
"""


@pytest.fixture
def network() -> Iterator[Network]:
    one = Network("far")
    yield one
    one.close()


def test_what_is_dropped_is_not_refused(network: Network) -> None:
    """Shows the test's own means: one way is silent, the other open, and TCP goes on afterwards."""
    with socket.create_server((network.hosts[OUTSIDE].address, 0)) as server:
        address, port = server.getsockname()
        command = [*network.hosts["far"].prefix, sys.executable, "-c", ECHO, address, str(port)]
        with subprocess.Popen(command) as far, server.accept()[0] as end:
            end.settimeout(30)
            end.sendall(b"1")
            assert end.recv(9) == b"1"
            with network.dropping(("far", OUTSIDE)):
                end.sendall(b"2")
                end.settimeout(0.3)
                with pytest.raises(TimeoutError):
                    end.recv(9)
            end.settimeout(30)
            assert end.recv(9) == b"2"
            end.close()
            assert far.wait(30) == 0
