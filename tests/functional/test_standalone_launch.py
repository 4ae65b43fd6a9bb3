"""Where the unauthenticated API may listen."""

from __future__ import annotations

import socket

import pytest

from eventalarm.exceptions import InvalidOption
from eventalarm.standalone import launch


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.8.9.10"])
def test_loopback_needs_no_consent(host: str) -> None:
    with launch.listen(host, 0, consent=False) as listening:
        assert launch.url(listening).startswith("http://127.")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "8.8.8.8", "169.254.1.1"])
def test_other_addresses_need_consent(host: str) -> None:
    with pytest.raises(InvalidOption, match=r"--host: .*--i-know-there-is-no-authentication"):
        launch.listen(host, 0, consent=False)


def test_with_consent_the_url_is_one_that_works_here() -> None:
    with launch.listen("0.0.0.0", 0, consent=True) as listening:
        assert launch.url(listening) == f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a" * 300])
def test_a_host_without_address_is_reported(host: str) -> None:
    with pytest.raises(InvalidOption, match="--host: "):
        launch.listen(host, 0, consent=False)


def test_an_occupied_port_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidOption, match=f"--port: {port} on 127.0.0.1"):
            launch.listen("127.0.0.1", port, consent=False)
