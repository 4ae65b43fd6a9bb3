"""Pipelines on real servers and with each driver: trips, values, errors."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Iterator
from concurrent import futures

import pytest
import sqlalchemy as sa
from oslo_db import exception as db_exception
from sqlalchemy.dialects import mysql

from eventalarm.database_url import with_driver
from eventalarm.exceptions import Conflict, Retryable
from eventalarm.storage.database import Database, connect
from eventalarm.storage.outbox import Outbox
from eventalarm.storage.tables import delivery, metadata
from tests.support.deliveries import make_delivery
from tests.support.relay import TripCounter

DRIVERS = [("mariadb", "mysql+pymysql"), ("postgresql", "postgresql+psycopg")]
# Optional, since it is compiled where it is installed.
DRIVERS += [("mariadb", "mysql+mysqldb")] if importlib.util.find_spec("MySQLdb") else []
NOTE = sa.Table(
    "note",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("text", sa.Text().with_variant(mysql.LONGTEXT(charset="utf8mb4"), "mysql", "mariadb")),
)
HOSTILE = (
    "'; DROP TABLE note; --",
    '"; DELETE FROM note; #',
    "back\\slash \\' \\\\' \\0 \\",
    "%s %(text)s %% :text",
    "four bytes \U0001f514 and ¥ and \u00e9",
    "; ;\n;",
    "/*! DROP TABLE note */",
    "$1 $$ E'\\x'",
)


class Far:
    """A database behind a relay that counts trips."""

    def __init__(self, url: str) -> None:
        made = sa.make_url(url)
        assert made.port is not None
        self.relay = TripCounter(made.port, postgresql=made.get_backend_name() == "postgresql")
        self.database: Database = connect(
            made.set(port=self.relay.port).render_as_string(hide_password=False), pipelines=True
        )
        NOTE.create(self.database.engine)

    def run(
        self, *statements: sa.Executable, then: Callable[[sa.Connection], object] = lambda connection: None
    ) -> None:
        """Execute *statements*, and what *then* does, in one pipeline."""
        with self.database.pipeline() as connection:
            for statement in statements:
                connection.execute(statement)
            then(connection)

    def texts(self) -> dict[int, str]:
        """Return the rows."""
        with self.database.read() as connection:
            return {row.id: row.text for row in connection.execute(sa.select(NOTE))}


@pytest.fixture(params=DRIVERS, ids=[driver for _, driver in DRIVERS])
def far(request: pytest.FixtureRequest) -> Iterator[Far]:
    """A database of its own, behind a relay, once with each driver."""
    server, driver = request.param
    url = with_driver(request.getfixturevalue(f"{server}_url"))
    found = Far(sa.make_url(url).set(drivername=driver).render_as_string(hide_password=False))
    yield found
    found.database.dispose()
    found.relay.close()


READ = sa.select(NOTE).where(NOTE.c.id.in_(sa.bindparam("ids", expanding=True)))


def test_a_transaction_that_reads_and_writes_takes_two_trips(far: Far) -> None:
    for first in (0, 1000):
        with far.relay.counting() as trips, far.database.pipeline() as connection:
            read = connection.execute(READ.with_for_update(), {"ids": [1, 2]})
            count = connection.execute(sa.select(sa.func.count().label("n")).select_from(NOTE))
            assert [row.text for row in read] == ([] if not first else ["row 1", "row 2"])
            assert count.one().n == first
            rows = [{"id": first + n, "text": f"row {first + n}"} for n in range(1000)]
            connection.execute(NOTE.insert(), rows)
            connection.execute(NOTE.update().where(NOTE.c.id == first).values(text="changed"))
    assert trips == [2]
    assert len(far.texts()) == 2000
    assert far.texts()[1000] == "changed"


def test_a_lone_delivery_is_enqueued_in_a_pipeline(far: Far) -> None:
    """Its event would be skipped: the driver cannot know the number of a row that it has not sent yet."""
    metadata.create_all(far.database.engine)
    with far.database.pipeline() as connection:
        Outbox(far.database).enqueue(connection, [make_delivery("http://consumer")], ["t"], None)
    with far.database.read() as connection:
        assert connection.execute(sa.select(delivery.c.transition_id)).scalars().all() == ["t"]


def test_results_may_be_read_after_the_commit(far: Far) -> None:
    with far.relay.counting() as trips:
        with far.database.pipeline() as connection:
            connection.execute(NOTE.insert(), [{"id": 1, "text": "one"}])
            found = connection.execute(READ, {"ids": [1]})
        assert [row.text for row in found] == ["one"]
    assert trips[0] <= 1 + 6  # With a new connection and its settings.


def test_numbers_are_read(far: Far) -> None:
    numbers = {"real": sa.literal(1.5, sa.Float), "whole": sa.literal(1 << 40, sa.BigInteger)}
    with far.database.pipeline() as connection:
        found = connection.execute(sa.select(*(number.label(name) for name, number in numbers.items())))
        assert found.one() == (1.5, 1 << 40)


def test_values_stay_values(far: Far) -> None:
    """Whatever they contain, with each statement of a pipeline, also in a list of rows."""
    rows = [{"id": number, "text": text} for number, text in enumerate(HOSTILE)]
    with far.database.pipeline() as connection:
        connection.execute(NOTE.insert(), rows)
        for number, text in enumerate(HOSTILE):
            connection.execute(NOTE.insert(), {"id": 100 + number, "text": text})
            found = connection.execute(sa.select(NOTE.c.id).where(NOTE.c.text == text).order_by(NOTE.c.id))
            assert found.scalars().all() == [number, 100 + number]
    expected = dict(enumerate(HOSTILE)) | {100 + number: text for number, text in enumerate(HOSTILE)}
    assert far.texts() == expected


def test_values_stay_values_without_backslash_escapes(far: Far) -> None:
    """Under the SQL mode in which a backslash is a character like any other."""
    if far.database.dialect == "postgresql":
        setting = "SET standard_conforming_strings = on"
    else:
        setting = "SET SESSION sql_mode = CONCAT(@@sql_mode, ',NO_BACKSLASH_ESCAPES')"
    with far.database.pipeline() as connection:
        connection.exec_driver_sql(setting)
        connection.execute(READ, {"ids": [1]}).all()
        connection.execute(NOTE.insert(), [{"id": n, "text": text} for n, text in enumerate(HOSTILE)])
    assert far.texts() == dict(enumerate(HOSTILE))


@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_nothing_is_committed_when_a_statement_fails(far: Far, place: str) -> None:
    """Fails if those behind it are executed, or if the error is not that of a single statement."""
    bad = NOTE.insert().values(id=1, text="again")
    with far.database.begin() as connection:
        connection.execute(NOTE.insert(), {"id": 1, "text": "here"})
    good = [NOTE.insert().values(id=n, text="new") for n in (2, 3)]
    statements = {"first": [bad, *good], "middle": [good[0], bad, good[1]], "last": [*good, bad]}[place]
    with pytest.raises(db_exception.DBDuplicateEntry):
        far.run(*statements)
    assert far.texts() == {1: "here"}
    far.run(good[0])
    assert far.texts() == {1: "here", 2: "new"}


def test_an_error_of_an_earlier_statement_is_raised_by_a_read(far: Far) -> None:
    twice = [NOTE.insert().values(id=1, text="twice")] * 2
    with pytest.raises(db_exception.DBDuplicateEntry):
        far.run(
            *twice, then=lambda connection: pytest.fail(str(connection.execute(READ, {"ids": [1]}).all()))
        )
    assert far.texts() == {}


def test_an_error_of_the_caller_rolls_back(far: Far) -> None:
    def fail(connection: sa.Connection) -> None:
        connection.execute(READ, {"ids": [1]}).all()
        connection.execute(NOTE.insert().values(id=2, text="two"))
        raise LookupError

    with pytest.raises(LookupError):
        far.run(NOTE.insert().values(id=1, text="one"), then=fail)
    assert far.texts() == {}


def test_a_deadlock_is_a_conflict(far: Far) -> None:
    with far.database.begin() as connection:
        connection.execute(NOTE.insert(), [{"id": n, "text": "old"} for n in (1, 2)])
    met = threading.Barrier(2)

    def change(first: int, second: int) -> str:
        try:
            with far.database.pipeline() as connection:
                connection.execute(READ.with_for_update(), {"ids": [first]}).all()
                met.wait(30)
                connection.execute(NOTE.update().where(NOTE.c.id == second).values(text=f"by {first}"))
        except Conflict:
            return "conflict"
        return "done"

    with futures.ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(change, (1, 2), (2, 1))) == ["conflict", "done"]
    assert sorted(far.texts().values()) in (["by 1", "old"], ["by 2", "old"])


@pytest.mark.parametrize("read", [False, True])
def test_a_lost_connection_is_retryable(far: Far, read: bool) -> None:
    """Before the first trip, and before the commit; the next transaction succeeds."""

    def lose(connection: sa.Connection) -> None:
        if read:
            connection.execute(READ, {"ids": [1]}).all()
        far.relay.cut()

    with pytest.raises(Retryable):
        far.run(NOTE.insert().values(id=1, text="lost"), then=lose)
    assert far.texts() == {}
    far.run(NOTE.insert().values(id=2, text="kept"))
    assert far.texts() == {2: "kept"}


def test_several_statements_are_refused_without_pipelines(far: Far) -> None:
    """Fails if a driver allows them by itself, as mysqlclient does: they would help an SQL injection."""
    database = connect(far.database.engine.url.render_as_string(hide_password=False))
    with pytest.raises(Retryable, match=r"syntax|multiple commands"), database.read() as connection:
        connection.exec_driver_sql("SELECT 1; SELECT %s", (2,))
    database.dispose()


def test_large_statements_are_sent_by_themselves(far: Far) -> None:
    """Together they would exceed what the server takes at once."""
    text = "x" * 700_000
    with far.database.pipeline() as connection:
        for number in range(30):
            connection.execute(NOTE.insert().values(id=number, text=text))
    assert far.texts() == dict.fromkeys(range(30), text)


def test_the_server_sees_a_transaction_that_is_idle_between_its_trips(far: Far) -> None:
    """Otherwise it would not end the transaction of a frozen listener, whose locks block the others."""
    identity, state, idle = {
        "postgresql": ("pg_backend_pid", "state FROM pg_stat_activity WHERE pid", "idle in transaction"),
        "mysql": ("connection_id", "command FROM information_schema.processlist WHERE id", "Sleep"),
    }[far.database.engine.dialect.name]
    with far.database.pipeline() as connection:
        process = connection.execute(sa.select(getattr(sa.func, identity)())).scalar()
        with far.database.read() as other:
            found = other.execute(sa.text(f"SELECT {state} = :process"), {"process": process}).scalar()
    assert found == idle
