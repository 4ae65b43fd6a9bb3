"""x"""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.support.netns import OUTSIDE, Network


@pytest.fixture
def network() -> Iterator[Network]:
    one = Network("near", "far")
    yield one
    one.close()


def _received(end: socket.socket) -> bytes | None:
    try:
        return end.recv(10)
    except TimeoutError:
        return None


def test_a_dropped_way_is_silent_and_the_other_stays_open(network: Network) -> None:
    with socket.create_server((network.hosts[OUTSIDE].address, 0)) as server:
        import subprocess
        client = subprocess.Popen([*network.hosts["near"].prefix, "python3", "-c", f"import socket,time,sys\ns=socket.create_connection({server.getsockname()!r})\nwhile d:=s.recv(9): s.sendall(d)"])
        end, peer = server.accept()
        assert peer[0] == network.hosts["near"].address
        end.settimeout(0.3)
        end.sendall(b"a")
        assert _received(end) == b"a"
        network.drop("near", OUTSIDE)
        end.sendall(b"b")
        assert _received(end) is None
        network.heal()
        end.settimeout(9)
        assert _received(end) == b"b"
        client.kill()
        client.wait()
