"""A database whose host vanished silently is noticed in seconds, not in two hours."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest
import sqlalchemy as sa

from eventalarm.database_url import with_driver
from eventalarm.storage import database as storage
from eventalarm.storage.connections import BETWEEN, IDLE, KEEPALIVE_OPTIONS, PROBES, UNACKNOWLEDGED


def options_of(connection: sa.Connection) -> dict[str, int]:
    raw: Any = connection.connection.dbapi_connection
    descriptor = raw.fileno() if hasattr(raw, "fileno") else raw._sock.fileno()
    with socket.socket(fileno=os.dup(descriptor)) as end:
        assert end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        return {name: end.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in KEEPALIVE_OPTIONS}


@pytest.mark.parametrize("name", ["mariadb", "postgresql"])
def test_every_connection_is_probed(name: str, request: pytest.FixtureRequest) -> None:
    """Fails when keepalive is not enabled on the engine."""
    database = storage.connect(with_driver(request.getfixturevalue(f"{name}_url")))
    try:
        with database.begin() as writer, database.read() as reader:
            assert options_of(writer) == options_of(reader) == dict(KEEPALIVE_OPTIONS)
            assert writer.exec_driver_sql("SELECT 1").scalar_one() == 1
    finally:
        database.dispose()


def test_a_silent_peer_is_given_up_in_seconds() -> None:
    assert IDLE + BETWEEN * PROBES < 15
    assert UNACKNOWLEDGED < 15_000
