"""A listener on another host, whose packets vanish without an answer: half-open TCP.

The long form, with every part and both ways, is ``tox -e disrupt -- half-open``.
"""

from __future__ import annotations

import contextlib
import pathlib
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from tests.support.cloud import Cloud, Spawn, make_event
from tests.support.helpers import write_config
from tests.support.netns import OUTSIDE, Network
from tests.support.relay import Relay

ECHO = """
import socket, sys
end = socket.create_connection((sys.argv[1], int(sys.argv[2])))
while data := end.recv(9):
    end.sendall(data)
"""
# Each listener takes at least one event of so many.
EVENTS = 12


@pytest.fixture
def network() -> Iterator[Network]:
    try:
        one = Network("far")
    except RuntimeError as exc:
        pytest.skip(str(exc))
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
            network.drop("far", OUTSIDE, to_port=port)
            end.sendall(b"2")
            end.settimeout(0.3)
            with pytest.raises(TimeoutError):
                end.recv(9)
            network.heal()
            end.settimeout(30)
            assert end.recv(9) == b"2"
            end.close()
            assert far.wait(30) == 0


class TwoHosts:
    """A listener on the far host and one here; ``relays`` lead from there to the broker and the database."""

    def __init__(self, network: Network, cloud: Cloud, folder: pathlib.Path, transport_url: str) -> None:
        self.network = network
        self.cloud = cloud
        here = network.hosts[OUTSIDE].address
        urls = {"broker": sa.make_url(transport_url), "database": sa.make_url(cloud.database_url)}
        self.relays = {part: Relay(url.port or 0, here) for part, url in urls.items()}
        through = {
            part: url.set(host=here, port=self.relays[part].port).render_as_string(hide_password=False)
            for part, url in urls.items()
        }
        sections = {
            "DEFAULT": {"transport_url": through["broker"]},
            "database": {"connection": through["database"]},
        }
        self._far_conf = write_config(folder / "far.conf", sections)

    def start(self) -> None:
        """Start both listeners."""
        prefix = self.network.hosts["far"].prefix
        self.far = self.cloud.start_listener("--config-file", str(self._far_conf), prefix=prefix)
        self.near = self.cloud.start_listener()

    def cut(self, part: str) -> None:
        """Drop everything between the far listener and a part, both ways."""
        port = self.relays[part].port
        self.network.drop("far", OUTSIDE, to_port=port)
        self.network.drop(OUTSIDE, "far", from_port=port)

    def fire_while_cut(self, part: str) -> list[list[str]]:
        """Cut, wait until the other listener has fired all alarms, and return the transitions of each."""
        alarms = [self.cloud.create_alarm(instance=f"vm-{n}") for n in range(EVENTS)]
        self.cut(part)
        for number in range(EVENTS):
            self.cloud.publish(make_event(f"vm-{number}"))
        for alarm in alarms:
            self.cloud.wait_for_state(alarm, "alarm", 90)
        self.network.heal()
        alarms.append(self.cloud.create_alarm(instance="later"))
        self.cloud.publish(make_event("later"))
        self.cloud.wait_for_state(alarms[-1], "alarm")
        return [[one["kind"] for one in self.cloud.transitions(alarm)] for alarm in alarms]


@pytest.fixture
def hosts(
    network: Network, spawn: Spawn, tmp_path: pathlib.Path, our_mariadb_url: str, rabbit_url: str
) -> Iterator[TwoHosts]:
    url = f"{rabbit_url}?heartbeat_timeout_threshold=2&rabbit_quorum_queue=true"
    options = {"hold_batch": 0.0, "idle_transaction_timeout": 2.0}
    with contextlib.closing(Cloud(spawn, tmp_path, our_mariadb_url, url, eventalarm=options)) as cloud:
        one = TwoHosts(network, cloud, tmp_path, url)
        one.start()
        yield one
        for relay in one.relays.values():
            relay.close()


def test_the_events_of_a_listener_without_the_broker_are_taken_over(hosts: TwoHosts) -> None:
    """Fails without heartbeats: the broker keeps for it what it has not acknowledged."""
    assert hosts.fire_while_cut("broker") == [["raised"]] * (EVENTS + 1)


def test_the_events_of_a_listener_without_the_database_are_taken_over(hosts: TwoHosts) -> None:
    """Fails unless the kernel gives up unacknowledged data: the listener waits for an answer."""
    assert hosts.fire_while_cut("database") == [["raised"]] * (EVENTS + 1)
    returned = hosts.far.wait_for_log("go back to the broker")
    assert returned, "the listener without the database had messages, and returned them"
