"""What a Galera node says about itself and its cluster. Independent of eventalarm's own database."""

from __future__ import annotations

import contextlib
import math
from typing import Final

import sqlalchemy as sa

from eventalarm.exceptions import EventAlarmError, Retryable

_STATUS: Final = (
    "wsrep_cluster_size",
    "wsrep_cluster_status",
    "wsrep_connected",
    "wsrep_flow_control_paused",
    "wsrep_local_recv_queue_avg",
    "wsrep_local_state_comment",
    "wsrep_ready",
)
_QUERY: Final = f"SHOW GLOBAL STATUS WHERE Variable_name IN ({', '.join(map(repr, _STATUS))})"


class UnusableUrl(EventAlarmError):
    """A URL that cannot be that of a Galera node; the text does not contain its password."""


def node_name(url: str) -> str:
    """Return ``HOST:PORT`` of the database URL of a node.

    :raises UnusableUrl: when it is not a URL of MySQL or MariaDB.
    """
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise UnusableUrl("not a URL") from None
    if parsed.get_backend_name() not in ("mysql", "mariadb") or not parsed.host:
        raise UnusableUrl(f"{parsed.render_as_string(hide_password=True)} is not a URL of MySQL with a host")
    host = f"[{parsed.host}]" if ":" in parsed.host else parsed.host
    return f"{host}:{parsed.port or 3306}"


def wsrep_status(url: str, timeout: float) -> dict[str, str]:
    """Return the status variables of a node by name, over a connection of its own; none without Galera.

    :param timeout: seconds that the connection, and then the answer, may take; rounded up.
    :raises Retryable: when the server does not answer or refuses the user.
    :raises UnusableUrl: when the driver of the URL is not installed.
    """
    seconds = math.ceil(timeout)
    limits = {"connect_timeout": seconds, "read_timeout": seconds, "write_timeout": seconds}
    parsed = sa.make_url(url)
    try:
        dialect = parsed.get_dialect()()
        driver = dialect.import_dbapi()
        arguments, named = dialect.create_connect_args(parsed)
    except (sa.exc.ArgumentError, ImportError) as exc:
        raise UnusableUrl(f"{node_name(url)}: its driver cannot be used: {exc}") from None
    try:
        # Not by an engine, which asks a server for its settings first: a node outside of the primary
        # component refuses every query but SHOW.
        with contextlib.closing(driver.connect(*arguments, **{**named, **limits})) as connection:
            cursor = connection.cursor()
            cursor.execute(_QUERY)
            return {str(name): str(value) for name, value in cursor.fetchall()}
    except (driver.Error, OSError) as exc:
        raise Retryable(str(exc)) from exc
