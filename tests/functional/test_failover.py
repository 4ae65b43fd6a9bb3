"""Failover by address: the old server stays up, read-only, and so do our connections to it (G1, G2)."""

from __future__ import annotations

import pathlib
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from tests.support.cloud import Cloud, Spawn, make_event
from tests.support.databases import Databases, MariadbDatabases, PostgresqlDatabases
from tests.support.helpers import WebhookSink, wait_until
from tests.support.relay import Relay
from tests.support.replicas import MariadbPair, Pair, PostgresqlPair

EACH = 10
PAIRS: dict[str, type[Pair]] = {"mariadb": MariadbPair, "postgresql": PostgresqlPair}


@pytest.fixture(params=sorted(PAIRS))
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A primary and its replica, for this test alone: a failover cannot be undone."""
    try:
        running = PAIRS[request.param](tmp_path_factory.mktemp("pair"))
    except RuntimeError as exc:
        pytest.fail(str(exc), pytrace=False)
    yield running
    running.stop()


def new_database(pair: Pair, directory: pathlib.Path) -> str:
    """Return the name of a database with Aodh's tables and ours, on both servers."""
    made_by: Callable[..., Databases] = (
        MariadbDatabases if isinstance(pair, MariadbPair) else PostgresqlDatabases
    )
    return made_by(pair.url, directory).with_ours().rpartition("/")[2]


def test_a_listener_leaves_a_server_that_became_read_only(
    pair: Pair,
    rabbit_url: str,
    spawn: Spawn,
    tmp_path: pathlib.Path,
    webhook_sink: WebhookSink,
    figure: Callable[[str], None],
) -> None:
    """The address leads to the promoted replica; the old server keeps answering pings and reads.

    Before the fix nothing fired within a minute, and an alarm of the new server did not fire
    while reads went to the old one.
    """
    name = new_database(pair, tmp_path)
    relay = Relay(pair.info["ports"]["a"])
    through = sa.make_url(pair.url(name)).set(port=relay.port).render_as_string(hide_password=False)
    clouds = []
    for place, url in (("through", through), ("a", pair.url(name)), ("b", pair.url(name, "b"))):
        (tmp_path / place).mkdir()
        clouds.append(Cloud(spawn, tmp_path / place, url, rabbit_url))
    through_relay, old, new = clouds
    try:
        ids = {
            f"vm-{n}": old.create_alarm([webhook_sink.url(f"/vm-{n}")], instance=f"vm-{n}")
            for n in range(3 * EACH)
        }
        names = list(ids)
        listener = through_relay.start_listener()
        through_relay.publish(*(make_event(one) for one in names[:EACH]))
        webhook_sink.wait(EACH)
        old.settle()

        pair.fence()
        old.database.dispose()
        through_relay.publish(*(make_event(one) for one in names[EACH : 2 * EACH]))
        listener.wait_for_log("(?i)read.only")
        fired = "SELECT count(*) AS n FROM eventalarm_transition"
        pair.promote()
        assert new.rows(fired)[0]["n"] == EACH
        relay.target = pair.info["ports"]["b"]
        at = time.monotonic()
        wait_until(lambda: new.rows(fired)[0]["n"] > EACH, 60, "the first event on the new server")
        first = time.monotonic() - at
        # Readers have switched too: an alarm that only the new server has fires (G3).
        ids["late"] = new.create_alarm([webhook_sink.url("/late")], instance="late")
        names = list(ids)
        through_relay.publish(*(make_event(one) for one in names[2 * EACH :]))
        webhook_sink.wait(len(names))
        new.settle()
        # Nothing is lost or duplicated.
        assert Counter(request.path for request in webhook_sink.requests) == {f"/{one}": 1 for one in names}
        for alarm in ids.values():
            assert [t["kind"] for t in new.transitions(alarm)] == ["raised"]
        figure(
            f"failover on {new.database.dialect}: the first event fired {first:.1f} s after the address moved"
        )
    finally:
        relay.close()
        for cloud in clouds:
            cloud.close()
